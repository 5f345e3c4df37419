"""All hunters, by name."""

from __future__ import annotations

from hunters import liars, nomemory, reborn, waiters

HUNTERS = {
    module.HUNTER.name: module.HUNTER for module in (reborn, liars, nomemory, waiters)
}

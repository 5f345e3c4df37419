"""All hunters, by name."""

from __future__ import annotations

from hunters import liars, nomemory, planted, reborn, waiters
from hunters.hunting import Hunter

HUNTERS: dict[str, Hunter] = {
    module.HUNTER.name: module.HUNTER
    for module in (reborn, liars, nomemory, waiters, planted)
}
# Those that look at this library: the last one looks at the hunting itself.
CHOSEN = [name for name in HUNTERS if name != planted.HUNTER.name]

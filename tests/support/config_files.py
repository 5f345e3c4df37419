"""Configuration files of tests: written, replaced and broken as services see it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cqrs_fast import Config, ConfigManager


def text_of(number: int, **sections: Any) -> str:
    """Return a configuration whose total timeout is `number` milliseconds."""
    middleware = {"timeout": {"timeout_ms": number}, **sections}
    return json.dumps({"middleware": middleware})


def number_of(config: Config) -> int:
    return int(config.middleware.timeout.timeout_ms)


def in_force(manager: ConfigManager, number: int) -> Callable[[], bool]:
    return lambda: number_of(manager.config) == number


def replace(path: Path, text: str) -> None:
    """Write another file and put it in the place of this one."""
    other = path.with_suffix(".new")
    other.write_text(text)
    os.replace(other, path)


def write_in_place(path: Path, text: str) -> None:
    path.write_text(text)


def recreate(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)


def link(path: Path, text: str) -> None:
    """Let the path be a symbolic link to a file elsewhere, another one each time."""
    directory = path.parent / "elsewhere"
    directory.mkdir(exist_ok=True)
    target = directory / f"{len(list(directory.iterdir()))}.json"
    target.write_text(text)
    swap_link(path, target)


def swap_link(path: Path, target: str | Path) -> None:
    other = path.with_name(f"{path.name}.link")
    other.symlink_to(target)
    os.replace(other, path)


def project(path: Path, text: str) -> None:
    """Put the file into a volume as Kubernetes does: two links, of which one moves."""
    volume = path.parent
    version = volume / f"..{len(list(volume.iterdir()))}"
    version.mkdir()
    (version / path.name).write_text(text)
    swap_link(volume / "..data", version.name)
    if not path.is_symlink():
        swap_link(path, f"..data/{path.name}")


def move_directory(path: Path, text: str) -> None:
    """Let the whole directory vanish, and come back with another file."""
    directory = path.parent
    if directory.exists():
        gone = directory.with_name(f"gone-{len(list(directory.parent.iterdir()))}")
        directory.rename(gone)
    directory.mkdir()
    path.write_text(text)


WAYS = {
    "in place": write_in_place,
    "replaced": replace,
    "deleted and made again": recreate,
    "a link that moves": link,
    "a projected volume": project,
    "the directory with it": move_directory,
}

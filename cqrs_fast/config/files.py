"""Read a configuration file so that nobody else can have decided what it says."""

from __future__ import annotations

import os
import stat
import warnings

from cqrs_fast.errors import ConfigError

MAX_BYTES = 1024 * 1024

_warned: set[str] = set()


def read_file(path: str, stacklevel: int = 2) -> bytes:
    """Return the content of a configuration file.

    A symlink is followed, and what it leads to is checked: a regular file of root or of
    this user that not everybody may write. A file that its group may write is read with
    one UserWarning for each path. Blocks for the reading of at most 1 MiB, never for a
    writer. Safe to call from any thread.

    Parameters:
        path: the file; errors name it as it is given.
        stacklevel: of the warning, as `warnings.warn` counts it.

    Raises:
        ConfigError: the file is missing, unreadable, too large or not to be trusted.
    """
    # What is opened is what is checked: nobody can swap the file in between. A FIFO
    # would block without O_NONBLOCK, and a terminal become ours without O_NOCTTY.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise ConfigError("there is no such file", path) from None
    except ValueError:
        raise ConfigError("cannot be read: the path holds a null byte", path) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path) from None
    try:
        _check(os.fstat(descriptor), path, stacklevel + 1)
        data = _read(descriptor)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path) from None
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"the file is larger than {MAX_BYTES} bytes", path)
    return data


def _check(status: os.stat_result, path: str, stacklevel: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ConfigError("is a directory", path, hint="name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError("is not a regular file", path)
    user = os.geteuid()
    if status.st_uid not in (0, user):
        raise ConfigError(
            f"belongs to user {status.st_uid}, who could change it",
            path,
            hint=f"it must belong to root or to user {user}",
        )
    if status.st_mode & stat.S_IWOTH:
        raise ConfigError("everybody may write it", path, hint="chmod o-w")
    if status.st_mode & stat.S_IWGRP and path not in _warned:
        warnings.warn(
            f"{path}: group {status.st_gid} may write this configuration; chmod g-w",
            stacklevel=stacklevel + 1,
        )
        _warned.add(path)


def _read(descriptor: int) -> bytes:
    """Read to the end, or one byte more than is allowed."""
    parts, wanted = [], MAX_BYTES + 1
    while wanted and (part := os.read(descriptor, wanted)):
        parts.append(part)
        wanted -= len(part)
    return b"".join(parts)

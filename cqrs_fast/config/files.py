"""Read a configuration file whose content nobody else can have decided."""

from __future__ import annotations

import os
import stat
import warnings

from cqrs_fast.errors import ConfigError

MAX_BYTES = 1024 * 1024

_warned: set[str] = set()


def read_file(path: str, stacklevel: int = 2) -> bytes:
    """Return the content of a configuration file.

    A symlink is followed and its target is checked: a regular file of root or of this
    user that not everybody may write. A file that its group may write gives one
    UserWarning for each path. Reads at most 1 MiB and never waits for a writer. Safe to
    call from any thread.

    Parameters:
        path: the file; errors name it as given.
        stacklevel: of the warning, as `warnings.warn` counts it.

    Raises:
        ConfigError: the file is missing, unreadable, too large or not to be trusted.
    """
    try:
        # The opened file is checked: nobody can swap it in between.
        with open(path, "rb", opener=_open) as file:
            _check(os.fstat(file.fileno()), path, stacklevel + 1)
            data = file.read(MAX_BYTES + 1)
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError("there is no such file", path) from None
    except IsADirectoryError:
        raise ConfigError("is a directory", path, hint="name a file in it") from None
    except ValueError:
        raise ConfigError("cannot be read: the path holds a null byte", path) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path) from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"the file is larger than {MAX_BYTES} bytes", path)
    return data


def _open(path: str, flags: int) -> int:
    # Without O_NONBLOCK a FIFO would block; without O_NOCTTY a terminal become ours.
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _check(status: os.stat_result, path: str, stacklevel: int) -> None:
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
        text = f"{path}: group {status.st_gid} may write this configuration; chmod g-w"
        warnings.warn(text, stacklevel=stacklevel + 1)
        _warned.add(path)

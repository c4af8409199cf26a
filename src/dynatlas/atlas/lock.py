"""One writer at a time: a lock on a folder that the kernel releases when its holder dies."""

import errno
import fcntl
import json
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dynatlas.errors import AtlasError

LOCK = ".lock"


@contextmanager
def one_writer(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock; yield whether it excludes other writers, which not every filesystem can.

    Raises:
        AtlasError: another process holds the lock (the message names it), or the folder is not writable.
    """
    file = folder / LOCK
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise AtlasError(f"cannot write in {folder}: {error.strerror}") from error
    try:
        yield _take(descriptor, folder)
    finally:
        # Unlock explicitly: a child forked meanwhile inherits the descriptor, and closing it here would not release it.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder, 0)
    except BlockingIOError:
        raise AtlasError(
            f"another run ({_holder(descriptor)}) is writing {folder}: wait for it to end, or stop it"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            raise AtlasError(f"cannot lock {folder}: {error.strerror}") from error
        warnings.warn(
            f"the filesystem of {folder} has no locks ({error.strerror}): "
            "make sure that no other run writes there at the same time",
            stacklevel=2,
        )
        return False
    return True


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['pid']} on host {holder['host']}"
    except (ValueError, KeyError, TypeError):
        # The holder has not yet written its name.
        return "just started"

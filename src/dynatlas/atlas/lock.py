"""One writer at a time: a lock on a folder that the kernel releases when its holder dies."""

import errno
import fcntl
import json
import os
import socket
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dynatlas.errors import AtlasError

LOCK = ".lock"
_held: set[tuple[int, Path]] = set()  # (process, folder): a child forked meanwhile does not hold its parent's lock


class BusyError(AtlasError):
    """Another process is the writer."""


@contextmanager
def as_writer(folder: Path) -> Iterator[None]:
    """Write under the lock that this process holds, or else under one taken for the moment.

    Raises:
        BusyError: another process holds it, or may be writing, as the filesystem has no locks.
        AtlasError: the folder is not writable.
    """
    if (os.getpid(), folder) in _held:
        yield
        return
    with one_writer(folder) as exclusive:
        if not exclusive:
            raise BusyError(f"{folder} cannot be locked, so another run may be writing it: take `atlas.lock()` first")
        yield


@contextmanager
def one_writer(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock; yield whether it excludes other writers, which not every filesystem can.

    Raises:
        BusyError: another process, or this one, holds it (which one is named).
        AtlasError: the folder is not writable.
    """
    file = folder / LOCK
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR):
            raise AtlasError(_odd(file)) from None
        raise AtlasError(f"cannot write in {folder}: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise AtlasError(_odd(file))
        exclusive = _take(descriptor, folder)
        holder = (os.getpid(), folder)
        _held.add(holder)
        try:
            yield exclusive
        finally:
            _held.discard(holder)
    finally:
        # Unlock explicitly: a child forked meanwhile inherits the descriptor, and closing it here would not release it.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _odd(file: Path) -> str:
    return f"{file} is a link, a folder or a device; expected a file: remove it"


def _take(descriptor: int, folder: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder, 0)
    except BlockingIOError:
        raise BusyError(
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

"""Files and folders that are whole or not there: written to a temporary name, flushed, renamed.

A *tree* here is a file or a folder with everything in it; both are published and fingerprinted alike.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """A free name beside ``target``, to write to; what still stands there at the end is removed."""
    _make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
    finally:
        _remove(temporary)


def publish(temporary: Path, target: Path) -> None:
    """Give a finished tree its real name, after everything in it has reached the disk.

    A file replaces what stands there in one step. A folder cannot: for a moment neither the old one nor the
    new one is there, so nothing may vouch for the old one while it is replaced.
    """
    _flush(temporary)
    if target.is_dir() or (temporary.is_dir() and target.exists()):
        with temporary_beside(target) as old:
            os.replace(target, old)
            os.replace(temporary, target)
            _flush_folder(target.parent)
    else:
        os.replace(temporary, target)
        _flush_folder(target.parent)


def write_bytes(target: Path, content: bytes) -> None:
    """Write one small file whole."""
    with temporary_beside(target) as temporary:
        temporary.write_bytes(content)
        publish(temporary, target)


def fingerprint(tree: Path) -> tuple[str, int]:
    """The SHA-256 and the byte count of a tree.

    A folder's hash is over its files' relative paths, sorted, each with its hash.

    Raises:
        OSError: it is not there or cannot be read.
    """
    if not tree.is_dir():
        with tree.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size
    digest, total = hashlib.sha256(), 0
    for name, path in sorted((path.relative_to(tree).as_posix(), path) for path in tree.rglob("*")):
        if not path.is_dir():
            content, size = fingerprint(path)
            digest.update(f"{name}\0{content}\n".encode())
            total += size
    return digest.hexdigest(), total


def is_temporary(path: Path) -> bool:
    """Whether the name is one that ``temporary_beside`` gives."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_temporaries(folder: Path) -> None:
    """Remove what writers that were killed have left anywhere below ``folder``; none may be alive."""
    for path in [path for path in folder.rglob(".*.tmp") if is_temporary(path)]:
        _remove(path)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush_folder(folder.parent)


def _flush(tree: Path) -> None:
    if tree.is_dir():
        for child in tree.iterdir():
            _flush(child)
        _flush_folder(tree)
    else:
        with tree.open("rb") as file:
            os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make renames in ``folder`` last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network filesystems cannot flush a folder; they order renames themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _remove(tree: Path) -> None:
    if tree.is_dir():
        shutil.rmtree(tree, ignore_errors=True)
    else:
        tree.unlink(missing_ok=True)

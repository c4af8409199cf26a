"""Atomic writes of files and folders: write to a temporary name, flush, rename.

A *tree* is a file, or a folder with its contents.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """Yield an unused path beside ``target`` to write to, and remove what is left there afterwards.

    What cannot be removed, as in a folder that has become read-only, is left to ``remove_temporaries``.
    """
    _make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
    finally:
        with suppress(OSError):
            _remove(temporary)


def publish(temporary: Path, target: Path) -> None:
    """Flush a finished tree to disk and rename it to ``target``.

    A file replaces ``target`` in one step. A folder needs two, and for a moment neither the old nor the new one exists:
    no manifest may list the old folder while it is replaced.

    Raises:
        OSError: it cannot be written, or ``target`` is a folder in place of a file, or the reverse, and is not empty:
            that was written by somebody else.
    """
    _flush(temporary)
    _clear_other_kind(target, is_for_folder=temporary.is_dir())
    if _is_folder(target) or (temporary.is_dir() and os.path.lexists(target)):
        with temporary_beside(target) as old:
            os.replace(target, old)
            os.replace(temporary, target)
            _flush_folder(target.parent)
    else:
        os.replace(temporary, target)
        _flush_folder(target.parent)


def _clear_other_kind(target: Path, *, is_for_folder: bool) -> None:
    """Remove an empty folder in place of a file, or an empty file in place of a folder; refuse one that is not."""
    if target.is_symlink() or not target.exists() or target.is_dir() == is_for_folder:
        return
    if any(target.iterdir()) if target.is_dir() else target.stat().st_size:
        what = "a folder that is not empty" if target.is_dir() else "a file that is not empty"
        raise OSError(errno.EEXIST, f"{what} is in its place; move it away", str(target))
    target.rmdir() if target.is_dir() else target.unlink()


def publish_new(temporary: Path, target: Path) -> None:
    """Flush a finished file to disk and give it the name ``target``, which must be unused.

    Raises:
        FileExistsError: something has the name, if only a dangling link.
    """
    _flush(temporary)
    try:
        os.link(temporary, target)  # in one step; a renaming would replace a file that was made meanwhile
    except FileExistsError:
        raise
    except OSError:  # a filesystem without hard links
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        os.replace(temporary, target)
    _flush_folder(target.parent)


def write_bytes(target: Path, content: bytes) -> None:
    """Write a small file atomically."""
    with temporary_beside(target) as temporary:
        temporary.write_bytes(content)
        publish(temporary, target)


def copy_tree(source: Path, target: Path) -> None:
    """Copy the contents of a file or of a folder."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def fingerprint(tree: Path) -> tuple[str, int]:
    """Return the SHA-256 and the byte count of a tree.

    A folder is hashed over the sorted relative paths of its files, each with its hash.

    Raises:
        OSError: the tree is missing, cannot be read, or has something other than files and folders in it.
    """
    if not tree.is_dir():
        with open_regular(tree) as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size
    digest, total = hashlib.sha256(), 0
    for name, path in sorted((path.relative_to(tree).as_posix(), path) for path in tree.rglob("*")):
        if path.is_symlink():
            raise _not_regular(path)
        if not path.is_dir():
            content, size = fingerprint(path)
            digest.update(f"{name}\0{content}\n".encode())
            total += size
    return digest.hexdigest(), total


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file to read; a pipe or a device is refused at once, where reading would not end.

    Raises:
        OSError: the file is missing, cannot be opened, or is not a regular file.
    """
    kind = path.stat().st_mode
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(kind):
        raise _not_regular(path)
    return path.open("rb")


def _not_regular(path: Path) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", str(path))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def is_temporary(path: Path) -> bool:
    """Whether ``temporary_beside`` made this name."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_temporaries(folder: Path) -> None:
    """Remove temporary trees of killed writers below ``folder``; no writer may be running."""
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
    """Flush the renames in ``folder`` to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network filesystems cannot flush a folder, but order renames themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _remove(tree: Path) -> None:
    if _is_folder(tree):
        shutil.rmtree(tree, ignore_errors=True)
    else:
        tree.unlink(missing_ok=True)

"""Pointers of Git LFS and git-annex, which stand where a file's content was not fetched."""

from pathlib import Path
from typing import Final

from dynatlas.errors import NetworkError

POINTER_BYTES: Final = 64  # enough to recognise a pointer


def refuse_pointer(path: Path, head: bytes, size: int) -> None:
    """Refuse a pointer of Git LFS or git-annex, which stands where the file itself was not fetched.

    Args:
        path: the file.
        head: its first bytes, ``POINTER_BYTES`` of them.
        size: its size in bytes; pointers are short.

    Raises:
        NetworkError: it is a pointer.
    """
    if size > 1024:
        return
    if head.startswith(b"version https://git-lfs"):
        raise NetworkError(f"{path} is a pointer of Git LFS, not the file itself; fetch it with: git lfs pull")
    if head.startswith(b"/annex/objects/"):
        raise NetworkError(
            f"{path} is a pointer of git-annex, not the file itself; fetch it with: datalad get {path.name}"
        )

"""Symbolic links in a folder that others may have made."""

from pathlib import Path


def link_outside(folder: Path, name: str) -> Path | None:
    """Return the part of the relative path ``name`` that is a link out of ``folder``, or in a circle; else None."""
    at = folder
    for part in name.split("/"):
        at = at / part
        if at.is_symlink():
            return None if _stays_inside(at, folder) else at
    return None


def _stays_inside(link: Path, folder: Path) -> bool:
    try:
        return link.resolve(strict=True).is_relative_to(folder.resolve())
    except FileNotFoundError:
        return link.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a circle
        return False

"""Symbolic links in a folder that others may have made."""

from pathlib import Path


def leads_outside(folder: Path, name: str) -> bool:
    """Whether a part of the relative path ``name`` is a link that leads out of ``folder``, or in a circle."""
    at = folder
    for part in name.split("/"):
        at = at / part
        if at.is_symlink():
            try:
                return not at.resolve(strict=True).is_relative_to(folder.resolve())
            except FileNotFoundError:
                return not at.resolve().is_relative_to(folder.resolve())
            except (OSError, RuntimeError):  # a circle
                return True
    return False

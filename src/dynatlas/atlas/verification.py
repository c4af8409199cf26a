"""Whether an atlas is what its manifest says."""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

from dynatlas._io.atomic import is_temporary
from dynatlas.atlas.formats import GROUP
from dynatlas.atlas.manifest import manifest_of


class Problem(NamedTuple):
    """Something in an atlas that is not as its manifest says."""

    name: str
    what: str  # "missing", "truncated", "changed", "unreadable", a link; or "unknown" to the manifest: no damage


def find_problems(folder: Path, own: Container[str]) -> list[Problem]:
    """Hash everything that the manifest names; then look for what neither it nor ``own`` names."""
    manifest = manifest_of(folder)
    entries = manifest.entries()
    damaged = [
        Problem(entry.name, damage)
        for entry in (manifest.head().study, *sorted(entries.values()))
        if (damage := entry.damage(folder))
    ]
    unknown = _names(folder, folder, entries)
    return damaged + [Problem(name, "unknown") for name in unknown if name.split("/")[0] not in own]


def _names(root: Path, folder: Path, complete: Container[str]) -> Iterator[str]:
    """What ``complete`` does not name: files, and groups of arrays as a whole."""
    for path in sorted(folder.iterdir()):
        name = path.relative_to(root).as_posix()
        if name in complete or is_temporary(path) or _is_marker(path):
            continue
        if (
            not path.is_symlink()
            and path.is_dir()
            and (not (path / "zarr.json").is_file() or _is_marker(path / "zarr.json"))
        ):
            yield from _names(root, path, complete)
        else:
            yield name


def _is_marker(path: Path) -> bool:
    if path.name != "zarr.json" or path.is_symlink() or not path.is_file():
        return False
    return path.stat().st_size == len(GROUP) and path.read_bytes() == GROUP

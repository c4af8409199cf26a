"""Which of a file's arrays is the recording."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dynatlas.errors import NetworkError
from dynatlas.wording import did_you_mean

USUAL: Final = ("activity", "recording")
MOST_LISTED: Final = 12


def choose(path: Path, shapes: Mapping[str, tuple[int, ...]], series: str | None) -> str:
    """The array of this name; without one, the only array there is, or the one that is called "activity".

    Args:
        path: the file, for errors.
        shapes: of each array, by its name.
        series: the name asked for, whole or its last part.

    Raises:
        NetworkError: no such array, or several.

    Example:
        >>> choose(Path("r.npz"), {"rates": (50, 8), "time": (50,)}, None)
        'rates'
    """
    if series is not None:
        found = [name for name in shapes if name == series] or [
            name for name in shapes if name.rpartition("/")[2] == series
        ]
        if len(found) == 1:
            return found[0]
        hint = did_you_mean(series, shapes, f"it has: {listed(shapes)}")
        raise NetworkError(f"{path} has {len(found) or 'no'} arrays called {series!r}; {hint}")
    wide = [name for name in shapes if len(shapes[name]) in (2, 3)] or list(shapes)
    usual = [name for name in wide if name.rpartition("/")[2] in USUAL]
    for few in (wide, usual):
        if len(few) == 1:
            return few[0]
    raise NetworkError(
        f"{path} holds {'several arrays' if shapes else 'no array of numbers'}: {listed(shapes)}. Name the recording "
        "with series= (--series)"
    )


def listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Names with shapes, not too many."""
    names = [f"{name} {list(shape)}" for name, shape in list(shapes.items())[:MOST_LISTED]]
    more = [f"and {len(shapes) - MOST_LISTED} more"] if len(shapes) > MOST_LISTED else []
    return ", ".join([*names, *more]) or "nothing"

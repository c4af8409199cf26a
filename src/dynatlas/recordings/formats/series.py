"""The choice of the recording among the arrays of a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from dynatlas._util.messages import did_you_mean
from dynatlas.errors import NetworkError

USUAL: Final = ("activity", "recording")
MOST_LISTED: Final = 12
Read = tuple[NDArray[Any], tuple[str, ...]]  # values, and sentences about them


def choose(path: Path, shapes: Mapping[str, tuple[int, ...]], series: str | None) -> str:
    """Return the name of the array that ``series`` names; by default the only array, or the one called "activity".

    Args:
        path: the file, for errors.
        shapes: shape of each array by name.
        series: name of the array, or the last part of its path.

    Raises:
        NetworkError: no array has the name, or several have it; or there is no default.

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
    """List names with shapes, at most 12."""
    names = [f"{name} {list(shape)}" for name, shape in list(shapes.items())[:MOST_LISTED]]
    more = [f"and {len(shapes) - MOST_LISTED} more"] if len(shapes) > MOST_LISTED else []
    return ", ".join([*names, *more]) or "nothing"

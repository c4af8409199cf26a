"""The choice of the recording among the arrays of a file, and variables of NetCDF and HDF5 files."""

import io
import struct
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dynatlas._io.hdf5 import datasets_in, load
from dynatlas._io.untrusted import MAX_BYTES
from dynatlas._util.messages import did_you_mean
from dynatlas.errors import NetworkError

if TYPE_CHECKING:
    from h5py import File

USUAL: Final = ("activity", "recording")
MOST_LISTED: Final = 12
MARKS: Final = ("_FillValue", "missing_value", "scale_factor", "add_offset")
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


def read_series(path: Path, file: "File", h5py: ModuleType, series: str | None) -> Read:
    """Read one variable of an open HDF5 file, and nothing of the others.

    Raises:
        NetworkError: no variable or several have the name, or the variable is unsafe to read.
    """
    datasets = datasets_in(path, file, h5py)
    shapes = {name: each.shape for name, each in datasets.items() if each.dtype.kind in "fiub" and each.shape}
    name = choose(path, shapes, series)
    attributes = {key: datasets[name].attrs[key] for key in MARKS if key in datasets[name].attrs}
    return decoded(load(path, name, datasets[name]), attributes), (f"variable {name}",)


def decoded(values: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[Any]:
    """Decode values by the conventions of NetCDF: missing ones become NaN, the others are scaled and shifted.

    Example:
        >>> decoded(np.array([1, -9]), {"_FillValue": -9, "scale_factor": 0.5}).tolist()
        [0.5, nan]
    """
    missing = np.zeros(values.shape, bool)
    for name in MARKS[:2]:
        if name in attributes:
            missing |= np.isin(values, np.ravel(attributes[name]))
    scale, offset = (
        float(np.ravel(attributes.get(name, default))[0]) for name, default in (("scale_factor", 1), ("add_offset", 0))
    )
    if missing.any() or (scale, offset) != (1, 0):
        return np.where(missing, np.nan, values * scale + offset)
    return values


class _Capped(io.FileIO):
    """A file whose reads are capped at the bytes that are left: a damaged header may ask for any number."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "r")
        self.size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(self.size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left)) or b""


def read_netcdf3(path: Path, series: str | None) -> Read:
    """Read one variable of a NetCDF 3 file.

    Raises:
        NetworkError: no variable or several have the name, or the file is damaged or too large.
    """
    from scipy.io import netcdf_file

    if path.stat().st_size > MAX_BYTES:
        raise NetworkError(f"{path} takes {path.stat().st_size:.3g} bytes; expected at most {MAX_BYTES:.3g}")
    try:
        with _Capped(path) as file, netcdf_file(file, "r", mmap=False) as content:
            numbers: dict[str, Any] = {
                name: each for name, each in content.variables.items() if each.data.dtype.kind in "fiu"
            }
            name = choose(path, {name: each.shape for name, each in numbers.items()}, series)
            values = np.array(numbers[name].data)
            attributes = {mark: getattr(numbers[name], mark) for mark in MARKS if hasattr(numbers[name], mark)}
    # SciPy does not validate the file: damage raises any of these.
    except (
        *(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, MemoryError),
        *(UnicodeDecodeError, struct.error, AssertionError),
    ) as error:
        raise NetworkError(f"{path} is damaged, or is not NetCDF 3 or 4: {error or type(error).__name__}") from None
    return decoded(values, attributes), (f"variable {name}",)

"""The choice of the recording among the arrays of a file, and variables of HDF5 and NetCDF 4 files."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dynatlas._io.hdf5 import datasets_in, load
from dynatlas._util.messages import did_you_mean
from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.axes import ordered

if TYPE_CHECKING:
    from h5py import Dataset, File

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
    values = decoded(load(path, name, datasets[name]), attributes)
    axes = [_axis(datasets[name], place) for place in range(values.ndim)]
    folder = name.rpartition("/")[0]
    coordinates = {}
    for axis in axes:
        found = next((one for one in (f"{folder}/{axis}".strip("/"), axis) if one in shapes and one != name), None)
        if found is not None and len(shapes[found]) == 1:
            coordinates[axis] = load(path, found, datasets[found])
    values, facts = ordered(str(path), values, axes, coordinates)
    return values, (f"variable {name}", *facts)


def _axis(dataset: "Dataset", place: int) -> str:
    """Return the name of an axis: of its dimension scale, as in NetCDF 4, or its label; "" for none."""
    dimension = dataset.dims[place]
    scales = [dimension[number].name for number in range(len(dimension))]
    return str((scales[0] if scales else dimension.label) or "").rpartition("/")[2]


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

"""Variables of HDF5 and NetCDF 4 files, with the labels of their axes and the arrays beside them."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dynatlas._io.hdf5 import datasets_in, load
from dynatlas._io.sizes import Declared, check_sizes
from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.axes import ordered
from dynatlas.recordings.formats.beside import names_beside, with_others
from dynatlas.recordings.formats.series import Read, choose
from dynatlas.recordings.formats.windows import Window

if TYPE_CHECKING:
    from h5py import Dataset, File

MARKS: Final = ("_FillValue", "missing_value", "scale_factor", "add_offset")


def read_series(path: Path, file: "File", h5py: ModuleType, series: str | None, window: Window | None = None) -> Read:
    """Read one variable of an open HDF5 file, and nothing of the others.

    Raises:
        NetworkError: no variable or several have the name, or the variable is unsafe to read.
    """
    datasets = datasets_in(path, file, h5py)
    shapes = {name: each.shape for name, each in datasets.items() if each.dtype.kind in "fiub" and each.shape}
    name = choose(path, shapes, series)
    _refuse_pandas(path, name)
    attributes = {key: datasets[name].attrs[key] for key in MARKS if key in datasets[name].attrs}
    values = decoded(load(path, name, datasets[name]), attributes)
    axes = [_axis(datasets[name], place) for place in range(values.ndim)]
    folder = name.rpartition("/")[0]
    coordinates = {}
    scales = set()
    for axis in axes:
        found = next((one for one in (f"{folder}/{axis}".strip("/"), axis) if one in shapes and one != name), None)
        if found is not None and len(shapes[found]) == 1:
            coordinates[axis] = load(path, found, datasets[found])
            scales.add(found)
    values, facts = ordered(str(path), values, axes, coordinates)
    folders = {folder, f"{folder}/obs".strip("/")}  # the second has the labels of rows in AnnData
    near = {one: shape for one, shape in shapes.items() if one.rpartition("/")[0] in folders and one not in scales}
    beside = names_beside(name, near)
    check_sizes(path, {one: Declared(shapes[one], 0) for one in (name, *beside)})
    values, sorted_by = with_others(path, name, values, {one: load(path, one, datasets[one]) for one in beside}, window)
    return values, (f"variable {name}", *facts, *sorted_by)


def _refuse_pandas(path: Path, name: str) -> None:
    """Check that a variable is not a part of a DataFrame: pandas stores columns and index in other variables."""
    if re.fullmatch(r"block\d+_values", name.rpartition("/")[2]):
        raise NetworkError(
            f"{path}: {name!r} is a part of a DataFrame that pandas saved with to_hdf; save it with to_parquet or "
            "to_csv, where columns and index are read"
        )


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

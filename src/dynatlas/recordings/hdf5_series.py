"""A variable of a NetCDF 4 file, or of any HDF5 file, read as plain HDF5."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynatlas.networks.hdf5 import datasets_in, load
from dynatlas.recordings.choosing import choose

Read = tuple[NDArray[Any], tuple[str, ...]]


def read_series(path: Path, file: Any, h5py: Any, series: str | None) -> Read:
    """One variable; of the others nothing is read.

    Raises:
        NetworkError: no such variable, several, or one that is not to be trusted.
    """
    datasets = datasets_in(path, file, h5py)
    shapes = {name: each.shape for name, each in datasets.items() if each.dtype.kind in "fiub" and each.shape}
    name = choose(path, shapes, series)
    attributes = {key: datasets[name].attrs[key] for key in MARKS if key in datasets[name].attrs}
    return decoded(load(path, name, datasets[name]), attributes), (f"variable {name}",)


MARKS = ("_FillValue", "missing_value", "scale_factor", "add_offset")


def decoded(values: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[Any]:
    """Values as a NetCDF file means them: NaN where it says that none is, then scaled and shifted.

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

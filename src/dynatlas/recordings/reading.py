"""Read recordings: activity [trials, time, units] or [samples, units] from a file.

The first bytes determine the format. No file is trusted: sizes are checked in headers before memory is allocated, links
are not followed, and nothing is unpickled.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynatlas._io.hdf5 import open_hdf5
from dynatlas._io.untrusted import first_bytes, read_arrays
from dynatlas.errors import NetworkError
from dynatlas.recordings.nwb import is_nwb, read_nwb
from dynatlas.recordings.series import choose, read_netcdf3, read_series
from dynatlas.recordings.table_files import read_csv, read_parquet

EXPECTED = "a recording: .npy, .npz, .nc (NetCDF), .parquet, .nwb or .csv"


class Recording(NamedTuple):
    """Activity read from a file.

    Attributes:
        values: [trials, time, units], or [samples, units].
        facts: how it was read, one sentence each.
    """

    values: NDArray[np.generic]
    facts: tuple[str, ...]


def read_recording(path: Path, *, series: str | None = None, bin_width: float | None = None) -> Recording:
    """Read a recording.

    Args:
        path: ``.npy``, ``.npz``, NetCDF 3 or 4, Parquet or CSV (a column for each unit), NWB.
        series: the array, variable or TimeSeries, if the file has several.
        bin_width: width of the bins in which an NWB file's spikes are counted, in the file's unit of time (seconds).

    Raises:
        NetworkError: the file does not exist, is of no supported format, damaged or unsafe, or has several arrays and
            ``series`` is not set.
    """
    head = first_bytes(path, EXPECTED)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        with open_hdf5(path) as (file, h5py):
            if is_nwb(file):
                return Recording(*read_nwb(path, file, h5py, series, bin_width))
            _refuse_bins(path, bin_width)
            return Recording(*read_series(path, file, h5py, series))
    _refuse_bins(path, bin_width)
    if head.startswith((b"\x93NUMPY", b"PK")):
        _, arrays = read_arrays(path)
        name = choose(path, {name: each.shape for name, each in arrays.items() if each.dtype.kind in "fiub"}, series)
        return Recording(arrays[name], ())
    if head.startswith(b"CDF"):
        return Recording(*read_netcdf3(path, series))
    if head.startswith(b"PAR1"):
        return Recording(*read_parquet(path))
    if path.suffix.lower() in (".csv", ".tsv"):
        return Recording(*read_csv(path))
    raise NetworkError(
        f"{path} ({path.stat().st_size} bytes) is no recording of a supported format; expected {EXPECTED}"
    )


def read_labels(path: Path) -> NDArray[np.int64]:
    """Read the array of integers in a ``.npy`` or ``.npz`` file: the row of each of the probe's samples.

    Raises:
        NetworkError: the file is of another format, or its array is not of integers.
    """
    _, arrays = read_arrays(path)
    name = "rows" if "rows" in arrays else choose(path, {name: each.shape for name, each in arrays.items()}, None)
    if arrays[name].dtype.kind not in "iu":
        raise NetworkError(f"{path}: {name!r} is of the type {arrays[name].dtype}; expected integers, −1 for none")
    return arrays[name].astype(np.int64)


def _refuse_bins(path: Path, bin_width: float | None) -> None:
    if bin_width is not None:
        raise NetworkError(f"{path} is no NWB file: it has no spikes to count in bins of {bin_width:g}")

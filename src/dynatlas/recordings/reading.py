"""Read recordings: activity [trials, time, units] or [samples, units] from a file.

The first bytes determine the format. No file is trusted: sizes are checked in headers before memory is allocated, links
in files are not followed, nothing is unpickled, and what C libraries read is read in a process of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynatlas._io.hdf5 import open_hdf5
from dynatlas._io.matlab import MAGIC, MAGIC_73
from dynatlas._io.sizes import at_most
from dynatlas._io.untrusted import Arrays, UnreadableArrayError, first_bytes, read_arrays
from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.apart import read_apart
from dynatlas.recordings.formats.beside import with_others
from dynatlas.recordings.formats.hdf5 import read_series
from dynatlas.recordings.formats.matlab import read_matlab_recording
from dynatlas.recordings.formats.netcdf3 import read_netcdf3
from dynatlas.recordings.formats.nwb import is_nwb, read_nwb
from dynatlas.recordings.formats.series import Read, choose
from dynatlas.recordings.formats.tables import read_csv, read_parquet
from dynatlas.recordings.formats.windows import Bounds, Window

EXPECTED = "a recording: .npy, .npz, .nc (NetCDF), .mat, .parquet, .nwb or .csv"
MOST_UNREADABLE = 50  # arrays of a file; it is read again without each
HDF5, PARQUET = b"\x89HDF\r\n\x1a\n", b"PAR1"


class Recording(NamedTuple):
    """Activity read from a file.

    Attributes:
        values: [trials, time, units], or [samples, units].
        facts: how it was read, one sentence each.
    """

    values: NDArray[np.generic]
    facts: tuple[str, ...]


def read_recording(
    path: str | Path,
    *,
    series: str | None = None,
    bin_width: float | None = None,
    align: str | None = None,
    window: Bounds | None = None,
    max_gb: float | None = None,
) -> Recording:
    """Read a recording.

    Args:
        path: ``.npy``, ``.npz``, NetCDF 3 or 4, MATLAB's ``.mat``, Parquet or CSV (a column for each unit), NWB.
        series: the array, variable or TimeSeries, if the file has several.
        bin_width: width of the bins in which an NWB file's spikes are counted, in the file's unit of time (seconds).
        align: the event from whose time in each trial the window counts: a column of the trials of an NWB file, or of a
            table; by default the start of the trial. Other files need labels of trial and time for each sample.
        window: begin and end of the part of each trial that is read, relative to the event; by default whole trials,
            which then must have equal lengths.
        max_gb: most memory that the file's numbers may take, in units of 1e9 bytes; by default 0.5.

    Raises:
        NetworkError: the file does not exist, is of no supported format, damaged, unsafe or too large; has several
            arrays and ``series`` is not set; or its times, trials or labels are ambiguous or implausible.
    """
    checked, path = Window.of(align, window), Path(path)
    with at_most(max_gb):
        options = {"series": series, "bin_width": bin_width, "window": None if checked is None else list(checked)}
        if first_bytes(path, EXPECTED).startswith((HDF5, PARQUET, MAGIC, MAGIC_73)):
            return Recording(*read_apart(path, options))
        return Recording(*read_here(path, series=series, bin_width=bin_width, window=checked))


def read_here(
    path: Path,
    *,
    series: str | None = None,
    bin_width: float | None = None,
    window: Sequence[float | str] | None = None,
) -> Read:
    """Read a recording in this process, which damage in a Parquet or HDF5 file could crash.

    Raises:
        NetworkError: as in ``read_recording``.
    """
    head = first_bytes(path, EXPECTED)
    around = None if window is None else Window(*window)  # type: ignore[arg-type]
    if head.startswith(HDF5):
        with open_hdf5(path) as (file, h5py):
            if is_nwb(file):
                return read_nwb(path, file, h5py, series, bin_width, around)
            _refuse_bins(path, bin_width)
            return read_series(path, file, h5py, series, around)
    _refuse_bins(path, bin_width)
    readers = {b"\x93NUMPY": _read_numpy, b"PK": _read_numpy, b"CDF": read_netcdf3}
    readers |= dict.fromkeys((MAGIC, MAGIC_73), read_matlab_recording)
    for magic, read in readers.items():
        if head.startswith(magic):
            return read(path, series, around)
    if head.startswith(PARQUET):
        return read_parquet(path, around)
    if path.suffix.lower() in (".csv", ".tsv"):
        return read_csv(path, around)
    raise NetworkError(
        f"{path} ({path.stat().st_size} bytes) is no recording of a supported format; expected {EXPECTED}"
    )


def _read_numpy(path: Path, series: str | None, window: Window | None) -> Read:
    arrays, left_out = _readable(path, series)
    name = choose(path, {name: each.shape for name, each in arrays.items() if each.dtype.kind in "fiub"}, series)
    values, sorted_by = with_others(path, name, arrays[name], arrays, window)
    facts = [f"array {name}"] if len(arrays) + len(left_out) > 1 else []
    if left_out:
        facts.append(f"not read, since they hold no numbers: {', '.join(sorted(left_out))[:200]}")
    return values, (*facts, *sorted_by)


def _readable(path: Path, series: str | None) -> tuple[Arrays, set[str]]:
    """Return the arrays of numbers and texts, and the names of the others, such as names of units as objects.

    Raises:
        NetworkError: the recording itself is of another type.
    """
    left_out: set[str] = set()
    while True:
        try:
            return read_arrays(path, left_out.__contains__)[1], left_out
        except UnreadableArrayError as error:
            if error.name in ("", series) or len(left_out) >= MOST_UNREADABLE:
                hint = "save an array of numbers, such as np.stack(trials), without objects and complex numbers"
                raise NetworkError(f"{error}. To place it, {hint}") from None
            left_out.add(error.name)


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

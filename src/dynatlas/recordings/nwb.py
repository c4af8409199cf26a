"""Neurodata Without Borders (NWB) files, read as plain HDF5: spike counts or a TimeSeries, by trial.

    units/spike_times + spike_times_index          intervals/trials/start_time, stop_time
    …/NAME/data + timestamps, or starting_time     with its attribute rate

Extensions in a file are not loaded.
"""

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dynatlas._io.hdf5 import datasets_in, load
from dynatlas._io.untrusted import Declared, check_sizes
from dynatlas.errors import NetworkError
from dynatlas.recordings.series import Read, choose, listed

if TYPE_CHECKING:
    from h5py import File

SPIKES, ENDS = "units/spike_times", "units/spike_times_index"
TRIALS = "intervals/trials"
SLACK = 1  # samples by which trials may differ in length, from rounded times
Trials = tuple[NDArray[np.float64], NDArray[np.float64]]  # starts and stops, in seconds


def is_nwb(file: Any) -> bool:
    """Whether an open HDF5 file is marked as NWB."""
    return "nwb_version" in file.attrs


def read_nwb(path: Path, file: "File", h5py: ModuleType, series: str | None, bin_width: float | None) -> Read:
    """Read the spike counts of all units in bins, or a TimeSeries; by trial, if the file has trials.

    Raises:
        NetworkError: neither exists or is specified, trials of different lengths, or an unsafe file.
    """
    datasets = datasets_in(path, file, h5py)

    def numbers(name: str) -> NDArray[Any]:
        if name not in datasets:
            raise NetworkError(f"{path} has no {name}, which its other entries need")
        return load(path, name, datasets[name])

    if series is not None and bin_width is not None:
        raise NetworkError(f"series is {series!r} and bin_width {bin_width:g}; set one of them, not both")
    trials: Trials | None = None
    if f"{TRIALS}/start_time" in datasets:
        trials = numbers(f"{TRIALS}/start_time").astype(float), numbers(f"{TRIALS}/stop_time").astype(float)
    if series is None and SPIKES in datasets:
        if bin_width is None or not (0 < bin_width < math.inf):
            raise NetworkError(
                f"{path} has spikes, which are counted in bins, and bin_width is {bin_width}; set the width in seconds "
                f"with bin_width= (--bin 0.02), or name a TimeSeries with series= (--series): "
                f"{listed(_series(datasets))}"
            )
        return _spike_counts(path, numbers(SPIKES), numbers(ENDS), trials, bin_width)
    shapes = _series(datasets)
    name = choose(path, shapes, series)
    values = numbers(f"{name}/data")
    if trials is None:
        return values, (f"TimeSeries {name}",)
    times = _times(path, name, datasets, numbers, len(values))
    return _in_trials(path, values, times, trials, f"TimeSeries {name}")


def _series(datasets: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every TimeSeries [time, channels] by its path."""
    return {
        name.removesuffix("/data"): each.shape
        for name, each in datasets.items()
        if name.endswith("/data")
        and each.dtype.kind in "fiub"
        and len(each.shape) == 2
        and ({name.removesuffix("data") + other for other in ("timestamps", "starting_time")} & datasets.keys())
    }


def _times(
    path: Path, name: str, datasets: dict[str, Any], numbers: Callable[[str], NDArray[Any]], count: int
) -> NDArray[np.float64]:
    if f"{name}/timestamps" in datasets:
        times = numbers(f"{name}/timestamps").astype(float)
    else:
        start = numbers(f"{name}/starting_time")
        if start.shape != ():
            raise NetworkError(f"{path}: {name}/starting_time has the shape {list(start.shape)}; expected a number")
        rate = float(datasets[f"{name}/starting_time"].attrs["rate"])
        if not 0 < rate < math.inf:
            raise NetworkError(f"{path}: the rate of {name} is {rate:g}; expected samples per second")
        times = float(start) + np.arange(count) / rate
    if times.shape != (count,) or not (np.diff(times) >= 0).all():
        raise NetworkError(
            f"{path}: {name} has {count} samples and times {list(times.shape)}; expected increasing times"
        )
    return times


def _common_length(path: Path, lengths: NDArray[np.int64], what: str) -> tuple[int, tuple[str, ...]]:
    """Return the length to which all trials are cut, and a sentence if any are."""
    if not len(lengths) or lengths.min() < 1 or np.ptp(lengths) > SLACK:
        seen = f"its trials have {lengths.min()} to {lengths.max()} {what}" if len(lengths) else "it has no trials"
        raise NetworkError(
            f"{path}: {seen}; expected equal lengths, as in a probe: cut the trials to one length and "
            "save them as .npy [trials, time, units]"
        )
    shortest = int(lengths.min())
    cut = int((lengths > shortest).sum())
    facts = (f"{cut} of {len(lengths)} trials have one more and were cut to {shortest} {what}",) if cut else ()
    return shortest, facts


def _spike_counts(path: Path, spikes: NDArray[Any], ends: NDArray[Any], trials: Trials | None, width: float) -> Read:
    """Count the spikes of each unit in bins: [trials, bins, units], or [bins, units] of the whole session."""
    last = ends.astype(np.int64)
    if len(last) and (last.max() > len(spikes) or (np.diff(last) < 0).any() or last.min() < 0):
        raise NetworkError(f"{path} is damaged: {ENDS} does not fit the {len(spikes)} spikes of {SPIKES}")
    if not len(spikes) or not np.isfinite(spikes).all():
        raise NetworkError(f"{path} has {len(spikes)} spike times; expected at least one, all of them finite")
    starts, stops = (np.zeros(1), np.array([spikes.max()])) if trials is None else trials
    spans = (stops - starts) / width
    if not np.isfinite(spans).all() or np.abs(spans).max(initial=0) > 2**53:
        raise NetworkError(f"{path}: the duration of its trials is NaN or more than 2^53 bins of {width:g}")
    # Rounding puts differences such as 0.3 − 0.2 just below a whole number of bins.
    n_bins, cut = _common_length(path, np.floor(spans + 1e-6).astype(np.int64), f"bins of {width:g} s")
    shape = (len(starts), n_bins, len(last))
    ends_shape = (len(starts), n_bins + 1)
    check_sizes(
        path,
        {
            "counts of spikes": Declared(shape, 8 * math.prod(shape)),
            "ends of bins": Declared(ends_shape, 8 * math.prod(ends_shape)),
        },
    )
    edges = starts[:, None] + width * np.arange(n_bins + 1)
    counts = np.zeros(shape)
    for unit, (first, end) in enumerate(zip([0, *last[:-1]], last, strict=True)):
        places = np.searchsorted(np.sort(spikes[first:end]), edges.ravel()).reshape(edges.shape)
        counts[:, :, unit] = np.diff(places, axis=1)
    fact = f"spikes of {len(last)} units in bins of {width:g} s"
    if trials is None:
        return counts[0], (f"{fact}, from 0 to the last spike",)
    return counts, (f"{fact}, from the start of each of {len(starts)} trials", *cut)


def _in_trials(path: Path, values: NDArray[Any], times: NDArray[np.float64], trials: Trials, fact: str) -> Read:
    """Cut samples [time, channels] into trials [trials, time, channels]."""
    first, end = (np.searchsorted(times, bounds) for bounds in trials)
    length, cut = _common_length(path, end - first, "samples")
    shape = (len(first), length, values.shape[1])
    check_sizes(
        path, {"samples of all trials": Declared(shape, max(values.itemsize * shape[2], 8) * shape[0] * length)}
    )
    return values[first[:, None] + np.arange(length)], (fact, f"cut into {len(first)} trials", *cut)

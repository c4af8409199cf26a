"""Neurodata Without Borders (NWB) files, read as plain HDF5: spike counts or a TimeSeries, by trial.

    units/spike_times + spike_times_index          intervals/trials/start_time, stop_time
    …/NAME/data + timestamps, or starting_time     with its attribute rate

    units/obs_intervals + obs_intervals_index      intervals/trials/EVENT, to align with
    …/NAME/channel_conversion                      intervals/invalid_times, which no trial may touch

Extensions in a file are not loaded.
"""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynatlas._io.hdf5 import datasets_in, load
from dynatlas._io.sizes import Declared, check_sizes
from dynatlas._util.messages import count_of
from dynatlas._util.names import is_mask
from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.series import Read, choose, listed
from dynatlas.recordings.formats.spikes import check_counts, check_spikes, observed
from dynatlas.recordings.formats.windows import Window

if TYPE_CHECKING:
    from h5py import File

SPIKES, ENDS = "units/spike_times", "units/spike_times_index"
TRIALS = "intervals/trials"
INVALID = "intervals/invalid_times"
OBSERVED, OBSERVED_ENDS = "units/obs_intervals", "units/obs_intervals_index"
MOST_UNITS = 100_000
SLACK = 1  # samples by which trials may differ in length, from rounded times


class Trials(NamedTuple):
    """Spans of time that are read, in seconds, and sentences about them."""

    starts: NDArray[np.float64]
    stops: NDArray[np.float64]
    facts: tuple[str, ...] = ()


def is_nwb(file: Any) -> bool:
    """Whether an open HDF5 file is marked as NWB."""
    return "nwb_version" in file.attrs


def read_nwb(
    path: Path,
    file: "File",
    h5py: ModuleType,
    series: str | None,
    bin_width: float | None,
    window: Window | None = None,
) -> Read:
    """Read the spike counts of all units in bins, or a TimeSeries; by trial, if the file has trials.

    Units that were not observed in all trials, by their obs_intervals, are left out.

    Raises:
        NetworkError: neither exists or is specified, trials of different lengths, implausible times, or an unsafe file.
    """
    datasets = datasets_in(path, file, h5py)

    def numbers(name: str) -> NDArray[Any]:
        if name not in datasets:
            raise NetworkError(f"{path} has no {name}, which its other entries need")
        return load(path, name, datasets[name])

    if series is not None and bin_width is not None:
        raise NetworkError(f"series is {series!r} and bin_width {bin_width:g}; set one of them, not both")
    _refuse_masks(path, datasets, numbers)
    trials = _trials(path, datasets, numbers, window)
    if trials is not None:
        _refuse_invalid(path, datasets, numbers, trials)
    if series is None and SPIKES in datasets:
        if bin_width is None or not (0 < bin_width < math.inf):
            raise NetworkError(
                f"{path} has spikes, which are counted in bins, and bin_width is {bin_width}; set the width in seconds "
                f"with bin_width= (--bin 0.02), or name a TimeSeries with series= (--series): "
                f"{listed(_series(datasets))}"
            )
        spikes = _of_units(path, numbers(SPIKES), numbers(ENDS), SPIKES)
        intervals = None
        if OBSERVED in datasets and OBSERVED_ENDS in datasets:
            intervals = _of_units(path, numbers(OBSERVED), numbers(OBSERVED_ENDS), OBSERVED)
        return _spike_counts(path, spikes, intervals, trials, bin_width)
    shapes = _series(datasets)
    name = choose(path, shapes, series)
    values = numbers(f"{name}/data")
    if f"{name}/channel_conversion" in datasets:  # factors of channels, which one of all would not change
        values = values * np.broadcast_to(numbers(f"{name}/channel_conversion").astype(float), values.shape[1:])
    if trials is None:
        return values, (f"TimeSeries {name}",)
    times = _times(path, name, datasets, numbers, len(values))
    return _in_trials(path, values, times, trials, f"TimeSeries {name}")


def _trials(
    path: Path, datasets: dict[str, Any], numbers: Callable[[str], NDArray[Any]], window: Window | None
) -> Trials | None:
    """Return the spans to read: the trials, or a window around an event of each; None without trials."""
    if f"{TRIALS}/start_time" not in datasets:
        if window is not None:
            raise NetworkError(f"{path} has no {TRIALS}, whose events a window needs; leave out --window and --align")
        return None
    starts, stops = (numbers(f"{TRIALS}/{name}").astype(float) for name in ("start_time", "stop_time"))
    if starts.shape != stops.shape or starts.ndim != 1:
        raise NetworkError(
            f"{path}: {TRIALS} has {list(starts.shape)} starts and {list(stops.shape)} stops; is damaged"
        )
    order, facts = _trial_order(datasets, numbers, starts)
    starts, stops = starts[order], stops[order]
    if window is None:
        return Trials(starts, stops, facts)
    event = window.event or "start_time"
    if f"{TRIALS}/{event}" not in datasets or datasets[f"{TRIALS}/{event}"].dtype.kind not in "fiu":
        known = [
            name.removeprefix(f"{TRIALS}/")
            for name, each in datasets.items()
            if name.startswith(f"{TRIALS}/") and each.dtype.kind == "f" and each.shape == starts.shape
        ]
        raise NetworkError(f"{path} has no times called {event!r} in {TRIALS}; it has {', '.join(known)[:200]}")
    events = numbers(f"{TRIALS}/{event}").astype(float)
    if events.shape != starts.shape or not np.isfinite(events).all():
        missing = int((~np.isfinite(events)).sum())
        raise NetworkError(
            f"{path}: {event} is missing in {missing} of {len(starts)} trials, and has the shape {list(events.shape)}; "
            "leave out the trials without this event"
        )
    events = events[order]
    said = [*facts, f"times {window.said}"]
    beyond = int((events + window.end > stops + 1e-6).sum())
    before = int((events + window.begin < starts - 1e-6).sum())
    if beyond or before:
        said.append(f"the window begins before the start of {before} trials and ends after the stop of {beyond}")
    return Trials(events + window.begin, events + window.end, tuple(said))


def _trial_order(
    datasets: dict[str, Any], numbers: Callable[[str], NDArray[Any]], starts: NDArray[np.float64]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the order of the trials, by their ids if they have some, and a sentence if it is not that of time."""
    order = np.arange(len(starts))
    if f"{TRIALS}/id" in datasets and datasets[f"{TRIALS}/id"].shape == starts.shape:
        ids = numbers(f"{TRIALS}/id")
        order = np.argsort(ids, kind="stable") if len(np.unique(ids)) == len(ids) else order
    if (order != np.arange(len(starts))).any():
        return order, ("trials in the order of their ids, which is not that of the table",)
    if (np.diff(starts) < 0).any():
        return order, ("trials in the order of the table, which is not that of their start times",)
    return order, ()


def _refuse_masks(path: Path, datasets: dict[str, Any], numbers: Callable[[str], NDArray[Any]]) -> None:
    """Check that no column says that only some trials or units count."""
    for name, dataset in datasets.items():
        table, _, column = name.rpartition("/")
        if table not in (TRIALS, "units") or not is_mask(column) or dataset.dtype.kind not in "iub":
            continue
        values = numbers(name)
        if values.ndim == 1 and np.array_equal(np.unique(values), (0, 1)):
            raise NetworkError(
                f"{path}: {name} is 1 for {int(values.sum())} of {len(values)} rows, and seems to say which of the "
                f"{table.rpartition('/')[2]} count; save a file with these alone, and without this column"
            )


def _refuse_invalid(
    path: Path, datasets: dict[str, Any], numbers: Callable[[str], NDArray[Any]], trials: Trials
) -> None:
    """Check that no trial touches a span that the file marks as invalid."""
    ends = [f"{INVALID}/{name}" for name in ("start_time", "stop_time")]
    if not datasets.keys() >= set(ends):
        return
    begins, stops = (numbers(name).astype(float).reshape(-1) for name in ends)
    order = np.argsort(begins)
    begins, latest = begins[order], np.maximum.accumulate(stops[order])
    place = np.searchsorted(begins, trials.stops) - 1  # the last span that begins before the trial ends
    touched = (place >= 0) & (latest[np.maximum(place, 0)] > trials.starts)
    if touched.any():
        raise NetworkError(
            f"{path}: {INVALID} covers a part of {count_of(int(touched.sum()), 'trial')} of {len(touched)} (first: "
            f"{int(touched.argmax())}); leave these out, or choose another --window"
        )


def _of_units(path: Path, values: NDArray[Any], ends: NDArray[Any], name: str) -> list[NDArray[np.float64]]:
    """Return the part of each unit of a ragged column, which ends where its index says."""
    last = ends.astype(np.int64)
    if last.ndim != 1 or len(last) > MOST_UNITS:
        raise NetworkError(f"{path}: {name} is of the units {list(last.shape)}; expected at most {MOST_UNITS:,}")
    if len(last) and (last.max() > len(values) or (np.diff(last) < 0).any() or last.min() < 0):
        raise NetworkError(f"{path} is damaged: the index of {name} does not fit its {len(values)} values")
    if name == OBSERVED and (values.ndim != 2 or values.shape[1] != 2 or not np.isfinite(values).all()):
        raise NetworkError(f"{path}: {name} has the shape {list(values.shape)}; expected finite [intervals, 2]")
    numbers = values.astype(float, copy=False)
    return [numbers[first:end] for first, end in itertools.pairwise([0, *last])]


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
            f"{path}: {seen}; expected equal lengths, as in a probe: choose a window that all trials have, such as "
            "--window 0:0.6, or --align EVENT --window 0:0.6"
        )
    shortest = int(lengths.min())
    cut = int((lengths > shortest).sum())
    facts = (f"{cut} of {len(lengths)} trials have one more and were cut to {shortest} {what}",) if cut else ()
    return shortest, facts


def _spike_counts(
    path: Path,
    spikes: list[NDArray[np.float64]],
    intervals: list[NDArray[np.float64]] | None,
    trials: Trials | None,
    width: float,
) -> Read:
    """Count the spikes of each unit in bins: [trials, bins, units], or [bins, units] of the whole session."""
    count = sum(map(len, spikes))
    if not count or not all(np.isfinite(times).all() for times in spikes):
        raise NetworkError(f"{path} has {count} spike times; expected at least one, all of them finite: leave out NaN")
    latest = max(float(times.max()) for times in spikes if len(times))
    starts, stops, facts = Trials(np.zeros(1), np.array([latest])) if trials is None else trials
    spans = (stops - starts) / width
    if not np.isfinite(spans).all() or np.abs(spans).max(initial=0) > 2**53:
        raise NetworkError(
            f"{path}: the duration of its trials is NaN or more than 2^53 bins of {width:g}; leave out trials without "
            "a stop, or choose a --window"
        )
    # Rounding puts differences such as 0.3 − 0.2 just below a whole number of bins.
    n_bins, cut = _common_length(path, np.floor(spans + 1e-6).astype(np.int64), f"bins of {width:g} s")
    shape, ends_shape = (len(starts), n_bins, len(spikes)), (len(starts), n_bins + 1)
    check_sizes(
        path,
        {
            "counts of spikes": Declared(shape, 8 * math.prod(shape)),
            "ends of bins": Declared(ends_shape, 8 * math.prod(ends_shape)),
        },
    )
    check_spikes(path, spikes, starts, stops)
    fact = f"spikes of {len(spikes)} units in bins of {width:g} s"
    if intervals is not None and len(intervals) == len(spikes):
        kept = observed(path, spikes, intervals, starts, starts + n_bins * width)
        if not kept.all():
            facts = (*facts, f"{int((~kept).sum())} units left out: by obs_intervals not observed in all trials")
            spikes = [times for times, is_kept in zip(spikes, kept, strict=True) if is_kept]
    edges = starts[:, None] + width * np.arange(n_bins + 1)
    counts = np.zeros((*shape[:2], len(spikes)))
    for unit, times in enumerate(spikes):
        places = np.searchsorted(times, edges.ravel()).reshape(edges.shape)
        counts[:, :, unit] = np.diff(places, axis=1)
    check_counts(path, counts, width)
    if trials is None:
        return counts[0], (f"{fact}, from 0 to the last spike", *facts)
    return counts, (f"{fact}, from the start of each of {len(starts)} trials", *cut, *facts)


def _in_trials(path: Path, values: NDArray[Any], times: NDArray[np.float64], trials: Trials, fact: str) -> Read:
    """Cut samples [time, channels] into trials [trials, time, channels]."""
    # Rounding of times must not move a sample across a bound.
    slack = 1e-6 * float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    if not np.isfinite(trials.starts).all() or not np.isfinite(trials.stops).all():
        raise NetworkError(f"{path}: its trials start or stop at NaN or infinity; leave these out")
    first, end = (np.searchsorted(times, bounds - slack) for bounds in trials[:2])
    if values.shape[1] > len(values) and not (end > first).any():
        raise NetworkError(
            f"{path}: no sample of {fact} is in a trial; it has the shape {list(values.shape)}, expected [time, "
            "channels]"
        )
    length, cut = _common_length(path, end - first, "samples")
    shape = (len(first), length, values.shape[1])
    check_sizes(
        path, {"samples of all trials": Declared(shape, max(values.itemsize * shape[2], 8) * shape[0] * length)}
    )
    return values[first[:, None] + np.arange(length)], (fact, f"cut into {len(first)} trials", *cut, *trials.facts)

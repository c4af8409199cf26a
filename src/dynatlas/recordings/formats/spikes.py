"""Whether the spike times of a file can be what they are read as: seconds of the session, in the observed intervals."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dynatlas._util.messages import count_of
from dynatlas.errors import NetworkError

HIGHEST_RATE: Final = 1000.0  # spikes per second: a refractory period of 1 ms
FAR: Final = 20.0  # times the end of the last trial
FEW: Final = 0.05  # share of the spikes within the span of the trials
FEWEST_AROUND: Final = 3  # silent trials at the beginning and the end
SPIKES_EXPECTED: Final = 5.0  # in a trial of all units, from which silence is implausible
Times = NDArray[np.float64]


def check_spikes(path: Path, spikes: list[Times], starts: Times, stops: Times) -> None:
    """Check the spike times of each unit before they are counted.

    Args:
        path: the file, for errors.
        spikes: times of each unit.
        starts: start of each trial, in seconds.
        stops: stop of each trial.

    Raises:
        NetworkError: times that descend, as if they restarted at each trial, or times far beyond the trials, as if in
            milliseconds.
    """
    for unit, times in enumerate(spikes):
        descents = int((np.diff(times) < 0).sum())
        if descents:
            raise NetworkError(
                f"{path}: the spike times of unit {unit} descend {descents} times; expected seconds from the start of "
                "the session, in order. If they restart at each trial, add the trial's start to them; else sort them"
            )
    every = np.concatenate(spikes)
    last, end = float(every.max()), float(stops.max())
    inside = float(((every >= starts.min()) & (every < end)).mean())
    if len(starts) > 1 and end > 0 and last > FAR * end and inside < FEW:
        scale = "milliseconds" if last < 5000 * end else "samples"
        raise NetworkError(
            f"{path}: the last spike is at {last:.6g}, the last trial stops at {end:.6g} s, and {inside:.1%} of the "
            f"spikes lie between the trials' first start and last stop; the times seem to be in {scale}; expected "
            "seconds. If they are right, remove the spikes beyond the trials"
        )


def check_counts(path: Path, counts: NDArray[np.float64], width: float) -> None:
    """Check the counts [trials, bins, units] of spikes.

    Raises:
        NetworkError: a unit with a mean rate above 1 kHz, or silence in most trials.
    """
    rates = counts.mean(axis=(0, 1)) / width
    if len(rates) and rates.max() > HIGHEST_RATE:
        unit = int(rates.argmax())
        raise NetworkError(
            f"{path}: unit {unit} has a mean rate of {rates[unit]:,.0f} spikes per second; expected at most "
            f"{HIGHEST_RATE:,.0f}: check the unit of time of spikes, trials and --bin (seconds)"
        )
    per_trial = counts.sum(axis=(1, 2))
    silent = per_trial == 0
    heard = np.flatnonzero(~silent)
    if not len(heard) or per_trial[heard].mean() < SPIKES_EXPECTED:
        return
    around = len(silent) - (heard[-1] - heard[0] + 1)  # before the first and after the last trial with spikes
    if silent.mean() > 0.5 or around >= FEWEST_AROUND:
        raise NetworkError(
            f"{path}: in {int(silent.sum())} of {len(silent)} trials no unit has a spike, and in the others "
            f"{per_trial[~silent].mean():.0f} on average; expected spike times in seconds of the session: do they "
            "restart at each trial, or run on another clock? Or was the recording shorter than the trials? Then leave "
            "these out"
        )


def observed(path: Path, spikes: list[Times], intervals: list[Times], starts: Times, stops: Times) -> NDArray[np.bool_]:
    """Return which units were observed during all trials, by the intervals [n, 2] in which each was observed.

    Raises:
        NetworkError: no unit was, or a unit has spikes outside its intervals.
    """
    kept = np.ones(len(spikes), bool)
    for unit, (times, spans) in enumerate(zip(spikes, intervals, strict=True)):
        if not len(spans):  # none stored for this unit: no statement
            continue
        begins, ends = _merged(spans)
        place = np.searchsorted(begins, times, side="right") - 1
        outside = int(((place < 0) | (times > ends[np.maximum(place, 0)] + 1e-6)).sum())
        if outside > 0.01 * len(times):
            raise NetworkError(
                f"{path}: {outside} of {count_of(len(times), 'spike')} of unit {unit} lie outside its obs_intervals; "
                "expected both in seconds of the session"
            )
        place = np.searchsorted(begins, starts + 1e-6, side="right") - 1
        kept[unit] = bool(((place >= 0) & (stops <= ends[np.maximum(place, 0)] + 1e-6)).all())
    if not kept.any():
        raise NetworkError(
            f"{path}: by its obs_intervals none of the {len(kept)} units was observed in all {len(starts)} trials; "
            "expected trials in which units were recorded: leave out the others"
        )
    return kept


def _merged(spans: Times) -> tuple[Times, Times]:
    """Return begins and ends of intervals, sorted, with those that touch joined."""
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    ends = np.maximum.accumulate(spans[:, 1])
    new = np.concatenate([[True], spans[1:, 0] > ends[:-1] + 1e-6])
    last = np.concatenate([np.flatnonzero(new)[1:] - 1, [len(spans) - 1]])
    return spans[new, 0], ends[last]

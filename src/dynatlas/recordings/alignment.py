"""Alignment of a recording with the probe: which of the probe's samples each row is.

Geometry compares activity on the same samples. The rows of a recording are the probe's samples, trial by trial; or
means over groups of samples, such as conditions, over which the networks' activity is averaged too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray

from dynatlas._util.messages import count_of
from dynatlas.errors import NetworkError
from dynatlas.recordings.in_memory import plain
from dynatlas.recordings.probe import Probe

FEWEST_ROWS: Final = 4
HELP: Final = "`dynatlas probe ATLAS --task {kind} probe.npz` writes the samples"


@dataclass(frozen=True, eq=False)
class Rows:
    """Assignment of the probe's samples to rows.

    Attributes:
        of_sample: row of each sample, trial by trial; −1 for none.
        count: number of rows.
        trials: number of trials if the rows are the probe's samples, 0 if they are means.
        said: description of the rows.
        inputs: of the networks, if the rows are the probe's samples.
    """

    of_sample: Int[np.ndarray, " samples"]
    count: int
    trials: int
    said: str
    inputs: Float[np.ndarray, "trials steps inputs"] | None = None

    def of(self, activity: Float[np.ndarray, "samples units"]) -> Float[np.ndarray, "rows units"]:
        """Return a network's activity in these rows: the mean over each row's samples."""
        if self.trials:
            return activity
        from scipy.sparse import csr_array

        kept = np.flatnonzero(self.of_sample >= 0)
        rows = self.of_sample[kept]
        weights = 1 / np.bincount(rows, minlength=self.count)[rows]
        means = csr_array((weights, (rows, kept)), shape=(self.count, len(activity)))
        return np.asarray(means @ activity)

    def halves(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows of even and of odd trials; of means, the even and the odd rows."""
        number = np.arange(self.count)
        unit = number // (self.count // self.trials) if self.trials else number
        return np.flatnonzero(unit % 2 == 0), np.flatnonzero(unit % 2 == 1)

    def inputs_of(self, rows: Int[np.ndarray, " some"]) -> Float[np.ndarray, "some_trials steps inputs"] | None:
        """Return the inputs of the trials whose rows these are."""
        if self.inputs is None:
            return None
        steps = self.count // self.trials
        return self.inputs[np.unique(rows // steps)]


@dataclass(frozen=True, eq=False)
class Aligned:
    """A recording with the same rows as the networks' activity.

    Attributes:
        activity: without constant units.
        rows: the assignment of samples to rows.
        facts: what was found and changed, one sentence each.
    """

    activity: Float[np.ndarray, "rows units"]
    rows: Rows
    facts: tuple[str, ...]


def align(
    values: ArrayLike, probe: Probe, name: str, rows: ArrayLike | None = None, *, resample: bool = False
) -> Aligned:
    """Check a recording and assign the probe's samples to its rows.

    Args:
        values: [trials, time, units], or [samples or conditions, units]; xarray's dimensions and a DataFrame's index
            and columns are honoured (``in_memory.plain``).
        probe: the probe of the task.
        name: name of the recording, for errors.
        rows: integers [trials, steps] or [samples]: the row of each of the probe's samples, −1 for none; by default
            every sample is a row or, if there are as many rows as conditions, every condition.
        resample: interpolate the recording linearly in time to the probe's steps.

    Raises:
        NetworkError: not numbers, NaN or infinity, constant, too few rows, or rows that do not match the probe's.

    Example:
        >>> from dynatlas.recordings import probe_of
        >>> from dynatlas.tasks import FlipFlop
        >>> probe = probe_of(FlipFlop(channels=2, steps=10, probe_trials=8))
        >>> align(np.eye(4), probe, "means").rows.said
        'means over the 4 conditions of the probe'
    """
    given, read = plain(values, name)
    array = _checked(given, name)
    array, resampled = _resampled(array, probe, name) if resample else (array, [])
    flat = array.reshape(-1, array.shape[-1])
    found = _rows(array, probe, name, rows)
    if found.count < FEWEST_ROWS:
        raise NetworkError(f"{name} has {found.count} rows; expected at least {FEWEST_ROWS} to compare")
    moves = (flat != flat[:1]).any(axis=0)
    if not moves.any():
        raise NetworkError(f"{name} is constant in all {len(moves)} units; expected activity")
    facts = [f"{count_of(found.count, 'row')}, {found.said}; {count_of(int(moves.sum()), 'unit')}", *read, *resampled]
    if not moves.all():
        facts.append(f"{count_of(int((~moves).sum()), 'constant unit')} left out")
    if moves.sum() >= found.count:
        facts.append("at least as many units as rows: is the recording transposed? Expected [samples, units]")
    if not read and array.ndim == 3 and array.shape[1] == array.shape[2]:
        facts.append(f"as many units as times ({array.shape[1]}): their axes are taken as [trials, time, units]")
    return Aligned(flat[:, moves], found, tuple(facts))


def _checked(array: NDArray[Any], name: str) -> NDArray[np.float64]:
    if array.dtype.kind not in "fiub":
        raise NetworkError(f"{name} is of the type {array.dtype}; expected numbers")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise NetworkError(
            f"{name} has the shape {list(array.shape)}; expected [trials, time, units], or [samples or conditions, "
            "units], each at least 1"
        )
    array = array.astype(np.float64, copy=False)
    missing = ~np.isfinite(array).reshape(-1, array.shape[-1])
    if missing.any():
        units = np.flatnonzero(missing.any(axis=0))
        rows = int(missing.any(axis=1).sum())
        raise NetworkError(
            f"{name} has NaN or infinity in {len(units)} of {array.shape[-1]} units (first: unit {units[0]}) and in "
            f"{rows} of {len(missing)} samples; leave out these units, or fill the gaps"
        )
    return array


def _resampled(array: NDArray[np.float64], probe: Probe, name: str) -> tuple[NDArray[np.float64], list[str]]:
    """Interpolate in time: the first time of a trial becomes its first step, the last time its last step."""
    if array.ndim == 2:
        if len(array) % probe.trials:
            raise NetworkError(
                f"{name} has {len(array):,} rows, not {probe.trials} trials of equal length; {_expected(probe)}"
            )
        array = array.reshape(probe.trials, -1, array.shape[1])
    if len(array) != probe.trials:
        raise NetworkError(f"{name} has {len(array)} trials; {_expected(probe)}")
    length = array.shape[1]
    if length < 2:
        raise NetworkError(f"{name} has {length} time in each trial; expected at least 2 to resample it")
    places = np.linspace(0, length - 1, probe.steps)
    before = np.minimum(places.astype(np.int64), length - 2)
    share = (places - before)[:, None]
    resampled = (1 - share) * array[:, before] + share * array[:, before + 1]
    return resampled, [f"{length} times of each trial resampled to {probe.steps} steps by linear interpolation"]


def _rows(array: NDArray[np.float64], probe: Probe, name: str, rows: ArrayLike | None) -> Rows:
    count = int(np.prod(array.shape[:-1]))
    if rows is not None:
        return _given_rows(rows, count, probe, name)
    is_whole = array.shape[:-1] in ((probe.samples,), (probe.trials, probe.steps))
    if is_whole:
        said = f"the probe's samples ({probe.trials} trials of {probe.steps} steps)"
        return Rows(np.arange(probe.samples), probe.samples, probe.trials, said, probe.inputs)
    n_conditions = len(probe.condition_names)
    if array.ndim == 2 and count == n_conditions:
        return Rows(probe.condition.ravel(), count, 0, f"means over the {count} conditions of the probe")
    raise NetworkError(f"{name} has the shape {list(array.shape)}; {_hint(array, probe)}{_expected(probe)}")


def _given_rows(rows: ArrayLike, count: int, probe: Probe, name: str) -> Rows:
    given = np.asarray(rows)
    if given.dtype.kind not in "iu" or given.shape not in ((probe.samples,), (probe.trials, probe.steps)):
        raise NetworkError(
            f"rows has the shape {list(given.shape)} and the type {given.dtype}; expected an integer for each of the "
            f"probe's samples, [{probe.trials}, {probe.steps}]"
        )
    flat = given.ravel().astype(np.int64)
    present = np.unique(flat[flat >= 0])
    if not np.array_equal(present, np.arange(count)):
        seen = f"{len(present)} different rows" + (f" up to {present[-1]}" if len(present) else "")
        raise NetworkError(f"rows names {seen}; {name} has the rows 0 to {count - 1}, each with at least one sample")
    averaged = int((flat >= 0).sum())
    return Rows(flat, count, 0, f"means over {averaged:,} of the probe's {probe.samples:,} samples, assigned by rows=")


def _hint(array: NDArray[np.float64], probe: Probe) -> str:
    """Suggest another order of the axes, or resampling, where that would fit; else ""."""
    wanted: Sequence[tuple[int, ...]] = ((probe.samples,), (probe.trials, probe.steps), (len(probe.condition_names),))
    fitting = [
        f"np.transpose(recording, {list(order)})"
        for order in permutations(range(array.ndim))
        if tuple(array.shape[axis] for axis in order[:-1]) in wanted
    ]
    if fitting:
        by_meaning = "; choose by what the axes are" if len(fitting) > 1 else ""
        return f"its axes seem to be in another order: {' or '.join(fitting)} would fit{by_meaning}. "
    if array.ndim == 3 and len(array) == probe.trials:
        return f"--resample interpolates its {array.shape[1]} times to the probe's {probe.steps} steps. "
    return ""


def _expected(probe: Probe) -> str:
    conditions = f", or [{len(probe.condition_names)}, units] (means over conditions)"
    return (
        f"expected the probe's samples of the task {probe.kind} in their order, [{probe.trials}, {probe.steps}, units] "
        f"or [{probe.samples}, units]{conditions if len(probe.condition_names) >= FEWEST_ROWS else ''}; or "
        f"assign samples to rows with rows= (--rows). {HELP.format(kind=probe.kind)}"
    )

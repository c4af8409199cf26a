"""Arrays beside a recording in its file: labels that order its rows, and masks, lengths and orders that are refused.

    rates [samples, units]         trial [samples], time [samples]     sorted by them, [trials, time, units]
    rates [trials, time, units]    trial [trials], time [time]         each axis sorted by its labels

An array that says which values count, how long each trial is or in which order trials belong changes what the recording
means, and no name says how. It is refused, unless it changes nothing.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas._util.names import Role, is_mask, role_of, words_of
from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.arranging import arranged
from dynatlas.recordings.formats.series import Read
from dynatlas.recordings.formats.windows import Window

LENGTHS: Final = {"length", "lengths", "len", "lens"}
ORDERS: Final = {"order", "permutation", "perm", "index", "indices", "idx", "sorting", "argsort"}
Others = Mapping[str, NDArray[Any]]


def names_beside(name: str, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return the names of the arrays that ``with_others`` looks at, by name and shape.

    Example:
        >>> names_beside("rates", {"rates": (9, 2), "trial": (9, 1), "pupil": (9,), "note": (3,)})
        ['trial']
    """
    own = shapes[name]
    found = []
    for other, shape in shapes.items():
        words = set(words_of(_last(other)))
        is_small = math.prod(shape) <= math.prod(own) and max(shape, default=1) <= max(own, default=1)
        if other != name and is_small and (_role(other) or is_mask(_last(other)) or words & (LENGTHS | ORDERS)):
            found.append(other)
    return found


def with_others(
    path: Path | str, name: str, values: NDArray[Any], others: Others, window: Window | None = None
) -> Read:
    """Return a recording as [trials, time, units] or [samples, units] by the labels beside it.

    Args:
        path: the file, for errors.
        name: name of the recording in the file.
        values: the recording, [trials, time, units] or [samples, units].
        others: the other arrays of the file by name; vectors may have axes of length 1.
        window: the part of each trial that is read, of samples with trials and times.

    Raises:
        NetworkError: labels that fit another axis, repeat or have no order; or a mask, lengths or an order.

    Example:
        >>> values, facts = with_others("a.npz", "rates", np.array([[5, 6], [1, 2]]), {"trial": np.array([1, 0])})
        >>> values.tolist(), facts
        ([[1, 2], [5, 6]], ('rows in the order of trial',))
    """
    squeezed = {other: native(np.squeeze(each)) for other, each in others.items() if other != name}
    labels: dict[str, Role] = {}
    if values.ndim in (2, 3):
        for other, each in squeezed.items():
            _refuse_meaning(path, name, values, other, each)
            if each.ndim == 1 and len(each) > 1 and (role := _role(other)):
                labels[other] = role
    found = {other: squeezed[other] for other in labels if len(squeezed[other]) in values.shape}
    if values.ndim == 2 and found:
        return _samples(path, name, values, found, window)
    if window is not None:
        raise NetworkError(
            f"{path} is no NWB file or table, and has no trial and time for each sample of {name!r}, which the window "
            "needs; cut its trials"
        )
    facts: list[str] = []
    for other, each in found.items() if values.ndim == 3 else ():
        values = _axis_sorted(path, name, values, other, each, {"trial": 0, "time": 1}.get(labels[other]), facts)
    return values, tuple(facts)


def native(values: NDArray[Any]) -> NDArray[Any]:
    """Return values in the byte order of the machine, which pandas needs."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _last(name: str) -> str:
    return name.replace(".", "/").rpartition("/")[2]


def _role(name: str) -> Role:
    """Return whether labels of this name are of trials, times or conditions; else ""."""
    role = role_of(_last(name))
    return role if role in ("trial", "time", "condition") else ""


def _refuse_meaning(path: Path | str, name: str, values: NDArray[Any], other: str, each: NDArray[Any]) -> None:
    """Check that an array does not say which values count, how long trials are, or how they are ordered."""
    words = set(words_of(_last(other)))
    says = ""
    if is_mask(_last(other)) and (_is_mask(each, values) or _is_choice(each, values)):
        says = "seems to say which of its values count: apply it (leave out rows and units, or fill gaps)"
    elif words & LENGTHS and _is_lengths(each, values):
        says = "seems to say how long each trial is, with the rest filled: cut all trials to one length"
    elif words & ORDERS and not _role(other) and _is_order(each, values):
        says = "seems to be another order of its rows: apply it"
    if says:
        raise NetworkError(f"{path}: {other!r} {list(each.shape)} {says}, and save {name!r} without it")


def _is_mask(each: NDArray[Any], values: NDArray[Any]) -> bool:
    """Whether an array has zeros and ones, both, for the entries of the first axes, or for units."""
    fitting = {values.shape[:axes] for axes in range(1, values.ndim + 1)} | {values.shape[-1:]}
    return each.shape in fitting and each.dtype.kind in "fiub" and np.array_equal(np.unique(each), (0, 1))


def _is_choice(each: NDArray[Any], values: NDArray[Any]) -> bool:
    """Whether an array has the numbers of some entries of an axis."""
    if each.ndim != 1 or each.dtype.kind not in "iu" or not len(each):
        return False
    unique = np.unique(each)
    return len(unique) == len(each) and unique[0] >= 0 and any(len(each) < n >= unique[-1] for n in values.shape)


def _is_lengths(each: NDArray[Any], values: NDArray[Any]) -> bool:
    return bool(
        values.ndim == 3
        and each.shape == values.shape[:1]
        and each.dtype.kind in "fiu"
        and len(np.unique(each)) > 1
        and each.max() <= values.shape[1]
    )


def _is_order(each: NDArray[Any], values: NDArray[Any]) -> bool:
    """Whether an array is a permutation of the entries of the first axis that moves some."""
    count = np.arange(len(values))
    return (
        each.shape == count.shape
        and each.dtype.kind in "iu"
        and any(np.array_equal(np.sort(each), count + first) and (each != count + first).any() for first in (0, 1))
    )


def _samples(path: Path | str, name: str, values: NDArray[Any], labels: Others, window: Window | None) -> Read:
    """Return samples [samples, units] sorted by their labels."""
    rows = {_last(one): along for one, along in labels.items() if len(along) == len(values)}
    if not rows:
        raise NetworkError(_other_axis(path, name, values, next(iter(labels)), 1))
    roles = {role_of(one) for one in rows}
    if roles == {"time"} and (period := _period(next(iter(rows.values())))):
        fact = f"{next(iter(rows))} restarts every {period} rows: trials of {period} times"
        return values.reshape(-1, period, values.shape[1]), (fact,)
    if "trial" in roles or "time" in roles:  # conditions of samples that trials or times order
        rows = {one: along for one, along in rows.items() if role_of(one) != "condition"}
    elif any(len(np.unique(along)) < len(along) for along in rows.values()):
        return values, ()
    frame = pd.DataFrame(native(values), columns=[f"unit_{unit}" for unit in range(values.shape[1])])
    sorted_values, facts = arranged(f"{path}: {name}", frame.assign(**rows), window)
    if sorted_values.ndim == 3 and sorted_values.shape[1] == 1:
        sorted_values = sorted_values[:, 0]
    return sorted_values.astype(values.dtype, copy=False), facts[1:]


def _period(times: NDArray[Any]) -> int:
    """Return the number of times in each trial, if the same increasing times follow each other; else 0."""
    period = len(np.unique(times))
    if period == len(times) or len(times) % period:
        return 0
    trials = times.reshape(-1, period)
    return period if (trials == trials[0]).all() and (trials[0, 1:] > trials[0, :-1]).all() else 0


def _axis_sorted(
    path: Path | str,
    name: str,
    values: NDArray[Any],
    other: str,
    labels: NDArray[Any],
    axis: int | None,
    facts: list[str],
) -> NDArray[Any]:
    """Return [trials, time, units] with an axis sorted by its labels."""
    if axis is None or labels.dtype.kind not in "fiumM":
        return values
    if len(labels) != values.shape[axis]:
        raise NetworkError(_other_axis(path, name, values, other, values.shape.index(len(labels))))
    if (labels[1:] > labels[:-1]).all():
        return values
    if len(np.unique(labels)) < len(labels):
        raise NetworkError(
            f"{path}: {other!r} has {len(np.unique(labels))} different values for the {len(labels)} entries of axis "
            f"{axis} of {name!r}; expected a number for each: number them consecutively, or save {name!r} without it"
        )
    facts.append(f"axis {axis} sorted by {_last(other)}")
    return values.take(np.argsort(labels), axis=axis)


def _other_axis(path: Path | str, name: str, values: NDArray[Any], other: str, axis: int) -> str:
    expected = "[samples, units]" if values.ndim == 2 else "[trials, time, units]"
    return (
        f"{path}: {other!r} has {values.shape[axis]} values, as many as axis {axis} of {name!r} {list(values.shape)}; "
        f"expected {expected}: put the axes in this order (transpose), or save {name!r} without {other!r}"
    )

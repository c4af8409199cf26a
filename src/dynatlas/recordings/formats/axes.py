"""Axes with names: activity in the order [trials, time, units], sorted along trials and time."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dynatlas._util.names import SAMPLES, Role, role_of, words_of
from dynatlas.errors import NetworkError

ANONYMOUS: Final = re.compile(r"(phony_|phony_dim|dim|axis|d|)_?\d*", re.IGNORECASE)
ORDER: Final[tuple[tuple[Role, ...], ...]] = (
    ("trial", "time", "unit"),
    ("condition", "time", "unit"),
    ("time", "unit"),
    ("trial", "unit"),
    ("condition", "unit"),
)


def ordered(
    name: str, values: NDArray[Any], axes: Sequence[str], coordinates: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return values as [trials, time, units] or [samples, units] by the names of their axes.

    Axes without names keep their order.

    Args:
        name: name of the recording, for errors.
        values: activity.
        axes: a name for each axis, such as "trial", "time", "neuron".
        coordinates: values along an axis by its name; trials and times are sorted by them.

    Returns:
        The values, and sentences about what was changed.

    Raises:
        NetworkError: only some names are known, an axis has two roles, or coordinates that repeat.

    Example:
        >>> ordered("r", np.zeros((2, 3, 4)), ("neuron", "trial", "time"), {})[0].shape
        (3, 4, 2)
    """
    if values.ndim not in (2, 3) or all(ANONYMOUS.fullmatch(axis) for axis in axes):
        return values, ()
    roles: list[Role] = [
        "time" if set(words_of(axis)) <= SAMPLES and words_of(axis) else role_of(axis) for axis in axes
    ]
    wanted = next((order for order in ORDER if sorted(order) == sorted(roles)), None)
    if wanted is None:
        raise NetworkError(
            f"{name} has the axes {', '.join(axis[:40] or '(no name)' for axis in axes)}, of the sizes "
            f"{list(values.shape)}; expected trial, time and unit, or time (sample) and unit: rename the axes, or "
            "save the values as .npy in the order [trials, time, units]"
        )
    places = [roles.index(role) for role in wanted]
    facts = []
    if places != sorted(places):
        values = values.transpose(places)
        facts.append(f"axes {', '.join(axes)} put in the order {', '.join(axes[place] for place in places)}")
    for axis, place in enumerate(places):
        along = coordinates.get(axes[place])
        if along is None or wanted[axis] == "unit" or np.shape(along) != (values.shape[axis],):
            continue
        if along.dtype.kind not in "fiumM":
            continue
        if along.dtype.kind == "f" and not np.isfinite(along).all():
            raise NetworkError(f"{name}: the coordinates of {axes[place]} are NaN or infinite; expected numbers")
        order = np.argsort(along, kind="stable")
        if len(np.unique(along)) < len(along) and (order != np.arange(len(along))).any():
            raise NetworkError(
                f"{name}: the coordinates of {axes[place]} repeat and are not in order; sort the recording"
            )
        if (order != np.arange(len(along))).any():
            values = values.take(order, axis=axis)
            facts.append(f"{axes[place]} sorted by its coordinates")
    return values, tuple(facts)

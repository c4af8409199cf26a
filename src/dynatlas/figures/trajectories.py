"""State space: what is drawn of a network's probe trajectories and fixed points, in three components."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from dynatlas.figures.reading import AtlasLike, Missing, arrays, representatives, table
from dynatlas.figures.style import EVIDENCE_COLORS, FREQUENCY_COLORS
from dynatlas.tasks import ContextIntegration, SineWave, Task

MOST_TRIALS = {"flip_flop": 16, "sine_wave": 13, "context_integration": 40}
OTHER_TRIALS = 16
MOST_STEPS = 150


class StateSpace(NamedTuple):
    """What is drawn of one network; every coordinate is a principal component of its probe activity."""

    trajectories: Any  # [trials, steps, component]
    values: Any  # [trials]: what colours a trajectory (command frequency, evidence), or NaN
    contexts: Any  # [trials]: the context of a trajectory, or 0
    points: Any  # [points, component]
    directions: Any  # [points, component]: NaN where stable
    table: pd.DataFrame  # the points' rows of the table fixed_points
    variance_share: Any  # [component]
    n_outside: int  # points left out because they lie far from all activity


def state_space(atlas: AtlasLike, network: str, task: str) -> StateSpace:
    """A network's trajectories, thinned to what an eye can follow, and its fixed points.

    At most ``MOST_TRIALS`` trials, evenly spaced, and of each the last ``MOST_STEPS`` steps. Points that lie further
    from the activity than its own range are left out and counted: one of them would shrink everything else to a dot.

    Raises:
        Missing: they are not stored.
    """
    data = arrays(atlas, f"trajectories/{network}", task)
    try:
        rows = table(atlas, "fixed_points", task)
        rows = rows[rows["network"] == network].reset_index(drop=True)
    except Missing:
        rows = pd.DataFrame({"condition": [], "is_slow": [], "n_unstable": []})
    return space_of(atlas.study.task(task), data, rows)


def space_of(task: Task, data: xr.Dataset, rows: pd.DataFrame) -> StateSpace:
    """The same from arrays at hand: ``rows`` are the network's of the table ``fixed_points``, in its order."""
    points, directions = data["points"].values, data["unstable_directions"].values
    if len(rows) != len(points):  # without their table, points have no stability: they are not drawn
        points, directions, rows = points[:0], directions[:0], rows[:0]
    values, contexts = trial_labels(task, data)
    keep = _evenly(len(values), MOST_TRIALS.get(task.kind, OTHER_TRIALS))
    trajectories = data["trajectory"].values[keep, -MOST_STEPS:]
    low, high = (extreme(data["trajectory"].values, axis=(0, 1)) for extreme in (np.min, np.max))
    near = ((points >= 2 * low - high) & (points <= 2 * high - low)).all(axis=1)
    return StateSpace(
        trajectories,
        values[keep],
        contexts[keep],
        points[near],
        directions[near],
        rows[near],
        data["variance_share"].values,
        int((~near).sum()),
    )


def _evenly(count: int, most: int) -> Any:
    """At most ``most`` of ``count`` numbers, evenly spaced, both ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def most_trials(atlas: AtlasLike, task: str) -> int:
    """The most trials that are drawn of any representative of a task: no more than are stored.

    Raises:
        Missing: no trajectories are stored.
    """
    groups = [f"trajectories/{one.network}" for one in representatives(atlas, task)]
    stored = max(arrays(atlas, group, task).sizes["trial"] for group in groups)
    return min(stored, MOST_TRIALS.get(task, OTHER_TRIALS))


def trial_labels(task: Task, data: xr.Dataset) -> tuple[Any, Any]:
    """What colours each trial ``[trials]`` (command frequency, evidence), or NaN; and its context, or 0."""
    inputs = data["inputs"].values
    trials = len(inputs)
    if isinstance(task, SineWave):
        return task.slope * inputs[:, 0, 0] + task.offset, np.zeros(trials, int)
    if isinstance(task, ContextIntegration):
        contexts = inputs[:, 0, task.streams :].argmax(axis=1)
        return inputs[np.arange(trials), 0, contexts], contexts
    return np.full(trials, np.nan), np.zeros(trials, int)


class ColorScale(NamedTuple):
    """What the colour of a trajectory means."""

    label: str
    colors: tuple[str, ...]
    low: float
    high: float


def color_scale(atlas: AtlasLike, kind: str) -> ColorScale | None:
    """The colours of a task's trajectories; None if they have none."""
    task = atlas.study.task(kind)
    if isinstance(task, SineWave):
        return ColorScale(
            "commanded frequency (cycles per step)", FREQUENCY_COLORS, task.offset, task.offset + task.slope
        )
    if isinstance(task, ContextIntegration):
        return ColorScale("cued evidence per step", EVIDENCE_COLORS, -1, 1)
    return None

"""Random trials of tasks, and what their draws are compared with."""

import math
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats

from dynatlas.tasks.task import Task, Trial

COUNT = 2000


# Compiled once for all tests.
@partial(jax.jit, static_argnums=(0, 2))
def trials(task: Task, key: jax.Array, count: int) -> Trial:
    return task.trials(key, count)


def draw(task: Task, count: int = COUNT) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, targets and weights of random trials, in float64; the weights are 1 if the task has none."""
    trial = trials(task, jax.random.key(0), count)
    targets = np.asarray(trial.targets, np.float64)
    weights = np.ones_like(targets) if trial.weights is None else np.asarray(trial.weights, np.float64)
    return np.asarray(trial.inputs, np.float64), targets, weights


def assert_share(hits: np.ndarray, expected: float) -> None:
    """Independent yes-or-no draws: their share is within five standard errors of ``expected``."""
    standard_error = math.sqrt(expected * (1 - expected) / hits.size)
    assert hits.mean() == pytest.approx(expected, abs=5 * standard_error)


def assert_noise(values: np.ndarray, deviation: float) -> None:
    """Independent draws from N(0, deviation²)."""
    assert stats.kstest(values.ravel() / deviation, "norm").pvalue > 1e-3


def periods_of(task: Any, cue_off: int) -> list[str]:
    """The period of each step of a trial whose fixation cue goes off at a step, by walking through the trial."""
    longer = cue_off - sum(getattr(task, setting) for name, setting in task.periods.items() if name != "response")
    names: list[str] = []
    for name, setting in task.periods.items():
        names += [name] * (getattr(task, setting) + (longer if name == "delay" else 0))
    names += ["response"] * (task.steps - len(names))
    return names[: task.steps]

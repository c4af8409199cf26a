"""Plugin files of a user-defined task, cells and a measure, and a study that names them."""

from contextlib import contextmanager

from dynatlas import registry
from dynatlas.cells.derivatives import STEPS
from dynatlas.study import plugins
from support.studies import tiny_toml

TASK = """
import os
from pathlib import Path
import jax
import jax.numpy as jnp
from dynatlas import register_task
from dynatlas.tasks.task import Task, Trial

if mark := os.environ.get("MY_TASK_IMPORTED"):
    Path(mark).touch()


@register_task("held_sign")
class HeldSign(Task):
    '''Hold the sign of the first pulse.'''

    steps: int = 6
    noise: float = 0.0
    title = "held sign"
    topology = ("fused_transition_graph", "spectrum")
    threshold = ("r2", -100.0)

    def trial(self, key):
        sign = jnp.where(jax.random.bernoulli(key), 1.0, -1.0).astype(jnp.float32)
        inputs = jnp.zeros((self.steps, 1), jnp.float32).at[0].set(sign)
        return Trial(inputs, jnp.full((self.steps, 1), sign))
"""

CELL = """
import equinox as eqx
import jax
import jax.numpy as jnp
from dynatlas import register_cell
from dynatlas.cells.cell import Cell
from dynatlas.cells.architectures import StagedCell
from dynatlas.cells.derivatives import Kept, Step, register_derivative


@register_cell("leaky")
class Leaky(StagedCell):
    gates = ("candidate",)
    stages = (1,)

    def combine(self, state, sums):
        return 0.5 * state + 0.5 * self._activate(sums[0])


@register_derivative(Leaky)
class LeakyStep(Step):
    @staticmethod
    def forward(activation, state, product):
        sums = product(0, state[0])
        active = jnp.tanh(sums) if activation == "tanh" else jax.nn.relu(sums)
        return (0.5 * state[0] + 0.5 * active,), Kept((), (active,))

    @staticmethod
    def backward(activation, kept, hidden, by_state, product):
        (active,) = kept.factors
        slope = 1 - active**2 if activation == "tanh" else (active > 0).astype(active.dtype)
        deltas = 0.5 * slope * by_state[0]
        return (0.5 * by_state[0] + product(0, deltas),), (deltas,)


@register_cell("nested")
class Nested(Cell):
    inner: eqx.nn.Linear
    shown: eqx.nn.Linear
    initial_state: jax.Array

    def __init__(self, n_inputs, units, n_outputs, activation="tanh", *, key):
        inner_key, shown_key = jax.random.split(key)
        self.inner = eqx.nn.Linear(units + n_inputs, units, key=inner_key)
        self.shown = eqx.nn.Linear(units, n_outputs, key=shown_key)
        self.initial_state = jnp.zeros(units, jnp.float32)

    @property
    def units(self):
        return self.shown.weight.shape[-1]

    def __call__(self, state, inputs):
        return jnp.tanh(self.inner(jnp.concatenate([state, inputs])))

    def readout(self, state):
        return self.shown(state)
"""

MEASURE = """
from dataclasses import dataclass
import numpy as np
from dynatlas import register_measure
from dynatlas.measures.measure import Measure


@register_measure("spread")
@dataclass(frozen=True)
class Spread(Measure):
    def reduce(self, activity):
        return {"spread": np.asarray(activity.std())}

    def between(self, first, second):
        return float(abs(first["spread"] - second["spread"]))
"""

# Changes to the tiny study.
OWN = {
    "name": "own",
    "plugins": ["my_task.py", "code/my_cell.py", "my_measure.py"],
    "tasks": [{"kind": "held_sign"}],
    "population": {"architectures": ["vanilla", "nested"], "units": [3], "l2": [1e-6]},
    "training": {
        "optimizer": "adam",
        "iterations": 20,
        "batch_size": 8,
        "validation_interval": 10,
        "validation_trials": 16,
    },
    "analysis": {
        "measures": ["spread"],
        "fixed_point_starts": 64,
        "fixed_point_max_starts": 128,
        "attractor_steps": 64,
        "sensitivity_scales": [],
        "transition_trials": 10,
        "permutations": 9,
        "bootstraps": 9,
    },
}


def write_all(folder, **changes):
    """Write the study, with changes, and the files that it names. Return the path of the study."""
    (folder / "code").mkdir(parents=True, exist_ok=True)
    files = {"my_task.py": TASK, "code/my_cell.py": CELL, "my_measure.py": MEASURE}
    for name, text in (files | {"study.toml": tiny_toml(OWN, **changes)}).items():
        (folder / name).write_text(text)
    return folder / "study.toml"


def forget():
    """Forget all plugins, as in a new process."""
    for group, name in registry._origins:
        plugins.GROUPS[group][0].pop(name, None)
    registry._origins.clear()
    plugins._imported.clear()


@contextmanager
def registries_kept():
    """Restore the registries at the end of the context."""
    registries = [registry._origins, plugins._imported, STEPS, *(members for members, _ in plugins.GROUPS.values())]
    before = [dict(each) for each in registries]
    try:
        yield
    finally:
        for each, kept in zip(registries, before, strict=True):
            each.clear()
            each.update(kept)

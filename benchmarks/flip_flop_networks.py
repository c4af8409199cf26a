"""Networks trained on the 3-bit flip-flop by Adam, once, and kept in a folder: for benchmarks and validation."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dynatlas.cells.registry import CELLS
from dynatlas.study.study import Study
from dynatlas.training.fit import begin, train

STUDY = """
name = "flip-flop networks"
[[tasks]]
kind = "flip_flop"
steps = {steps}
[population]
architectures = ["{architecture}"]
activations = ["{activation}"]
units = [{units}]
l2 = [1e-5]
seeds = {seeds}
[training]
optimizer = "adam"
iterations = {iterations}
batch_size = 64
learning_rate = {learning_rate}
decay_rate = 0.3
decay_steps = {decay_steps}
clip_norm = 1.0
"""


class Trained(NamedTuple):
    """A trained network; the cell is in float64."""

    member: Any
    task: Any
    weights: dict
    cell: Any
    validation_mse: float


def trained(folder, architecture, activation, units, seeds, training):
    """Networks of one shape, from the folder or else trained now: one for each seed.

    ``training`` has the steps of a trial, iterations, learning_rate and decay_steps.
    """
    text = STUDY.format(architecture=architecture, activation=activation, units=units, seeds=seeds, **training)
    study = Study.parse(text, "flip-flop networks")
    task = study.tasks[0]
    # A member's id stands for everything that decides its weights, so that a file cannot be another network's.
    files = {member: folder / f"{member.name}-{member.id}.npz" for member in study.members}
    missing = [member for member in study.members if not files[member].exists()]
    if missing:
        state = begin(missing, lambda key: study.cell(missing[0].shape, key))
        state = train(task, missing, state, until=training["iterations"])
        for row, member in enumerate(missing):
            weights = {name: leaf[row] for name, leaf in vars(state.fits.cell).items() if name != "activation"}
            np.savez(files[member], validation_mse=state.validation_mse[row, -1], **weights)
    return [_network(member, task, dict(np.load(file))) for member, file in files.items()]


def _network(member, task, weights):
    validation_mse = float(weights.pop("validation_mse"))
    with jax.enable_x64(True):
        template = CELLS[member.architecture](
            task.n_inputs, member.units, task.n_outputs, member.activation, key=jax.random.key(0)
        )
        cell = eqx.tree_at(
            lambda cell: [getattr(cell, name) for name in weights],
            template,
            [jnp.asarray(value, jnp.float64) for value in weights.values()],
        )
    return Trained(member, task, weights, cell, validation_mse)

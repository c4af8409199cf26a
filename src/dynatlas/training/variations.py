"""Errors of trained networks under variations of their task, out of the distribution that they were trained on."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from dynatlas.cells.backpropagation import batch_outputs
from dynatlas.cells.cell import Cell
from dynatlas.cells.noise import gaussian
from dynatlas.study.variants import Variation
from dynatlas.tasks.task import Trial
from dynatlas.training.loss import VALIDATION_SEED, held_out_trials


class UnderVariation(NamedTuple):
    """Error of one network under one variation.

    Attributes:
        variation: its name.
        mse: mean squared error, weighted as the trials state; infinite if an output is not finite.
        share: of the variance of the targets, weighted alike.
    """

    variation: str
    mse: float
    share: float


class VariedTrials(NamedTuple):
    """Trials of all variations of a task, one after the other, padded by zeros to equal lengths.

    One program computes all of them: a network does not see what follows a trial.
    """

    inputs: Float[Array, "trials steps inputs"]
    recurrent_noise: Float[Array, " trials"]
    answers: dict[str, Trial]  # variation → its trials, as they are


def draw_variations(variations: Mapping[str, Variation], count: int) -> VariedTrials:
    """Draw ``count`` trials of each variation: the same for all networks, and noise on their inputs."""
    key = jax.random.key(VALIDATION_SEED, impl="threefry2x32")
    longest = max(variation.task.steps for variation in variations.values())
    inputs, noises, answers = [], [], {}
    for number, (name, variation) in enumerate(variations.items()):
        trials = held_out_trials(variation.task, count)
        shown = np.asarray(trials.inputs)
        if variation.input_noise:
            noise = np.asarray(gaussian(jax.random.fold_in(key, number), shown.shape))
            shown = shown + np.float32(variation.input_noise) * noise
        inputs.append(np.pad(shown, ((0, 0), (0, longest - shown.shape[1]), (0, 0))))
        noises.append(np.full(count, variation.recurrent_noise, np.float32))
        answers[name] = trials
    return VariedTrials(jax.numpy.asarray(np.concatenate(inputs)), jax.numpy.asarray(np.concatenate(noises)), answers)


def errors_of(cell: Cell, varied: VariedTrials) -> Iterator[UnderVariation]:
    """Yield the error of a network under each variation."""
    has_noise = bool(np.asarray(varied.recurrent_noise).any())
    outputs = np.asarray(_outputs(cell, varied.inputs, varied.recurrent_noise if has_noise else None), np.float64)
    start = 0
    for name, trials in varied.answers.items():
        targets = np.asarray(trials.targets, np.float64)
        end = start + len(targets)
        errors = (outputs[: targets.shape[1], start:end].swapaxes(0, 1) - targets) ** 2
        weights = None if trials.weights is None else np.asarray(trials.weights, np.float64)
        mse = float(np.average(errors, weights=weights))
        variance = float(np.average((targets - np.average(targets, weights=weights)) ** 2, weights=weights))
        mse = mse if np.isfinite(mse) else np.inf
        yield UnderVariation(name, mse, mse / variance if variance else np.inf)
        start = end


@eqx.filter_jit
def _outputs(
    cell: Cell, inputs: Float[Array, "trials steps inputs"], recurrent_noise: Float[Array, " trials"] | None
) -> Float[Array, "steps trials outputs"]:
    if recurrent_noise is None:
        return batch_outputs(cell, inputs)
    trials, steps, _ = inputs.shape
    key = jax.random.fold_in(jax.random.key(VALIDATION_SEED, impl="threefry2x32"), trials)
    drawn = gaussian(key, (steps, trials, cell.units))
    return batch_outputs(cell, inputs, cell.noise_scale * recurrent_noise[:, None] * drawn)

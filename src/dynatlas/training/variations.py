"""Errors of trained networks under variations of their task, out of the distribution that they were trained on."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
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
    """Held-out trials of one variation.

    Attributes:
        trials: as the task draws them.
        inputs: what networks are shown: with noise, and zeros after the end, up to the length of the longest variation.
            One program computes all variations: a network does not see what follows a trial.
        recurrent_noise: standard deviation of the noise of hidden units.
    """

    trials: Trial
    inputs: Float[Array, "trials longest inputs"]
    recurrent_noise: float


def draw_variations(variations: Mapping[str, Variation], count: int) -> dict[str, VariedTrials]:
    """Draw ``count`` trials of each variation: the same for all networks."""
    longest = max(variation.task.steps for variation in variations.values())
    drawn = {}
    for number, (name, variation) in enumerate(variations.items()):
        trials = held_out_trials(variation.task, count)
        shown = np.asarray(trials.inputs)
        if variation.input_noise:
            noise = np.asarray(gaussian(jax.random.fold_in(_key(), number), shown.shape))
            shown = shown + np.float32(variation.input_noise) * noise
        padded = np.pad(shown, ((0, 0), (0, longest - shown.shape[1]), (0, 0)))
        drawn[name] = VariedTrials(trials, jnp.asarray(padded), variation.recurrent_noise)
    return drawn


def errors_of(cell: Cell, varied: Mapping[str, VariedTrials]) -> Iterator[UnderVariation]:
    """Yield the error of a network under each variation."""
    for name, (trials, inputs, recurrent_noise) in varied.items():
        outputs = np.asarray(_outputs(cell, inputs, recurrent_noise or None), np.float64)
        targets = np.asarray(trials.targets, np.float64)
        weights = None if trials.weights is None else np.asarray(trials.weights, np.float64)
        squares = (outputs[: targets.shape[1]].swapaxes(0, 1) - targets) ** 2
        mse = float(np.average(squares, weights=weights))
        mse = mse if np.isfinite(mse) else np.inf
        variance = target_variance(trials)
        yield UnderVariation(name, mse, mse / variance if variance else np.inf)


def target_variance(trials: Trial) -> float:
    """Return the variance of the targets over all trials, steps and outputs, weighted as the trials state."""
    targets = np.asarray(trials.targets, np.float64)
    weights = None if trials.weights is None else np.asarray(trials.weights, np.float64)
    return float(np.average((targets - np.average(targets, weights=weights)) ** 2, weights=weights))


@eqx.filter_jit
def _outputs(
    cell: Cell, inputs: Float[Array, "trials steps inputs"], recurrent_noise: float | None
) -> Float[Array, "steps trials outputs"]:
    if recurrent_noise is None:
        return batch_outputs(cell, inputs)
    trials, steps, _ = inputs.shape
    drawn = gaussian(jax.random.fold_in(_key(), 2**31), (steps, trials, cell.units))
    return batch_outputs(cell, inputs, cell.noise_scale * recurrent_noise * drawn)


def _key() -> Array:
    return jax.random.key(VALIDATION_SEED, impl="threefry2x32")

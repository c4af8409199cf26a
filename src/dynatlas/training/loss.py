"""The loss of a network: weighted squared error, penalties, and the noise under which it is computed in training.

With outputs y, targets t and weights w of each trial, step and output, and with r the rates of the hidden units:

    error = Σ w (y − t)² / Σ w
    loss  = error + l2·‖θ‖² + rate_penalty·mean r² + rate_change_penalty·mean (r_s − r_{s−1})²

θ are all trained parameters. Noise is Gaussian and new at every step of every trial: of the standard deviation
``input_noise`` on each input, and of ``recurrent_noise`` times ``noise_scale`` of the cell on each sum that enters the
activation function of a hidden unit. The gradient is that of the noisy loss. Errors on held-out trials have no noise.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from dynatlas.cells.backpropagation import batch_outputs, batch_responses
from dynatlas.cells.cell import Cell, map_fixed
from dynatlas.cells.noise import gaussian
from dynatlas.study.settings import Training
from dynatlas.tasks.task import Task, Trial

# All networks of a task are validated on the same held-out trials, so that their errors are comparable.
VALIDATION_SEED = 20191208
# Keys of the noise: those of the trials have the iteration in this place, which is smaller.
_NOISE = 0x6E6F6973


class Program(NamedTuple):
    """Training settings that determine the compiled program: the same for all members of a shape."""

    optimizer: str
    batch_size: int
    input_noise: float = 0.0
    recurrent_noise: float = 0.0
    rate_penalty: float = 0.0
    rate_change_penalty: float = 0.0

    @classmethod
    def of(cls, settings: Training) -> "Program":
        """Return the program of training settings."""
        return cls(*(getattr(settings, name) for name in cls._fields))


def training_loss(
    cell: Cell, trials: Trial, l2: Float[Array, ""], program: Program, key: PRNGKeyArray, iteration: Array
) -> Float[Array, ""]:
    """Return the loss of an iteration; its noise depends on the key and the iteration alone."""
    if not any(program[2:]):
        return penalized_loss(cell, trials, l2)
    of_inputs, of_units = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, _NOISE), iteration))
    if program.input_noise:
        drawn = gaussian(of_inputs, trials.inputs.shape)
        trials = Trial(trials.inputs + program.input_noise * drawn, trials.targets, trials.weights)
    noise = None
    if program.recurrent_noise:
        batch, steps, _ = trials.inputs.shape
        scale = program.recurrent_noise * cell.noise_scale
        noise = jax.lax.stop_gradient(scale) * gaussian(of_units, (steps, batch, cell.units))
    cell = map_fixed(jax.lax.stop_gradient, cell)
    if not (program.rate_penalty or program.rate_change_penalty):
        return weighted_error(batch_outputs(cell, trials.inputs, noise), trials) + l2 * _squared_norm(cell)
    rates, outputs = batch_responses(cell, trials.inputs, noise)
    penalties = program.rate_penalty * jnp.mean(rates**2)
    penalties += program.rate_change_penalty * jnp.mean((rates[1:] - rates[:-1]) ** 2)
    return weighted_error(outputs, trials) + l2 * _squared_norm(cell) + penalties


def penalized_loss(cell: Cell, trials: Trial, l2: Float[Array, ""]) -> Float[Array, ""]:
    """Return the error + l2 · the sum of squares of all parameters, including the initial state and the biases.

    Fixed leaves of a cell are no parameters: they have neither a gradient nor a penalty.
    """
    cell = map_fixed(jax.lax.stop_gradient, cell)
    return mean_squared_error(cell, trials) + l2 * _squared_norm(cell)


def mean_squared_error(cell: Cell, trials: Trial) -> Float[Array, ""]:
    """Return the mean squared error over all trials, steps and outputs, weighted as the trials state."""
    return weighted_error(batch_outputs(cell, trials.inputs), trials)


def weighted_error(outputs: Float[Array, "steps batch outputs"], trials: Trial) -> Float[Array, ""]:
    """Return Σ w (y − t)² / Σ w."""
    errors = (outputs - trials.targets.swapaxes(0, 1)) ** 2
    if trials.weights is None:
        return jnp.mean(errors)
    weights = trials.weights.swapaxes(0, 1)
    return jnp.sum(weights * errors) / jnp.sum(weights)


def held_out_trials(task: Task, count: int) -> Trial:
    """Return the trials on which every network of a task is validated."""
    return task.trials(jax.random.key(VALIDATION_SEED, impl="threefry2x32"), count)


def explained_variance(task: Task, settings: Training, mse: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return R² on the held-out trials, given the error on them: 1 − error / weighted variance of the targets."""
    trials = held_out_trials(task, settings.validation_trials)
    if trials.weights is None:
        return np.asarray(1 - mse / float(jnp.var(trials.targets)))
    targets, weights = (np.asarray(each, np.float64) for each in (trials.targets, trials.weights))
    mean = np.average(targets, weights=weights)
    return np.asarray(1 - mse / np.average((targets - mean) ** 2, weights=weights))


def _squared_norm(cell: Cell) -> Float[Array, ""]:
    return optax.tree.norm(map_fixed(jnp.zeros_like, cell), squared=True)

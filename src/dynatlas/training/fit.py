"""Fit networks: one member's gradient descent, mapped over the members of a block.

All members of a block share one compiled program. Each has its own random keys, taken from its id, its own
hyperparameters, its own clipping and its own fate: one that diverges is frozen at its last finite state, and the others
do not change by a bit. Training can be left and taken up between any two iterations: a ``BlockState`` is all of it.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray
from numpy.typing import NDArray

from dynatlas.cells.backpropagation import batch_outputs
from dynatlas.cells.cell import Cell
from dynatlas.study.members import Member
from dynatlas.study.settings import Training
from dynatlas.tasks.task import Task, Trial

# All networks of a task are validated on the same held-out trials, so that their errors can be compared.
VALIDATION_SEED = 20191208


# How long the compiled loop runs before it looks up: for a checkpoint, a request to stop, the progress display.
SEGMENT_SECONDS = 2.0


class Hyperparameters(NamedTuple):
    """What may differ between the members of a block without another compilation."""

    learning_rate: Float[Array, "*members"]
    decay_rate: Float[Array, "*members"]
    decay_steps: Float[Array, "*members"]
    momentum: Float[Array, "*members"]
    clip_norm: Float[Array, "*members"]
    l2: Float[Array, "*members"]

    @classmethod
    def of(cls, members: Sequence[Member]) -> "Hyperparameters":
        """Those of several members, stacked."""

        def stack(name: str) -> Array:
            return jnp.asarray([getattr(member.training, name) for member in members], jnp.float32)

        l2 = jnp.asarray([member.l2 for member in members], jnp.float32)
        return cls(**{name: stack(name) for name in cls._fields if name != "l2"}, l2=l2)


class Fit(NamedTuple):
    """One network under training (or, stacked, all of a block)."""

    cell: Cell
    optimizer: Any
    iteration: Int[Array, "*members"]
    diverged_at: Int[Array, "*members"]  # −1 while loss and gradient are finite
    loss_sum: Float[Array, "*members"]  # over the iterations since the last validation


class BlockState(NamedTuple):
    """All that is needed to go on with a block; every array's last or only axis before ``points`` is over members."""

    fits: Fit
    iterations: NDArray[np.int64]  # [points]: iterations done at each validation
    training_loss: NDArray[np.float64]  # [members, points]: mean since the validation before
    validation_mse: NDArray[np.float64]  # [members, points]

    @property
    def done(self) -> int:
        """Iterations done."""
        return int(self.fits.iteration[0])

    def take(self, rows: Sequence[int] | NDArray[np.signedinteger]) -> "BlockState":
        """The state of some of the members alone."""
        index = np.asarray(rows, np.int64)
        fits = jax.tree.map(lambda leaf: leaf[index], self.fits)
        return BlockState(fits, self.iterations, self.training_loss[index], self.validation_mse[index])


def begin(members: Sequence[Member], new_cell: Callable[[PRNGKeyArray], Cell]) -> BlockState:
    """Members before their first iteration; ``new_cell`` makes an untrained network from a key."""
    optimizer = members[0].training.optimizer
    fits = jax.vmap(lambda key: start(new_cell(key), optimizer))(
        jnp.stack([member.key("weights") for member in members])
    )
    nothing = np.zeros((len(members), 0))
    return BlockState(jax.tree.map(np.asarray, fits), np.zeros(0, np.int64), nothing, nothing)


def train(
    task: Task,
    members: Sequence[Member],
    state: BlockState,
    *,
    until: int,
    lanes: int = 1,
    between: Callable[[BlockState], None] = lambda state: None,
) -> BlockState:
    """Train the members of one block from ``state`` until they have done so many iterations.

    Args:
        task: the task that all of them learn.
        members: their training settings agree in all but numbers.
        state: where they stand.
        until: iterations to have done at the end; there they are validated, whatever the interval.
        lanes: networks computed side by side (``vmap``); the others wait their turn. Each number of lanes is a
            compiled program of its own and rounds in its own way.
        between: called every few seconds, and at the end; what it raises ends the training there.
    """
    settings = members[0].training
    held_out = held_out_trials(task, settings.validation_trials)
    hyperparameters = Hyperparameters.of(members)
    keys = jnp.stack([member.key("trials") for member in members])
    groups = _groups(len(members), lanes)
    rows = [(jax.tree.map(lambda leaf, at=at: leaf[at], (hyperparameters, keys))) for at in groups]
    fits = [jax.tree.map(lambda leaf, at=at: jnp.asarray(leaf[at]), state.fits) for at in groups]

    def gathered() -> Fit:
        merged = jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves]), *fits)
        return jax.tree.map(lambda leaf: leaf[: len(members)], merged)

    iterations, seconds = 1, 0.0
    while state.done < until:
        validation = min(until, (state.done // settings.validation_interval + 1) * settings.validation_interval)
        # The first call compiles, and tells nothing of the speed.
        pace = SEGMENT_SECONDS * iterations / seconds if seconds else 1
        iterations = max(1, min(int(pace), 10 * iterations, validation - state.done))
        begun = time.perf_counter()
        for i, (parameters, key) in enumerate(rows):
            fits[i] = _advance_lanes(fits[i], parameters, key, jnp.asarray(iterations), task, settings_shape(settings))
        jax.block_until_ready(fits)
        seconds = (time.perf_counter() - begun) if state.done or seconds else 0.0
        state = state._replace(fits=gathered())
        if state.done == validation:
            mse = np.concatenate([np.asarray(_validate(fit.cell, held_out), np.float64) for fit in fits])[
                : len(members)
            ]
            since = state.done - (state.iterations[-1] if len(state.iterations) else 0)
            loss = state.fits.loss_sum.astype(np.float64) / since
            fits = [fit._replace(loss_sum=jnp.zeros_like(fit.loss_sum)) for fit in fits]
            state = BlockState(
                gathered(),
                np.append(state.iterations, state.done),
                np.column_stack([state.training_loss, loss]),
                np.column_stack([state.validation_mse, mse]),
            )
        between(state)
    return state


def held_out_trials(task: Task, count: int) -> Trial:
    """The trials on which every network of a task is validated."""
    return task.trials(jax.random.key(VALIDATION_SEED, impl="threefry2x32"), count)


def explained_variance(task: Task, settings: Training, mse: NDArray[np.float64]) -> NDArray[np.float64]:
    """R² on the held-out trials, from the error there."""
    return np.asarray(1 - mse / float(jnp.var(held_out_trials(task, settings.validation_trials).targets)))


def _groups(members: int, lanes: int) -> list[NDArray[np.int64]]:
    """Members that are computed side by side; the last group is filled up with repetitions, so that shapes agree."""
    return [
        np.minimum(np.arange(first, first + lanes), members - 1).astype(np.int64) for first in range(0, members, lanes)
    ]


def settings_shape(settings: Training) -> tuple[str, int]:
    """The settings that need a compilation of their own: (optimizer, batch size)."""
    return settings.optimizer, settings.batch_size


def start(cell: Cell, optimizer: str) -> Fit:
    """A network before its first step."""
    # The optimiser's state depends on the weights' shapes alone, never on the numbers of the schedule.
    blank = Hyperparameters(*[jnp.ones(())] * len(Hyperparameters._fields))
    state = gradient_transformation(optimizer, blank).init(cell)
    return Fit(cell, state, jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32), jnp.zeros((), jnp.float32))


def gradient_transformation(optimizer: str, hyperparameters: Hyperparameters) -> optax.GradientTransformation:
    """Clip the gradient's global norm, then Adam, or SGD with momentum, under the decaying learning rate."""

    def rate(step: Int[Array, ""]) -> Float[Array, ""]:
        decay = hyperparameters.decay_rate ** (step / hyperparameters.decay_steps)
        return hyperparameters.learning_rate * decay

    descent = optax.adam(rate) if optimizer == "adam" else optax.sgd(rate, momentum=hyperparameters.momentum)
    return optax.chain(clip_by_global_norm(hyperparameters.clip_norm), descent)


def clip_by_global_norm(bound: Float[Array, ""]) -> optax.GradientTransformation:
    """Scale a gradient down to a global norm of at most ``bound``.

    optax's own squares the entries as they are, which overflows in float32 from a norm of 2·10¹⁹ on and turns the
    exploding gradients that clipping is for into zeros. Here the largest entry is divided out first.
    """

    def update(gradient: Any, state: Any, parameters: Any = None) -> tuple[Any, Any]:
        del parameters
        largest = jnp.maximum(jnp.max(jnp.stack([jnp.abs(leaf).max() for leaf in jax.tree.leaves(gradient)])), 1)
        scaled = jax.tree.map(lambda leaf: leaf / largest, gradient)
        factor = jnp.minimum(largest, bound / optax.tree.norm(scaled))
        return jax.tree.map(lambda leaf: leaf * factor, scaled), state

    return optax.GradientTransformation(lambda parameters: optax.EmptyState(), update)


def mean_squared_error(cell: Cell, trials: Trial) -> Float[Array, ""]:
    """The task's error, over all trials, steps and outputs."""
    outputs = batch_outputs(cell, trials.inputs)
    return jnp.mean((outputs - trials.targets.swapaxes(0, 1)) ** 2)


def penalized_loss(cell: Cell, trials: Trial, l2: Float[Array, ""]) -> Float[Array, ""]:
    """MSE + l2 · the sum of squares of all parameters, initial state and biases included."""
    return mean_squared_error(cell, trials) + l2 * optax.tree.norm(cell, squared=True)


def advance(
    fit: Fit,
    hyperparameters: Hyperparameters,
    key: PRNGKeyArray,
    iterations: Int[Array, ""],
    task: Task,
    shape: tuple[str, int],
) -> Fit:
    """Some iterations of one network.

    The trials of iteration s depend on the key and s alone, so that it does not matter where a run is cut.
    """
    optimizer, batch_size = shape
    transformation = gradient_transformation(optimizer, hyperparameters)

    def iterate(_: Any, fit: Fit) -> Fit:
        trials = task.trials(jax.random.fold_in(key, fit.iteration), batch_size)
        loss, gradient = jax.value_and_grad(penalized_loss)(fit.cell, trials, hyperparameters.l2)
        updates, state = transformation.update(gradient, fit.optimizer, fit.cell)
        cell = optax.apply_updates(fit.cell, updates)
        finite = jnp.isfinite(loss) & _all_finite(gradient) & (fit.diverged_at < 0)
        new_cell, new_state = jax.tree.map(partial(jnp.where, finite), (cell, state), (fit.cell, fit.optimizer))
        diverged_at = jnp.where(finite | (fit.diverged_at >= 0), fit.diverged_at, fit.iteration)
        return Fit(new_cell, new_state, fit.iteration + 1, diverged_at, fit.loss_sum + loss)

    return jax.lax.fori_loop(0, iterations, iterate, fit)


def _all_finite(tree: Any) -> Bool[Array, ""]:
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]))


@partial(jax.jit, static_argnames=("task", "shape"), donate_argnames=("fits",))
def _advance_lanes(
    fits: Fit,
    hyperparameters: Hyperparameters,
    keys: Key[Array, " lanes"],
    iterations: Int[Array, ""],
    task: Task,
    shape: tuple[str, int],
) -> Fit:
    """``advance`` several networks side by side."""

    def one(fit: Fit, hyperparameters: Hyperparameters, key: PRNGKeyArray) -> Fit:
        return advance(fit, hyperparameters, key, iterations, task, shape)

    lanes = (fits, hyperparameters, keys)
    # A vmap over one network would cost the CPU its fast matrix products.
    return jax.lax.map(lambda lane: one(*lane), lanes) if len(keys) == 1 else jax.vmap(one)(*lanes)


@jax.jit
def _validate(cells: Cell, held_out: Trial) -> Float[Array, " lanes"]:
    """The held-out error of several networks, one after the other."""
    return jax.lax.map(lambda cell: mean_squared_error(cell, held_out), cells)

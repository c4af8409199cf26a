"""Fit networks: gradient descent of one member, mapped over the members of a block.

All members of a block share one compiled program. Each has its own random keys, derived from its id, its own
hyperparameters and its own gradient clipping. A member that diverges is frozen at its last finite state, and the others
do not change by a bit. Training can be interrupted and resumed between any two iterations from a ``BlockState``.
"""

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree
from numpy.typing import NDArray

from dynatlas.cells.cell import Cell, map_fixed
from dynatlas.study.members import Member
from dynatlas.tasks.task import Task, Trial
from dynatlas.training.loss import Program, held_out_trials, mean_squared_error, training_loss

# Duration of one call of the compiled loop; checkpoints, requests to stop and progress are handled in between.
SEGMENT_SECONDS = 2.0


class Hyperparameters(NamedTuple):
    """Settings that may differ between the members of a block, which share one compiled program."""

    learning_rate: Float[Array, "*members"]
    decay_rate: Float[Array, "*members"]
    decay_steps: Float[Array, "*members"]
    momentum: Float[Array, "*members"]
    clip_norm: Float[Array, "*members"]
    l2: Float[Array, "*members"]

    @classmethod
    def of(cls, members: Sequence[Member]) -> "Hyperparameters":
        """Stack the hyperparameters of several members."""

        def stack(name: str) -> Array:
            return jnp.asarray([getattr(member.training, name) for member in members], jnp.float32)

        l2 = jnp.asarray([member.l2 for member in members], jnp.float32)
        return cls(**{name: stack(name) for name in cls._fields if name != "l2"}, l2=l2)


class Fit(NamedTuple):
    """State of one network in training; stacked, of all networks of a block."""

    cell: Cell
    optimizer: PyTree  # the state of Optax
    iteration: Int[Array, "*members"]
    diverged_at: Int[Array, "*members"]  # first iteration with a loss or gradient that is not finite; −1 for none
    loss_sum: Float[Array, "*members"]  # over the iterations since the last validation


class BlockState(NamedTuple):
    """State from which the training of a block can be resumed."""

    fits: Fit  # stacked over the members
    iterations: NDArray[np.int64]  # [points]: iterations done at each validation
    training_loss: NDArray[np.float64]  # [members, points]: mean since the previous validation
    validation_mse: NDArray[np.float64]  # [members, points]
    snapshots: Cell  # weights at the iterations that are kept [members, kept, …]

    @property
    def done(self) -> int:
        """Iterations done."""
        return int(self.fits.iteration[0])

    def take(self, rows: Sequence[int] | NDArray[np.signedinteger]) -> "BlockState":
        """Return the state of the members at these indices."""
        index = np.asarray(rows, np.int64)
        fits, snapshots = jax.tree.map(lambda leaf: leaf[index], (self.fits, self.snapshots))
        return BlockState(fits, self.iterations, self.training_loss[index], self.validation_mse[index], snapshots)

    def with_snapshot(self) -> "BlockState":
        """Return the state with the present weights added to its snapshots."""
        cells = self.fits.cell
        kept = jax.tree.map(lambda taken, leaf: np.concatenate([taken, leaf[:, None]], 1), self.snapshots, cells)
        return self._replace(snapshots=kept)


def begin(members: Sequence[Member], new_cell: Callable[[PRNGKeyArray], Cell]) -> BlockState:
    """Initialise the members of a block; ``new_cell`` makes an untrained network from a key."""
    optimizer = members[0].training.optimizer
    fits = jax.vmap(lambda key: start(new_cell(key), optimizer))(
        jnp.stack([member.key("weights") for member in members])
    )
    fits = jax.tree.map(np.asarray, fits)
    nothing = np.zeros((len(members), 0))
    no_snapshots = jax.tree.map(lambda leaf: leaf[:, None][:, :0], fits.cell)
    return BlockState(fits, np.zeros(0, np.int64), nothing, nothing, no_snapshots)


def train(
    task: Task,
    members: Sequence[Member],
    state: BlockState,
    *,
    until: int,
    lanes: int = 1,
    snapshots: Collection[int] = (),
    between: Callable[[BlockState], None] = lambda state: None,
) -> BlockState:
    """Train the members of one block from ``state`` up to the iteration ``until``.

    Args:
        task: the task that all members learn.
        members: the members, with training settings that differ only in ``Hyperparameters``.
        state: their current state.
        until: total number of iterations at the end. The members are always validated there.
        lanes: number of networks computed side by side (``vmap``). Each number of lanes is a separate compiled program
            and rounds differently.
        snapshots: iterations at which the weights are kept; 0 is before training.
        between: called every few seconds and at the end; an exception that it raises ends the training.

    Returns:
        The state after ``until`` iterations.
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

    if state.done in snapshots and state.done == 0:
        state = state.with_snapshot()
    iterations, seconds = 1, 0.0
    while state.done < until:
        kept = min((iteration for iteration in snapshots if iteration > state.done), default=until)
        validation = min(until, (state.done // settings.validation_interval + 1) * settings.validation_interval)
        # The first call includes the compilation, so it does not measure the speed.
        pace = SEGMENT_SECONDS * iterations / seconds if seconds else 1
        iterations = max(1, min(int(pace), 10 * iterations, min(validation, kept) - state.done))
        started = time.perf_counter()
        for i, (parameters, key) in enumerate(rows):
            fits[i] = _advance_lanes(fits[i], parameters, key, jnp.asarray(iterations), task, Program.of(settings))
        jax.block_until_ready(fits)
        seconds = (time.perf_counter() - started) if state.done or seconds else 0.0
        state = state._replace(fits=gathered())
        if state.done == validation:
            mse = np.concatenate([np.asarray(validate(fit.cell, held_out), np.float64) for fit in fits])[: len(members)]
            since = state.done - (state.iterations[-1] if len(state.iterations) else 0)
            loss = state.fits.loss_sum.astype(np.float64) / since
            fits = [fit._replace(loss_sum=jnp.zeros_like(fit.loss_sum)) for fit in fits]
            state = BlockState(
                gathered(),
                np.append(state.iterations, state.done),
                np.column_stack([state.training_loss, loss]),
                np.column_stack([state.validation_mse, mse]),
                state.snapshots,
            )
        if state.done in snapshots:
            state = state.with_snapshot()
        between(state)
    return state


def _groups(members: int, lanes: int) -> list[NDArray[np.int64]]:
    """Split member indices into groups computed side by side; the last group is padded with the last member."""
    return [
        np.minimum(np.arange(first, first + lanes), members - 1).astype(np.int64) for first in range(0, members, lanes)
    ]


def start(cell: Cell, optimizer: str) -> Fit:
    """Return the state of a network before its first iteration."""
    # The initial state of the optimiser depends on the weights' shapes, not on the hyperparameters.
    blank = Hyperparameters(*[jnp.ones(())] * len(Hyperparameters._fields))
    state = gradient_transformation(optimizer, blank).init(cell)
    return Fit(cell, state, jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32), jnp.zeros((), jnp.float32))


def gradient_transformation(optimizer: str, hyperparameters: Hyperparameters) -> optax.GradientTransformation:
    """Clip the gradient's global norm, then apply Adam, or SGD with momentum, with a decaying learning rate."""

    def rate(step: Int[Array, ""]) -> Float[Array, ""]:
        decay = hyperparameters.decay_rate ** (step / hyperparameters.decay_steps)
        return hyperparameters.learning_rate * decay

    descent = optax.adam(rate) if optimizer == "adam" else optax.sgd(rate, momentum=hyperparameters.momentum)
    return optax.chain(clip_by_global_norm(hyperparameters.clip_norm), descent)


def clip_by_global_norm(bound: Float[Array, ""]) -> optax.GradientTransformation:
    """Scale a gradient down to a global norm of at most ``bound``.

    ``optax.clip_by_global_norm`` squares the entries directly. In float32 that overflows from a norm of 2·10¹⁹, and
    exploding gradients, which clipping is for, become zeros. Here the largest entry is divided out first.
    """

    def update(gradient: PyTree, state: PyTree, parameters: PyTree | None = None) -> tuple[PyTree, PyTree]:
        del parameters
        largest = jnp.maximum(jnp.max(jnp.stack([jnp.abs(leaf).max() for leaf in jax.tree.leaves(gradient)])), 1)
        scaled = jax.tree.map(lambda leaf: leaf / largest, gradient)
        factor = jnp.minimum(largest, bound / optax.tree.norm(scaled))
        return jax.tree.map(lambda leaf: leaf * factor, scaled), state

    return optax.GradientTransformation(lambda parameters: optax.EmptyState(), update)


def advance(
    fit: Fit,
    hyperparameters: Hyperparameters,
    key: PRNGKeyArray,
    iterations: Int[Array, ""],
    task: Task,
    program: Program,
) -> Fit:
    """Train one network for some iterations.

    The trials and the noise of iteration s depend only on the key and s, so that interrupting a run changes no number.
    """
    transformation = gradient_transformation(program.optimizer, hyperparameters)

    def iterate(_: Int[Array, ""], fit: Fit) -> Fit:
        trials = task.trials(jax.random.fold_in(key, fit.iteration), program.batch_size)
        loss, gradient = jax.value_and_grad(training_loss)(
            fit.cell, trials, hyperparameters.l2, program, key, fit.iteration
        )
        updates, state = transformation.update(gradient, fit.optimizer, fit.cell)
        cell = map_fixed(lambda _, before: before, optax.apply_updates(fit.cell, updates), fit.cell)
        finite = jnp.isfinite(loss) & _all_finite(gradient) & (fit.diverged_at < 0)
        new_cell, new_state = jax.tree.map(partial(jnp.where, finite), (cell, state), (fit.cell, fit.optimizer))
        diverged_at = jnp.where(finite | (fit.diverged_at >= 0), fit.diverged_at, fit.iteration)
        return Fit(new_cell, new_state, fit.iteration + 1, diverged_at, fit.loss_sum + loss)

    return jax.lax.fori_loop(0, iterations, iterate, fit)


def _all_finite(tree: PyTree) -> Bool[Array, ""]:
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]))


@partial(jax.jit, static_argnames=("task", "program"), donate_argnames=("fits",))
def _advance_lanes(
    fits: Fit,
    hyperparameters: Hyperparameters,
    keys: Key[Array, " lanes"],
    iterations: Int[Array, ""],
    task: Task,
    program: Program,
) -> Fit:
    """``advance`` several networks side by side."""

    def one(fit: Fit, hyperparameters: Hyperparameters, key: PRNGKeyArray) -> Fit:
        return advance(fit, hyperparameters, key, iterations, task, program)

    lanes = (fits, hyperparameters, keys)
    # On a CPU, vmap over a single network would lose the fast matrix products.
    return jax.lax.map(lambda lane: one(*lane), lanes) if len(keys) == 1 else jax.vmap(one)(*lanes)


@jax.jit
def validate(cells: Cell, held_out: Trial) -> Float[Array, " lanes"]:
    """Return the held-out errors of several networks, computed one after the other."""
    return jax.lax.map(lambda cell: mean_squared_error(cell, held_out), cells)

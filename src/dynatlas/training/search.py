"""Hyperparameter search: train samples of the settings of a configuration, compare them on held-out trials.

Random search (Bergstra & Bengio 2012) trains every sample to the end. Successive halving (Jamieson & Talwalkar 2016)
trains the same samples briefly and continues with the best: a sample's curve is the beginning of its curve in random
search, bit for bit. All samples of a configuration start from the same weights and see the same trials; only their
settings differ.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from dynatlas.cells.cell import Cell
from dynatlas.study.members import Member
from dynatlas.study.settings import SEARCHED, Search, Training
from dynatlas.tasks.task import Task
from dynatlas.training.fit import BlockState, begin, train

LOGARITHMIC = ("learning_rate", "clip_norm")

# A momentum of 1 would never forget a gradient.
MAX_MOMENTUM = 1 - 2.0**-24


class SearchState(NamedTuple):
    """State of a hyperparameter search."""

    alive: NDArray[np.int64]  # samples still in training
    block: BlockState  # their networks
    iterations: NDArray[np.int64]  # [points]: iterations done at each validation
    training_loss: NDArray[np.float64]  # [samples, points]; NaN after a sample was dropped
    validation_mse: NDArray[np.float64]  # [samples, points]; likewise
    points: NDArray[np.int64]  # [samples]: number of validations of each sample
    diverged_at: NDArray[np.int64]  # [samples]: −1 for never

    @property
    def chosen(self) -> int:
        """Index of the best sample still in training."""
        return int(self.alive[_ranked(self.block)[0]])


def samples(search: Search, member: Member) -> list[Training]:
    """Draw the settings to try for a member's configuration; more samples do not change the first ones."""
    random = np.random.default_rng(list(hashlib.sha256(f"{member.id}/search".encode()).digest()))
    drawn = []
    for uniforms in random.uniform(size=(search.samples, len(SEARCHED))):
        values = {}
        for name, uniform in zip(SEARCHED, uniforms, strict=True):
            low, high = getattr(search, name)
            value = low * (high / low) ** uniform if name in LOGARITHMIC else low + (high - low) * uniform
            values[name] = float(value)
        values["momentum"] = min(values["momentum"], MAX_MOMENTUM)
        drawn.append(member.training.model_copy(update=values))
    return drawn


def trainees(search: Search, member: Member) -> list[Member]:
    """Return the samples as members to train, all with the same initial weights and the same trials."""
    return [member._replace(id=f"{member.id}/search", training=training) for training in samples(search, member)]


def start_search(search: Search, member: Member, new_cell: Callable[[PRNGKeyArray], Cell]) -> SearchState:
    """Initialise a search; ``member`` is the first member of its configuration."""
    block = begin(trainees(search, member), new_cell)
    nothing, count = np.zeros((search.samples, 0)), np.arange(search.samples)
    return SearchState(count, block, np.zeros(0, np.int64), nothing, nothing, 0 * count, 0 * count - 1)


def run_search(
    task: Task,
    search: Search,
    member: Member,
    state: SearchState,
    *,
    lanes: int = 1,
    between: Callable[[SearchState], None] = lambda state: None,
) -> SearchState:
    """Train all remaining rungs of a search.

    Args:
        task: the task to learn.
        search: the settings of the search.
        member: the first member of the configuration, whose seed is used.
        state: the current state.
        lanes: as in ``train``.
        between: called every few seconds; an exception that it raises ends the search.

    Returns:
        The state after the last rung.
    """
    everyone = trainees(search, member)
    for count, until in search.rungs(member.training.iterations):
        if state.block.done >= until:
            continue
        if count < len(state.alive):
            state = _keep(state, count)
        members = [everyone[sample] for sample in state.alive]
        report = partial(_report, between, state)
        state = _extend(state, train(task, members, state.block, until=until, lanes=lanes, between=report))
    return state


def _report(between: Callable[[SearchState], None], state: SearchState, block: BlockState) -> None:
    """Call ``between`` with the search after more training of its samples."""
    between(_extend(state, block))


def _keep(state: SearchState, count: int) -> SearchState:
    """Keep the ``count`` best samples."""
    best = np.sort(_ranked(state.block)[:count])
    return state._replace(alive=state.alive[best], block=state.block.take(best))


def _ranked(block: BlockState) -> NDArray[np.int64]:
    """Return rows from best to worst by the last validation error, diverged ones last; ties keep their order."""
    error = block.validation_mse[:, -1]
    diverged = (np.asarray(block.fits.diverged_at) >= 0) | ~np.isfinite(error)
    return np.lexsort([np.nan_to_num(error, nan=np.inf), diverged])


def _extend(state: SearchState, block: BlockState) -> SearchState:
    """Return the search after more training of its remaining samples."""
    new = len(block.iterations) - len(state.iterations)

    def extended(curves: NDArray[np.float64], added: NDArray[np.float64]) -> NDArray[np.float64]:
        wider = np.pad(curves, ((0, 0), (0, new)), constant_values=np.nan)
        wider[state.alive] = added
        return wider

    points, diverged_at = state.points.copy(), state.diverged_at.copy()
    points[state.alive] = len(block.iterations)
    diverged_at[state.alive] = block.fits.diverged_at
    return SearchState(
        state.alive,
        block,
        block.iterations,
        extended(state.training_loss, block.training_loss),
        extended(state.validation_mse, block.validation_mse),
        points,
        diverged_at,
    )

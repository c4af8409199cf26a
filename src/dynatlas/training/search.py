"""The hyperparameter search: samples of one configuration's settings, trained and compared on held-out trials.

Random search (Bergstra & Bengio 2012) trains every sample to the end. Successive halving (Jamieson & Talwalkar 2016)
trains the same samples a little, keeps the best, and trains those on: a sample's curve under it is the beginning of its
curve under random search, bit for bit. All samples of a configuration start from the same weights and see the same
trials, so that they differ in nothing but their settings.
"""

import hashlib
from collections.abc import Callable
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


# A momentum of 1 never forgets a gradient; settings have it below 1.
LARGEST_MOMENTUM = 1 - 2.0**-24


class SearchState(NamedTuple):
    """A search under way or at its end."""

    alive: NDArray[np.int64]  # the samples that train on, …
    block: BlockState  # … and their networks
    iterations: NDArray[np.int64]  # [points]: iterations done at each validation
    training_loss: NDArray[np.float64]  # [samples, points]; NaN where a sample was dropped before
    validation_mse: NDArray[np.float64]  # [samples, points]; likewise
    points: NDArray[np.int64]  # [samples]: validations that each sample has had
    diverged_at: NDArray[np.int64]  # [samples]: −1 for never

    @property
    def chosen(self) -> int:
        """The best of the samples that are left."""
        return int(self.alive[_ranked(self.block)[0]])


def samples(search: Search, member: Member) -> list[Training]:
    """The settings to try for a member's configuration; the first of them do not depend on how many follow."""
    random = np.random.default_rng(list(hashlib.sha256(f"{member.id}/search".encode()).digest()))
    drawn = []
    for uniforms in random.uniform(size=(search.samples, len(SEARCHED))):
        values = {}
        for name, uniform in zip(SEARCHED, uniforms, strict=True):
            low, high = getattr(search, name)
            value = low * (high / low) ** uniform if name in LOGARITHMIC else low + (high - low) * uniform
            values[name] = float(value)
        values["momentum"] = min(values["momentum"], LARGEST_MOMENTUM)
        drawn.append(member.training.model_copy(update=values))
    return drawn


def trainees(search: Search, member: Member) -> list[Member]:
    """The samples as networks to train: all with the same initial weights and the same trials."""
    return [member._replace(id=f"{member.id}/search", training=training) for training in samples(search, member)]


def start_search(search: Search, member: Member, new_cell: Callable[[PRNGKeyArray], Cell]) -> SearchState:
    """A search before its first iteration; ``member`` is the first of its configuration."""
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
    """Train rung after rung, from ``state`` to the end.

    Args:
        task: the task that is learned.
        search: its settings.
        member: the first member of the configuration; its seed stands for the others.
        state: where the search stands.
        lanes: as in ``train``.
        between: called every few seconds; what it raises ends the search there.
    """
    everyone = trainees(search, member)
    for count, until in search.rungs(member.training.iterations):
        if state.block.done >= until:
            continue
        if count < len(state.alive):
            state = _keep(state, count)
        kept = state
        block = train(
            task,
            [everyone[sample] for sample in kept.alive],
            kept.block,
            until=until,
            lanes=lanes,
            between=lambda block, kept=kept: between(_follow(kept, block)),  # type: ignore[misc]
        )
        state = _follow(kept, block)
    return state


def _keep(state: SearchState, count: int) -> SearchState:
    """Drop all but the best samples."""
    best = np.sort(_ranked(state.block)[:count])
    return state._replace(alive=state.alive[best], block=state.block.take(best))


def _ranked(block: BlockState) -> NDArray[np.int64]:
    """Rows from best to worst: by the last validation error, and those that diverged at the end; ties in order."""
    error = block.validation_mse[:, -1]
    lost = (np.asarray(block.fits.diverged_at) >= 0) | ~np.isfinite(error)
    return np.lexsort([np.nan_to_num(error, nan=np.inf), lost])


def _follow(state: SearchState, block: BlockState) -> SearchState:
    """The search after its living samples have trained on."""
    new = len(block.iterations) - len(state.iterations)

    def extended(curves: NDArray[np.float64], living: NDArray[np.float64]) -> NDArray[np.float64]:
        wider = np.pad(curves, ((0, 0), (0, new)), constant_values=np.nan)
        wider[state.alive] = living
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

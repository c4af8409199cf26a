"""Starts of a search: the given ones, moved into the box; those that a search adds; and where it may lead."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas.dynamics.multistart import Multistart
from dynatlas.dynamics.step import Box

# How far a search may leave a box, in half widths, or the starts, in multiples of their range.
BOX_MARGIN = 1.0
RANGE_MARGIN = 10.0

# Steps of the flow after which starts far outside the box are looked at.
STEPS_INTO_THE_BOX = (1, 1, 2, 4, 8, 16, 32, 64)


def starts_in_box(
    starts: NDArray[np.float64], box: Box | None, advance: Callable[[NDArray[np.float64], int], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Move starts into the box: far ones by the flow, until they enter it, and all others by projection.

    A far start that the flow does not move at all stays where it is, to be rejected: there a gate is shut to the last
    digit. Far means beyond the margin that a search may leave the box by.

    Args:
        starts: [starts, n].
        box: or None, which leaves the starts as they are.
        advance: the states [k, n] after a number of steps.
    """
    if box is None:
        return starts
    low, high = box
    margin = BOX_MARGIN * np.minimum(high - low, 1e300) / 2
    moved = starts.copy()
    far = np.flatnonzero(((starts < low - margin) | (starts > high + margin)).any(axis=1))
    for steps in STEPS_INTO_THE_BOX:
        outside = far[((moved[far] < low) | (moved[far] > high)).any(axis=1)]
        if not len(outside):
            break
        moved[outside] = advance(moved[outside], steps)
    overflown = np.asarray(~np.isfinite(moved).all(axis=1))
    moved[overflown] = starts[overflown]
    projected = np.clip(moved, low, high)
    unmoved = np.asarray(np.equal(moved[far], starts[far]).all(axis=1))
    still = far[unmoved & ~overflown[far]]
    projected[still] = starts[still]
    return projected


def search_region(
    starts: NDArray[np.float64], box: Box | None, spread: float
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Return the bounds that a search must not leave."""
    if box is not None:
        low, high = box
        margin = BOX_MARGIN * np.minimum(high - low, 1e300) / 2
    else:
        low, high = starts.min(axis=0), starts.max(axis=0)
        margin = RANGE_MARGIN * np.maximum(high - low, spread)
    return jnp.asarray(low - margin), jnp.asarray(high + margin)


def states_everywhere(
    search: Multistart, starts: NDArray[np.float64], count: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Draw states evenly from the box; without a finite one, from a box around 0 that holds the given starts."""
    largest = np.abs(starts).max(axis=0) + search.spread
    low, high = (-largest, largest) if search.box is None else search.box
    low, high = (np.where(np.isfinite(end), end, sign * largest) for end, sign in ((low, -1), (high, 1)))
    return np.asarray(random.uniform(low, high, (count, starts.shape[1])))


def more_starts(
    search: Multistart,
    starts: NDArray[np.float64],
    spread: float,
    count: int,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw starts between the points found, along their leading eigenvectors, and around the given starts."""
    n = starts.shape[1]
    scales = random.choice([0.1, 0.5, 1.0, 2.0], size=(count, 1))
    # Units differ in range, in particular the memory of an LSTM.
    ranges = np.maximum(starts.std(axis=0), 0.1 * spread)
    noise = scales * ranges * random.normal(size=(count, n))
    fresh: NDArray[np.float64] = starts[random.integers(len(starts), size=count)] + noise
    points = search.points
    if len(points) > 1:
        states = np.array([point.state for point in points])
        between = count // 2
        first, second = random.integers(len(points), size=(2, between))
        gap = states[second] - states[first]
        share = random.uniform(0.2, 0.8, size=(between, 1))
        jitter = 0.1 * np.linalg.norm(gap, axis=1, keepdims=True) / np.sqrt(n)
        fresh[:between] = states[first] + share * gap + jitter * random.normal(size=(between, n))
        along = random.integers(len(points), size=count // 4)
        directions = np.array([point.direction for point in points])
        distances = spread * np.sqrt(n) * random.uniform(-1, 1, size=(len(along), 1))
        fresh[between : between + len(along)] = states[along] + distances * directions[along]
    return search.clip(fresh)

"""Fixed points become graphs: which stable point each unstable one leads to, and which points are neighbours."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from dynatlas._util.arrays import generator, in_chunks
from dynatlas.dynamics.fixed_points import FixedPoints
from dynatlas.dynamics.root_search import Step

MAX_STEPS = 20_000


CHUNK = 128  # runs per call of the compiled loop


TURN = 200  # and steps; then those that have settled are left out


# A run has settled when one step moves it by less than this share of the distance between neighbouring points.
SETTLED = 1e-6


# It then counts as being at a stable point within this share of that point's distance to its nearest neighbour.
CAPTURED = 0.1


def transition_graph(
    step: Step,
    fixed_points: FixedPoints,
    inputs: Any | None = None,
    *,
    trials: int = 100,
    scale: float = 0.02,
    key: PRNGKeyArray,
) -> NDArray[np.float64]:
    """Where the flow goes from next to each fixed point.

    From each point, ``trials`` states are displaced in random directions by ``scale`` times the distance to the
    nearest other point, and run under the static input until they settle.

    Args:
        step: ``step(state [n], input [m]) -> state [n]``.
        fixed_points: the nodes, in the order of the graph.
        inputs: [m], the static input, or None.
        trials: displaced states per point.
        scale: displacement, as a share of the distance to the nearest other point (of 1 if there is only one).
        key: random key of the directions.

    Returns:
        [p, p]: entry (i, j) is the fraction of the states next to point i that ended at the stable point j. A row
        adds up to less than 1 by the fraction that ended nowhere: still moving after 20,000 steps, or elsewhere.

    Raises:
        ValueError: no trials, a scale that is not positive.

    Example:
        One bistable unit: two stable points, and a saddle that leads to either.

        >>> from dynatlas import find_fixed_points
        >>> step = lambda h, x: jnp.tanh(2 * h)
        >>> points = find_fixed_points(step, np.linspace(-1, 1, 20)[:, None], box=(-1, 1), key=jax.random.key(0))
        >>> graph = transition_graph(step, points, key=jax.random.key(1))
        >>> graph[:2].tolist(), float(graph[2, :2].sum())
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 1.0)

    Source: Maheswaranathan et al. 2019, who give neither directions nor displacement; the defaults are ours.
    """
    if trials < 1:
        raise ValueError(f"trials is {trials}; expected at least 1")
    if not scale > 0:
        raise ValueError(f"scale is {scale}; expected a positive share of the distance to the nearest point")
    count = len(fixed_points)
    graph = np.zeros((count, count))
    if not count:
        return graph
    with jax.enable_x64(True):
        states = np.asarray(fixed_points.states)
        spacing = _nearest_distance(states)
        directions = generator(key).normal(size=(count, trials, states.shape[1]))
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        displaced = states[:, None] + scale * spacing[:, None, None] * directions
        static = None if inputs is None else jnp.asarray(np.asarray(inputs, np.float64))
        ends, settled = _run_until_settled(
            step, displaced.reshape(-1, states.shape[1]), static, SETTLED * spacing.min()
        )

    stable = np.flatnonzero((fixed_points.n_unstable == 0) & ~fixed_points.is_slow)
    sources = np.repeat(np.arange(count), trials)
    if len(stable):
        distances = np.linalg.norm(ends[:, None] - states[stable], axis=-1)
        nearest = distances.argmin(axis=1)
        arrived = settled & (distances.min(axis=1) < CAPTURED * spacing[stable][nearest])
        np.add.at(graph, (sources[arrived], stable[nearest[arrived]]), 1)
    return graph / trials


def _run_until_settled(
    step: Step, states: NDArray[np.float64], inputs: Any, tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where each run has settled, and whether it has; runs that have settled make room for others."""
    ends, settled = states.copy(), np.zeros(len(states), bool)
    moving = np.arange(len(states))
    for _ in range(MAX_STEPS // TURN):
        if not len(moving):
            break
        ends[moving], settled[moving] = in_chunks(
            lambda runs: _turn(step, runs, inputs, jnp.asarray(tolerance)), ends[moving], CHUNK
        )
        moving = moving[~settled[moving]]
    return ends, settled


@eqx.filter_jit
def _turn(
    step: Step, states: Float[Array, "runs n"], inputs: Any, tolerance: Float[Array, ""]
) -> tuple[Float[Array, "runs n"], Bool[Array, " runs"]]:
    """Some steps; a run that a step moves by no more than ``tolerance`` has settled and stays."""
    advance = jax.vmap(lambda state: step(state, inputs))

    def moving(carry: tuple[Array, Array, Int[Array, ""]]) -> Bool[Array, ""]:
        _, settled, steps = carry
        return ~jnp.all(settled) & (steps < TURN)

    def move(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        states, settled, steps = carry
        following = advance(states)
        settles = jnp.linalg.norm(following - states, axis=-1) <= tolerance
        return jnp.where(settled[:, None], states, following), settled | settles, steps + 1

    first = (states, jnp.zeros(len(states), bool), jnp.asarray(0))
    return jax.lax.while_loop(moving, move, first)[:2]


def canonical_order(readouts: Any, ideal: Any) -> NDArray[np.int64]:
    """The order in which fixed points are compared: lexicographic in the ideal readout that each is matched with.

    The ideal readouts are all combinations of the ideal values. Points and ideal readouts are matched one to one so
    that the squared distances add up to least. Rounding each readout by itself, as the paper may have done, gives two
    points the same place where a saddle lies off the middle (in 9 of 27 for a relu LSTM), and graphs that are alike
    then look different. Only if there are more points than ideal readouts are they rounded; points that round alike
    keep the order of their raw readouts.

    Args:
        readouts: [p, outputs]: the network's output at each point.
        ideal: the values that an output should take there, such as (−1, 0, 1) for the flip-flop.

    Returns:
        [p]: positions.
    """
    readouts = np.asarray(readouts, np.float64)
    values = np.sort(np.asarray(ideal, np.float64))
    if len(readouts) <= len(values) ** readouts.shape[1]:
        corners = np.array(list(itertools.product(values, repeat=readouts.shape[1])))
        costs = ((readouts[:, None] - corners) ** 2).sum(axis=-1)
        points, places = linear_sum_assignment(costs)
        return np.asarray(points[np.argsort(places)])
    rounded = values[np.abs(readouts[..., None] - values).argmin(axis=-1)]
    keys = np.concatenate([rounded, readouts], axis=1)
    return np.lexsort(keys.T[::-1])


def neighbor_graph(states: Any, neighbors: int = 2) -> NDArray[np.float64]:
    """Points that are near each other: 1 where either of two is among the other's nearest, 0 elsewhere.

    With two neighbours a chain of points along a line is joined into a line; with one it falls into pairs and triples,
    decided by the smallest differences of spacing.

    Args:
        states: [p, n].
        neighbors: how many nearest points each one is joined to.

    Returns:
        [p, p], symmetric.

    Raises:
        ValueError: too few points, or states that are not finite.

    Source: Maheswaranathan et al. 2019, who join "nearest neighbors" and do not say how many; 2 is ours.

    Example:
        >>> neighbor_graph(np.arange(4.0)[:, None]).astype(int).tolist()
        [[0, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 0]]
    """
    states = np.asarray(states, np.float64)
    if not np.isfinite(states).all():
        raise ValueError("states has NaN or infinity; leave those points out")
    if not 1 <= neighbors < len(states):
        raise ValueError(f"neighbors is {neighbors} with {len(states)} points; expected 1 to {len(states) - 1}")
    distances = np.linalg.norm(states[:, None] - states[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    # A stable sort: of points equally near the first counts.
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :neighbors]
    graph = np.zeros(distances.shape)
    np.put_along_axis(graph, nearest, 1.0, axis=1)
    return np.maximum(graph, graph.T)


def _nearest_distance(states: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each point's distance to its nearest neighbour; 1 for a point alone."""
    if len(states) == 1:
        return np.ones(1)
    distances = np.linalg.norm(states[:, None] - states[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest: NDArray[np.float64] = distances.min(axis=1)
    return nearest

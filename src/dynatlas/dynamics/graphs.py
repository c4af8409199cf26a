"""Graphs of fixed points: transitions from each point to the stable ones, and nearest neighbours."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from dynatlas._util.arrays import ArrayLike, generator, in_chunks, key_or_default
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.step import Step, check_fixed_points, next_state, static_inputs

MAX_STEPS = 20_000
CHUNK = 128  # runs per call of the compiled loop
CHUNK_STEPS = 200  # steps per call; runs that have settled are then replaced

# A run has settled when one step moves it by less than this share of the distance between neighbouring points.
SETTLED = 1e-6

# Pairs of a point and an ideal readout of which the costs are held: 400 MB.
MOST_COSTS = 50_000_000

# A settled run is at a stable point if its distance is less than this share of the point's distance to its neighbour.
CAPTURED = 0.1


def transition_graph(
    step: Step,
    fixed_points: FixedPoints,
    inputs: ArrayLike | None = None,
    *,
    trials: int = 100,
    scale: float = 0.02,
    key: PRNGKeyArray | None = None,
) -> NDArray[np.float64]:
    """Estimate the probability that the flow leads from near each fixed point to each stable one.

    From each point, ``trials`` states are displaced in random directions by ``scale`` times the distance to the
    nearest other point, and run under the static input until they settle.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``.
        fixed_points: the nodes, in the order of the graph.
        inputs: [m], the static input, or None.
        trials: displaced states per point.
        scale: displacement as a share of the distance to the nearest other point (of 1 if there is only one).
        key: random key for the directions; by default that of the seed 0.

    Returns:
        [p, p]: entry (i, j) is the fraction of the states displaced from point i that end at the stable point j. The
        fraction missing from a row's sum of 1 ended elsewhere, or was still moving after 20,000 steps.

    Raises:
        ValueError: ``trials`` is less than 1, ``scale`` is not positive, or ``fixed_points`` are no fixed points under
            these inputs.

    Example:
        One bistable unit: two stable points, and a saddle that leads to either.

        >>> from dynatlas import find_fixed_points
        >>> step = lambda h, x: jnp.tanh(2 * h)
        >>> points = find_fixed_points(step, np.linspace(-1, 1, 20)[:, None], box=(-1, 1))
        >>> graph = transition_graph(step, points)
        >>> graph[:2].tolist(), float(graph[2, :2].sum())
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 1.0)

    Source: Maheswaranathan et al. 2019, who report neither directions nor displacements.
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
        states, static = np.asarray(fixed_points.states), static_inputs(inputs)
        check_fixed_points(step, states, fixed_points.q, static)
        spacing = _nearest_distance(states)
        directions = generator(key_or_default(key)).normal(size=(count, trials, states.shape[1]))
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        displaced = states[:, None] + scale * spacing[:, None, None] * directions
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
    step: Step, states: NDArray[np.float64], inputs: Float[Array, " m"] | None, tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the last state of each run, and whether it has settled; settled runs leave the batch."""
    ends, settled = states.copy(), np.zeros(len(states), bool)
    moving = np.arange(len(states))
    for _ in range(MAX_STEPS // CHUNK_STEPS):
        if not len(moving):
            break
        ends[moving], settled[moving] = in_chunks(
            lambda runs: _advance(step, runs, inputs, jnp.asarray(tolerance)), ends[moving], CHUNK
        )
        moving = moving[~settled[moving]]
    return ends, settled


@eqx.filter_jit
def _advance(
    step: Step, states: Float[Array, "runs n"], inputs: Float[Array, " m"] | None, tolerance: Float[Array, ""]
) -> tuple[Float[Array, "runs n"], Bool[Array, " runs"]]:
    """Take up to 200 steps; a run that a step moves by no more than ``tolerance`` has settled and stays."""

    def advance(state: Float[Array, " n"]) -> Float[Array, " n"]:
        return next_state(step, state, inputs)

    def moving(carry: tuple[Array, Array, Int[Array, ""]]) -> Bool[Array, ""]:
        _, settled, steps = carry
        return ~jnp.all(settled) & (steps < CHUNK_STEPS)

    def move(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        states, settled, steps = carry
        following = jax.vmap(advance)(states)
        settles = jnp.linalg.norm(following - states, axis=-1) <= tolerance
        return jnp.where(settled[:, None], states, following), settled | settles, steps + 1

    first = (states, jnp.zeros(len(states), bool), jnp.asarray(0))
    return jax.lax.while_loop(moving, move, first)[:2]


def canonical_order(readouts: ArrayLike, ideal: ArrayLike) -> NDArray[np.int64]:
    """Order fixed points for comparison: lexicographically by the ideal readout that each is matched with.

    The ideal readouts are all combinations of the ideal values. Points and ideal readouts are matched one to one with
    the least sum of squared distances. Rounding each readout on its own, as the paper may have done, puts two points in
    the same place where a saddle lies off the middle (9 of 27 for a relu LSTM), and similar graphs then look different.
    Readouts are rounded only if there are more points than ideal readouts, or more than ``MOST_COSTS`` pairs of them (a
    flip-flop of more than 8 channels); ties keep the order of the raw readouts.

    Args:
        readouts: [p, outputs], the network's output at each point.
        ideal: values that an output should take at a fixed point, such as (−1, 0, 1) for the flip-flop.

    Returns:
        [p]: indices of the points.
    """
    outputs = np.asarray(readouts, np.float64)
    values = np.sort(np.asarray(ideal, np.float64))
    n_corners = len(values) ** outputs.shape[1]
    if len(outputs) <= n_corners and len(outputs) * n_corners <= MOST_COSTS:
        corners = np.array(list(itertools.product(values, repeat=outputs.shape[1])))
        # One point at a time: the differences take as many times the memory of the costs as there are outputs.
        costs = np.array([((output - corners) ** 2).sum(axis=-1) for output in outputs]).reshape(-1, n_corners)
        points, places = linear_sum_assignment(costs)
        return np.asarray(points[np.argsort(places)])
    rounded = values[np.abs(outputs[..., None] - values).argmin(axis=-1)]
    keys = np.concatenate([rounded, outputs], axis=1)
    return np.lexsort(keys.T[::-1])


def neighbor_graph(states: ArrayLike, neighbors: int = 2) -> NDArray[np.float64]:
    """Connect each point to its nearest neighbours: 1 where either of two points is among the other's, 0 elsewhere.

    With two neighbours, points along a line form a chain; with one, small differences in spacing split them into pairs
    and triples.

    Args:
        states: [p, n].
        neighbors: number of nearest points to connect each point to.

    Returns:
        [p, p], symmetric.

    Raises:
        ValueError: there are too few points, or states are not finite.

    Source: Maheswaranathan et al. 2019, who do not report the number of neighbours.

    Example:
        >>> neighbor_graph(np.arange(4.0)[:, None]).astype(int).tolist()
        [[0, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 0]]
    """
    points = np.asarray(states, np.float64)
    if not np.isfinite(points).all():
        raise ValueError("states has NaN or infinity; remove those points")
    if not 1 <= neighbors < len(points):
        raise ValueError(f"neighbors is {neighbors} with {len(points)} points; expected 1 to {len(points) - 1}")
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    # A stable sort prefers the first of equally near points.
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :neighbors]
    graph = np.zeros(distances.shape)
    np.put_along_axis(graph, nearest, 1.0, axis=1)
    return np.maximum(graph, graph.T)


def _nearest_distance(states: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each point's distance to its nearest neighbour; 1 for a single point."""
    if len(states) == 1:
        return np.ones(1)
    distances = np.linalg.norm(states[:, None] - states[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest: NDArray[np.float64] = distances.min(axis=1)
    return nearest

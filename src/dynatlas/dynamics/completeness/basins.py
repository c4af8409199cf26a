"""Basins: which stable point the map leads to, and where a run is slowest on its way.

A run next to the boundary of two basins is slow where it passes the saddle on the boundary. This passage is where the
search for the saddle begins.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import NDArray

from dynatlas.dynamics.step import Step, next_state, residual, residual_and_jacobian

LANES = 8  # runs at a time: a lane whose run has ended takes the next
RUNS = 128  # per call of the compiled flow
STRIDE = 4  # steps from one look at a run to the next
MOST_STEPS = 1000
# A run has arrived when it is, at three looks, closer to a stable point than this share of the point's distance to the
# nearest other root.
CAPTURED = 0.05
STAY = 2
# A run that ends slow is continued by implicit steps of growing length, as long in state space as this share of the
# smallest radius: with eigenvalues of 0.99999 it would take 100,000 steps of the map.
SLOW = 3e-3  # length of a step, relative to the spread of the starts, below which a run is slow
SLOW_SHARE = 0.5
SLOW_SETTLING = 128  # implicit steps
SLOW_RUNS = 16  # runs at a time
FEWEST_TARGETS = 8  # stable points are padded to this number times a power of 2, so that few shapes are compiled


class _Lane(NamedTuple):
    """A run between two looks."""

    start: Int[Array, "*lanes"]  # index of the start; past the last one if idle
    taken: Int[Array, "*lanes"]  # steps
    state: Float[Array, "*lanes n"]
    near: Int[Array, "*lanes"]  # the stable point in whose neighbourhood the run is, or −1
    stayed: Int[Array, "*lanes"]  # for how many looks
    speed: Float[Array, "*lanes"]  # length of the last step
    falling: Bool[Array, "*lanes"]  # whether the last step was shorter than the one before
    passage: Float[Array, "*lanes n"]  # where the run was slowest between two faster stretches
    passage_speed: Float[Array, "*lanes"]


class Followed(NamedTuple):
    """Runs of the flow.

    Attributes:
        labels: number of the stable point that each run reached; −1 for none [runs].
        ends: last states [runs, n].
        passages: states at which each run was slowest, between faster stretches [runs, n].
        speeds: lengths of the step there; infinite without a passage [runs].
    """

    labels: NDArray[np.int64]
    ends: NDArray[np.float64]
    passages: NDArray[np.float64]
    speeds: NDArray[np.float64]


def follow(
    step: Step,
    inputs: Float[Array, " m"] | None,
    starts: NDArray[np.float64],
    targets: Sequence[NDArray[np.float64]],
    radii: Sequence[float],
    spread: float,
    away: float | NDArray[np.float64] = 0.0,
) -> Followed:
    """Follow the map from each start until it arrives within the radius of a stable point, and slow runs by the flow.

    Args:
        step: the map.
        inputs: the static input.
        starts: [runs, n].
        targets: the stable points, [n] each.
        radii: distance within which a run has arrived, of each stable point.
        spread: scale of the states.
        away: distance from its start within which a run is not looked at: next to a saddle it is slow, too [runs].
    """
    labels, ends, passages, speeds = iterate(step, inputs, starts, targets, radii, away)
    creeping = np.flatnonzero((labels < 0) & np.isfinite(ends).all(axis=1) & bool(len(targets)))
    for first in range(0, len(creeping), SLOW_RUNS):
        chosen = creeping[first : first + SLOW_RUNS]
        padding = np.resize(ends[chosen], (SLOW_RUNS, starts.shape[1]))
        stable = _padded(targets, radii, starts.shape[1])
        settled = _settle(step, jnp.asarray(padding), inputs, stable, jnp.asarray(SLOW * spread))
        labels[chosen], ends[chosen] = (np.asarray(leaf)[: len(chosen)] for leaf in settled)
    return Followed(labels, ends, passages, speeds)


def iterate(
    step: Step,
    inputs: Float[Array, " m"] | None,
    starts: NDArray[np.float64],
    targets: Sequence[NDArray[np.float64]] | NDArray[np.float64],
    radii: Sequence[float] | NDArray[np.float64],
    away: float | NDArray[np.float64] = 0.0,
    *,
    runs: int = RUNS,
    lanes: int = LANES,
) -> Followed:
    """Apply the map to each start until it arrives within the radius of a stable point, at most 1,000 times.

    Args:
        step: the map.
        inputs: the static input.
        starts: [runs, n].
        targets: the stable points, [n] each.
        radii: distance within which a run has arrived, of each stable point.
        away: distance from its start within which a run is not looked at [runs].
        runs: starts per call of the compiled loop.
        lanes: runs at a time in the compiled loop.
    """
    n = starts.shape[1]
    stable = _padded(targets, radii, n)
    distances = np.broadcast_to(np.asarray(away, float), (len(starts),))
    parts = []
    for first in range(0, max(len(starts), 1), runs):
        count = len(starts[first : first + runs])
        origins, ignored = np.zeros((runs, n)), np.zeros(runs)
        origins[:count], ignored[:count] = starts[first : first + runs], distances[first : first + runs]
        queue = (jnp.asarray(origins), jnp.asarray(ignored), jnp.asarray(count))
        followed = _follow_queue(step, queue, inputs, stable, lanes)
        parts.append([np.asarray(leaf)[:count] for leaf in followed])
    return Followed(*(np.concatenate(leaves) for leaves in zip(*parts, strict=True)))


def _padded(
    targets: Sequence[NDArray[np.float64]] | NDArray[np.float64], radii: Sequence[float] | NDArray[np.float64], n: int
) -> tuple[Float[Array, "targets n"], Float[Array, " targets"]]:
    """Return the stable points and their radii, padded so that few shapes are compiled."""
    places = FEWEST_TARGETS
    while places < len(targets):
        places *= 2
    padded = np.zeros((places, n))
    reach = np.full(places, -1.0)
    if len(targets):
        padded[: len(targets)], reach[: len(targets)] = targets, radii
    return jnp.asarray(padded), jnp.asarray(reach)


def not_followed(starts: NDArray[np.float64]) -> Followed:
    """Return what is known of runs that were not begun, since the time was spent: nothing."""
    nothing = np.full_like(starts, np.nan)
    return Followed(np.full(len(starts), -1), nothing, nothing, np.full(len(starts), np.inf))


@eqx.filter_jit
def _settle(
    step: Step,
    states: Float[Array, "runs n"],
    inputs: Float[Array, " m"] | None,
    stable: tuple[Float[Array, "targets n"], Float[Array, " targets"]],
    slow: Float[Array, ""],
) -> tuple[Int[Array, " runs"], Float[Array, "runs n"]]:
    """Continue slow runs by implicit Euler steps of the flow dh/dt = F(h) − h; return the labels and the last states.

    The length t of a step doubles while it moves the state by less than a share of the smallest radius, and is halved
    otherwise, so that the run stays near the trajectory. A run that is not slow at first keeps its label −1.
    """
    targets, radii = stable
    longest = SLOW_SHARE * jnp.min(jnp.where(radii > 0, radii, jnp.inf))
    identity = jnp.eye(states.shape[1])

    def near(state: Float[Array, " n"]) -> Int[Array, ""]:
        inside = jnp.linalg.norm(targets - state, axis=1) < radii
        return jnp.asarray(jnp.where(inside.any(), jnp.argmax(inside), -1))

    def one(start: Float[Array, " n"]) -> tuple[Int[Array, ""], Float[Array, " n"]]:
        is_slow = jnp.linalg.norm(residual(step, start, inputs)) < slow

        def unfinished(carry: tuple[Array, Array, Array]) -> Bool[Array, ""]:
            count, state, _ = carry
            return jnp.asarray((count < SLOW_SETTLING) & is_slow & (near(state) < 0))

        def advance(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            count, state, length = carry
            value, slope = residual_and_jacobian(step, state, inputs)
            move = jnp.linalg.solve(identity - length * slope, length * value)
            fits = jnp.linalg.norm(move) <= longest  # false for NaN
            return count + 1, jnp.where(fits, state + move, state), jnp.where(fits, 2 * length, length / 2)

        state = jax.lax.while_loop(unfinished, advance, (jnp.asarray(0), start, jnp.asarray(16.0)))[1]
        return jnp.where(is_slow, near(state), -1), state

    labels, ends = jax.vmap(one)(states)
    return labels, ends


@eqx.filter_jit
def _follow_queue(
    step: Step,
    queue: tuple[Float[Array, "runs n"], Float[Array, " runs"], Int[Array, ""]],
    inputs: Float[Array, " m"] | None,
    stable: tuple[Float[Array, "targets n"], Float[Array, " targets"]],
    n_lanes: int,
) -> tuple[Int[Array, " runs"], Float[Array, "runs n"], Float[Array, "runs n"], Float[Array, " runs"]]:
    """Follow the first ``count`` starts of a queue of (starts, away, count); return the leaves of ``Followed``."""
    starts, away, count = queue
    targets, radii = stable
    total = len(starts)

    def begin(start: Int[Array, ""]) -> _Lane:
        state = starts[jnp.minimum(start, total - 1)]
        none, zero, infinity = jnp.asarray(-1), jnp.asarray(0), jnp.asarray(jnp.inf)
        return _Lane(start, zero, state, none, zero, infinity, jnp.asarray(False), state, infinity)

    def look(lane: _Lane) -> tuple[_Lane, Int[Array, ""], Bool[Array, ""]]:
        """Take a stride in one lane; return it, the stable point at which it has arrived or −1, and whether it ends."""
        before = jax.lax.fori_loop(0, STRIDE - 1, lambda _, state: next_state(step, state, inputs), lane.state)
        state = next_state(step, before, inputs)
        speed = jnp.linalg.norm(state - before)
        inside = jnp.linalg.norm(targets - state, axis=1) < radii
        near = jnp.where(inside.any(), jnp.argmax(inside), -1)
        stayed = jnp.where((near >= 0) & (near == lane.near), lane.stayed + 1, 0)
        # The state before: it is the one that counts as the passage, and at first nothing is known to fall.
        origin = jnp.minimum(lane.start, total - 1)
        left = jnp.linalg.norm(lane.state - starts[origin]) > away[origin]
        turned = left & lane.falling & (speed > lane.speed) & (lane.speed < lane.passage_speed)
        taken = lane.taken + STRIDE
        label = jnp.where(stayed >= STAY, near, -1)
        after = _Lane(
            lane.start,
            taken,
            state,
            near,
            stayed,
            speed,
            speed < lane.speed,
            jnp.where(turned, lane.state, lane.passage),
            jnp.where(turned, lane.speed, lane.passage_speed),
        )
        return after, label, (label >= 0) | (taken >= MOST_STEPS) | ~jnp.isfinite(state).all()

    def busy(carry: tuple[_Lane, Array, tuple[Array, ...]]) -> Bool[Array, ""]:
        return jnp.any(carry[0].start < count)

    def advance(carry: tuple[_Lane, Array, tuple[Array, ...]]) -> tuple[_Lane, Array, tuple[Array, ...]]:
        lanes, waiting, results = carry
        lanes, labels, ended = jax.vmap(look)(lanes)
        # Idle and unfinished lanes write past the end, where "drop" discards it.
        slot = jnp.where(ended & (lanes.start < count), lanes.start, total)
        found = (labels, lanes.state, lanes.passage, lanes.passage_speed)
        results = tuple(old.at[slot].set(new, mode="drop") for old, new in zip(results, found, strict=True))
        fresh = jax.vmap(begin)(jnp.minimum(waiting + jnp.cumsum(ended) - 1, total))
        lanes = jax.tree.map(
            lambda new, old: jnp.where(ended.reshape(-1, *(1,) * (old.ndim - 1)), new, old), fresh, lanes
        )
        return lanes, jnp.minimum(waiting + jnp.sum(ended), total), results

    empty: tuple[Array, ...] = (
        jnp.full(total, -1),
        jnp.zeros_like(starts),
        jnp.zeros_like(starts),
        jnp.full(total, jnp.inf),
    )
    labels, ends, passages, speeds = jax.lax.while_loop(
        busy, advance, (jax.vmap(begin)(jnp.arange(n_lanes)), jnp.asarray(n_lanes), empty)
    )[2]
    return labels, ends, passages, speeds

"""Basins: which stable point the flow leads to, and where a run is slowest on its way.

A run next to the boundary of two basins is slow where it passes the saddle on the boundary. This passage is where the
search for the saddle begins.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy.typing import NDArray

from dynatlas.dynamics.step import Step, next_state

RUNS = 32  # runs per call of the compiled flow
STRIDE = 4  # steps from one look at a run to the next
CALL_STEPS = 60  # steps per call; runs that have arrived are then replaced
MOST_STEPS = 1000
# Steps of a run that is slow rather than turning: where gates are near 1, it leaves a saddle slowly.
SLOW_STEPS = 8000
# A run is slow if its last step is shorter than this, relative to the spread of the starts, and at rest below REST.
SLOW = 1e-3
REST = 1e-10

# A run has arrived when it is, at three looks, closer to a stable point than this share of the point's distance to the
# nearest other root.
CAPTURED = 0.05
STAY = 2
FEWEST_TARGETS = 8  # stable points are padded to this number times a power of 2, so that few shapes are compiled


class _Run(NamedTuple):
    """State of runs between two looks; arrays of NumPy outside compiled code, of JAX inside."""

    state: Any  # [*runs, n]
    label: Any  # of the stable point; −1 before arrival
    near: Any  # the stable point in whose neighbourhood the run is, or −1
    stayed: Any  # for how many steps
    speed: Any  # length of the last step
    falling: Any  # whether the last step was shorter than the one before
    origin: Any
    away: Any  # distance from the origin before which no passage counts
    passage: Any  # where the run was slowest between two faster stretches
    passage_speed: Any


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
    """Follow the flow from each start until it arrives within the radius of a stable point.

    Args:
        step: the map.
        inputs: the static input.
        starts: [runs, n].
        targets: the stable points, [n] each.
        radii: distance within which a run has arrived, of each stable point.
        spread: scale of the states.
        away: distance from its start within which a run is not looked at: next to a saddle it is slow, too [runs].
    """
    n = starts.shape[1]
    places = FEWEST_TARGETS
    while places < len(targets):
        places *= 2
    padded = np.zeros((places, n))
    reach = np.full(places, -1.0)
    if len(targets):
        padded[: len(targets)], reach[: len(targets)] = targets, radii
    count = len(starts)
    runs = _Run(
        starts.copy(),
        np.full(count, -1),
        np.full(count, -1),
        np.zeros(count, int),
        np.full(count, np.inf),
        np.zeros(count, bool),
        starts.copy(),
        np.broadcast_to(np.asarray(away, float), (count,)).copy(),
        starts.copy(),
        np.full(count, np.inf),
    )
    taken = 0
    moving = np.arange(count)
    while len(moving) and taken < SLOW_STEPS:
        for first in range(0, len(moving), RUNS):
            rows = moving[first : first + RUNS]
            chosen = np.concatenate([rows, np.repeat(rows[-1:], RUNS - len(rows))])
            part = jax.tree.map(lambda leaf, chosen=chosen: jnp.asarray(leaf[chosen]), runs)
            done = _advance(step, part, inputs, jnp.asarray(padded), jnp.asarray(reach))
            for leaf, new in zip(runs, done, strict=True):
                leaf[rows] = np.asarray(new)[: len(rows)]
        taken += CALL_STEPS
        left = (runs.label[moving] < 0) & np.isfinite(runs.state[moving]).all(axis=1)
        if taken >= MOST_STEPS:
            left &= (runs.speed[moving] < SLOW * spread) & (runs.speed[moving] > REST * spread)
        moving = moving[left]
    return Followed(runs.label, runs.state, runs.passage, runs.passage_speed)


@eqx.filter_jit
def _advance(
    step: Step,
    runs: _Run,
    inputs: Float[Array, " m"] | None,
    targets: Float[Array, "targets n"],
    radii: Float[Array, " targets"],
) -> _Run:
    """Take up to 60 steps, or fewer if all runs have arrived."""

    def one(run: _Run) -> _Run:
        before = jax.lax.fori_loop(0, STRIDE - 1, lambda _, state: next_state(step, state, inputs), run.state)
        state = next_state(step, before, inputs)
        speed = jnp.linalg.norm(state - before)
        distances = jnp.linalg.norm(targets - state, axis=1)
        inside = distances < radii
        near = jnp.where(inside.any(), jnp.argmax(inside), -1)
        stayed = jnp.where((near >= 0) & (near == run.near), run.stayed + 1, 0)
        # The state before: it is the one that counts as the passage, and at first nothing is known to fall.
        left = jnp.linalg.norm(run.state - run.origin) > run.away
        turned = left & run.falling & (speed > run.speed) & (run.speed < run.passage_speed)
        after = _Run(
            state,
            jnp.where(stayed >= STAY, near, -1),
            near,
            stayed,
            speed,
            speed < run.speed,
            run.origin,
            run.away,
            jnp.where(turned, run.state, run.passage),
            jnp.where(turned, run.speed, run.passage_speed),
        )
        kept: _Run = jax.tree.map(lambda new, old: jnp.where(run.label >= 0, old, new), after, run)
        return kept

    def moving(carry: tuple[_Run, Array]) -> Bool[Array, ""]:
        return jnp.any(carry[0].label < 0) & (carry[1] < CALL_STEPS)

    def move(carry: tuple[_Run, Array]) -> tuple[_Run, Array]:
        return jax.vmap(one)(carry[0]), carry[1] + STRIDE

    return jax.lax.while_loop(moving, move, (runs, jnp.asarray(0)))[0]

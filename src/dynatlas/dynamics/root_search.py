"""Levenberg–Marquardt on q(h) = ½‖F(h) − h‖² from many starts, as one compiled program.

The starts wait in a queue. A fixed number of *lanes* work on them, and a lane that finishes one start takes the next:
the batch stays full however slow a single start is, and one compilation serves any number of starts.

Each iteration solves ((J − I)ᵀ(J − I) + μI) p = −(J − I)ᵀ r with the residual r = F(h) − h, the exact Jacobian J, and
the damping μ = λ‖r‖. λ shrinks if the sum of squares falls about as much as the linear model predicts, and grows if it
falls much less or not at all. With μ proportional to ‖r‖ the method also converges quadratically to roots that are not
isolated, as on a line attractor (Yamashita & Fukushima 2001). Near a root, two further steps with the same matrix and
the new r reuse its factorisation (Fan 2012); each is taken if it lowers the sum of squares.

In the first iterations each row of r and of J − I is divided by the length of that row of J − I. A gated unit
contributes (1 − gate)(candidate − h): where gates are near 1, rows differ by orders of magnitude and an unscaled search
stalls. A scaled row contributes about the distance to where its unit would stand still. Starts that have not converged
by then continue unscaled, because slow points are minima of the unscaled q.
"""

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import NDArray

from dynatlas._util.arrays import in_chunks
from dynatlas.dynamics.jacobian_structure import column_structure, residual_and_columns
from dynatlas.dynamics.step import Step, next_state, residual, residual_and_jacobian

MAX_ITERATIONS = 100
SCALED_ITERATIONS = 50  # the first ones, with rows divided by their lengths

# As many lanes as have matrices that fit into a core's cache: with 64 lanes, networks of 64 units took longer.
MAX_LANES = 32
MATRIX_BYTES = 2 * 2**20  # of all lanes together
SHORTEST_ROW = 1e-12
FIRST_DAMPING = 1e-2

# Steps that reuse the factorisation, taken where the first step lowered the sum of squares below this share. Taken
# everywhere, they draw more starts to the same few roots: 23 of 27 roots were found, instead of 25.
FURTHER_STEPS = 2
NEAR = 0.05

# A start is at a local minimum of q when ‖∇q‖ ≤ STATIONARY·‖r‖: the residual is then orthogonal to the range of J − I,
# and no step reduces it to first order.
STATIONARY = 1e-7

# A start has stalled when q exceeds HOPELESS times the tolerance of slow points and fell by less than a third in 16
# iterations.
WATCH = 16
HOPELESS = 1e3

# F has a kink at a point if its slope changes by more than KINK_BEND within KINK_RADIUS.
KINK_RADIUS = 1e-7
KINK_BEND = 1e-3
FLOW_RUNS = 64  # runs per call of the compiled flow


class Outcome(IntEnum):
    """Outcome of the search from one start."""

    RUNNING = 0
    ROOT = 1
    MINIMUM = 2
    NOT_CONVERGED = 3
    NOT_FINITE = 4
    ESCAPED = 5
    STALLED = 6


class SearchResults(NamedTuple):
    """Final state and outcome of the search from each start."""

    states: Float[Array, "starts n"]
    outcomes: Int[Array, " starts"]


class _Lanes(NamedTuple):
    start: Int[Array, " lanes"]  # index of the start the lane works on; past the last one if idle
    state: Float[Array, "lanes n"]
    damping: Float[Array, " lanes"]
    iteration: Int[Array, " lanes"]
    watched: Float[Array, " lanes"]  # q at the last check for stalling


@eqx.filter_jit
def search_roots(
    step: Step,
    starts: Float[Array, "starts n"],
    count: Int[Array, ""],
    inputs: Float[Array, " m"] | None,
    tolerances: tuple[Float[Array, ""], Float[Array, ""]],
    region: tuple[Float[Array, " n"], Float[Array, " n"]],
) -> SearchResults:
    """Search from the first ``count`` of ``starts``; the others are padding, so that one compilation serves all.

    A search that leaves ``region`` ends there. Far outside, the gates of a cell are shut, q is small and flat, and the
    search would use up its iterations. ``tolerances`` are the largest q of a root and of a slow point.
    """
    n_starts, n = starts.shape
    structure = column_structure(step, starts[0], inputs)
    lanes = max(1, min(MAX_LANES, n_starts, MATRIX_BYTES // (8 * n * len(structure.coupled))))

    def outside(state: Float[Array, " n"]) -> Bool[Array, ""]:
        return jnp.any((state < region[0]) | (state > region[1]))

    def improve(
        state: Float[Array, " n"], damping: Float[Array, ""], iteration: Int[Array, ""]
    ) -> tuple[Float[Array, " n"], Float[Array, ""], Int[Array, ""], Float[Array, ""]]:
        """Take one step in one lane."""
        r, jacobian = residual_and_columns(step, state, inputs, structure)
        q = 0.5 * r @ r
        slope = jnp.linalg.norm(jacobian.gradient(r))
        lengths = jacobian.row_lengths()
        scale = jnp.where(iteration < SCALED_ITERATIONS, 1 / jnp.maximum(lengths, SHORTEST_ROW), 1)
        r, jacobian = r * scale, jacobian.scale_rows(scale)
        gradient = jacobian.gradient(r)
        norm = jnp.linalg.norm(r)
        inverse = jacobian.damped_inverse(damping * norm)
        descent = inverse(gradient)
        trial = state - descent
        trial_residual = residual(step, trial, inputs)
        fall = 0.5 * norm**2 - 0.5 * jnp.sum((scale * trial_residual) ** 2)
        better = fall > 0  # False for NaN
        predicted = 0.5 * descent @ (damping * norm * descent + gradient)
        trial, trial_residual = _further_steps(
            lambda h: residual(step, h, inputs),
            lambda r: inverse(jacobian.gradient(scale * r)),
            trial,
            scale,
            NEAR * norm**2,
        )
        outcome = jnp.select(
            [~jnp.isfinite(q), outside(state), q <= tolerances[0], slope <= STATIONARY * jnp.sqrt(2 * q)],
            [Outcome.NOT_FINITE, Outcome.ESCAPED, Outcome.ROOT, Outcome.MINIMUM],
            Outcome.RUNNING,
        )
        moves = better & (outcome == Outcome.RUNNING)
        # A trial that is a root ends the search without another iteration.
        converges = moves & (0.5 * trial_residual @ trial_residual <= tolerances[0]) & ~outside(trial)
        outcome = jnp.where(converges, Outcome.ROOT, outcome)
        factor = jnp.select([~better, fall < 0.25 * predicted, fall > 0.75 * predicted], [4.0, 2.0, 0.25], 1.0)
        return jnp.where(moves, trial, state), jnp.clip(damping * factor, 1e-12, 1e12), outcome, q

    def busy(carry: tuple[_Lanes, Int[Array, ""], SearchResults]) -> Bool[Array, ""]:
        return jnp.any(carry[0].start < count)

    def advance(
        carry: tuple[_Lanes, Int[Array, ""], SearchResults],
    ) -> tuple[_Lanes, Int[Array, ""], SearchResults]:
        lane, waiting, results = carry
        state, damping, outcome, q = jax.vmap(improve)(lane.state, lane.damping, lane.iteration)
        iteration = lane.iteration + 1
        watch_ends = iteration % WATCH == 0
        stalled = watch_ends & (q > HOPELESS * tolerances[1]) & (q > 2 / 3 * lane.watched)
        running = outcome == Outcome.RUNNING
        outcome = jnp.where(running & stalled, Outcome.STALLED, outcome)
        outcome = jnp.where(running & ~stalled & (iteration >= MAX_ITERATIONS), Outcome.NOT_CONVERGED, outcome)
        ended = outcome != Outcome.RUNNING
        # Idle and unfinished lanes write past the end, where "drop" discards it.
        slot = jnp.where(ended & (lane.start < count), lane.start, n_starts)
        results = SearchResults(
            results.states.at[slot].set(state, mode="drop"),
            results.outcomes.at[slot].set(outcome, mode="drop"),
        )
        following = jnp.minimum(waiting + jnp.cumsum(ended) - 1, n_starts)
        fresh = starts[jnp.minimum(following, n_starts - 1)]
        lane = _Lanes(
            jnp.where(ended, following, lane.start),
            jnp.where(ended[:, None], fresh, state),
            jnp.where(ended, FIRST_DAMPING, damping),
            jnp.where(ended, 0, iteration),
            jnp.where(ended, jnp.inf, jnp.where(watch_ends, q, lane.watched)),
        )
        return lane, jnp.minimum(waiting + jnp.sum(ended), n_starts), results

    first = _Lanes(
        jnp.arange(lanes),
        starts[:lanes],
        jnp.full(lanes, FIRST_DAMPING, starts.dtype),
        jnp.zeros(lanes, int),
        jnp.full(lanes, jnp.inf, starts.dtype),
    )
    empty = SearchResults(jnp.zeros_like(starts), jnp.zeros(n_starts, int))
    return jax.lax.while_loop(busy, advance, (first, jnp.asarray(lanes), empty))[2]


def _further_steps(
    residual_at: Callable[[Float[Array, " n"]], Float[Array, " n"]],
    descent: Callable[[Float[Array, " n"]], Float[Array, " n"]],
    state: Float[Array, " n"],
    scale: Float[Array, " n"],
    near: Float[Array, ""],
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Take further steps from a state if its scaled sum of squares is below ``near``; return the state and r there."""
    r = residual_at(state)
    squares = first = jnp.sum((scale * r) ** 2)
    for _ in range(FURTHER_STEPS):
        trial = state - descent(r)
        trial_residual = residual_at(trial)
        trial_squares = jnp.sum((scale * trial_residual) ** 2)
        better = (first < near) & (trial_squares < squares)
        state, r = jnp.where(better, trial, state), jnp.where(better, trial_residual, r)
        squares = jnp.where(better, trial_squares, squares)
    return state, r


def flow_ends(
    step: Step, states: NDArray[np.float64], inputs: Float[Array, " m"] | None, steps: int, rest: float = 0.0
) -> NDArray[np.float64]:
    """Return the states after ``steps`` steps, or earlier if one step moves no coordinate by more than ``rest``."""
    return in_chunks(
        lambda chunk: (follow_flow(step, chunk, inputs, jnp.asarray(steps), jnp.asarray(rest)),), states, FLOW_RUNS
    )[0]


@eqx.filter_jit
def follow_flow(
    step: Step,
    states: Float[Array, "runs n"],
    inputs: Float[Array, " m"] | None,
    steps: Int[Array, ""],
    rest: Float[Array, ""],
) -> Float[Array, "runs n"]:
    """Apply F ``steps`` times, or until one step moves no coordinate of any state by more than ``rest``."""

    def advance(state: Float[Array, " n"]) -> Float[Array, " n"]:
        return next_state(step, state, inputs)

    def moving(carry: tuple[Array, Array, Array]) -> Bool[Array, ""]:
        _, moves, taken = carry
        return moves & (taken < steps)

    def move(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        states, _, taken = carry
        following = jax.vmap(advance)(states)
        # False for NaN, so that a run that overflowed does not delay the others.
        return following, jnp.any(jnp.abs(following - states) > rest), taken + 1

    return jax.lax.while_loop(moving, move, (states, jnp.asarray(True), jnp.asarray(0)))[0]


@eqx.filter_jit
def jacobians(
    step: Step, states: Float[Array, "points n"], inputs: Float[Array, " m"] | None
) -> Float[Array, "points n n"]:
    """Return J at each state."""

    def jacobian(state: Float[Array, " n"]) -> Float[Array, "n n"]:
        return residual_and_jacobian(step, state, inputs)[1]

    return jax.vmap(jacobian)(states) + jnp.eye(states.shape[1], dtype=states.dtype)


# A state, r and J − I there, and ‖r‖².
Polished = tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, "n n"], Float[Array, ""]]


@eqx.filter_jit
def polish(
    step: Step, states: Float[Array, "points n"], inputs: Float[Array, " m"] | None
) -> tuple[Float[Array, "points n"], Float[Array, "points n"], Float[Array, "points n n"], Bool[Array, " points"]]:
    """Take five Newton steps from each state, keeping those that lower q.

    In a linear region of a relu network one step is the exact solution.

    Returns:
        The points; at each, r, J, and whether F has a kink.
    """

    def has_kink(state: Float[Array, " n"]) -> Bool[Array, ""]:
        # F(h + εd) − 2 F(h) + F(h − εd) is of order ε² where F is smooth, and of order ε across a kink.
        directions = KINK_RADIUS * np.random.default_rng(0).normal(size=(3, state.shape[0]))
        ahead, behind = (jax.vmap(lambda off: step(state + off, inputs))(sign * directions) for sign in (1, -1))
        bend = jnp.abs(ahead - 2 * next_state(step, state, inputs) + behind).max()
        return bend > KINK_BEND * KINK_RADIUS

    def one(
        state: Float[Array, " n"],
    ) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, "n n"], Bool[Array, ""]]:
        def newton(best: Polished, _: None) -> tuple[Polished, None]:
            state, r, jacobian, squares = best
            trial = state - jnp.linalg.solve(jacobian, r)
            r, jacobian = residual_and_jacobian(step, trial, inputs)
            following = (trial, r, jacobian, r @ r)
            better = (following[3] < squares) | jnp.isinf(squares)
            return jax.tree.map(partial(jnp.where, better), following, best), None

        # The first round takes no step and is always kept, so that the Jacobian is compiled once, not twice.
        n = state.shape[0]
        first = (state, jnp.zeros_like(state), jnp.eye(n, dtype=state.dtype), jnp.asarray(jnp.inf, state.dtype))
        (state, r, jacobian, _), _ = jax.lax.scan(newton, first, length=5)
        return state, r, jacobian + jnp.eye(n, dtype=state.dtype), has_kink(state)

    return jax.vmap(one)(states)

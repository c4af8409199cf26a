"""Levenberg–Marquardt on q(h) = ½‖F(h) − h‖² from many starts, as one compiled program.

The starts wait in a queue; a fixed number of *lanes* work on them, and a lane that has finished one start takes the
next. So the batch is always full of unfinished work, whatever the slowest start does, and one compilation serves
any number of starts.

Each iteration solves ((J − I)ᵀ(J − I) + μI) p = −(J − I)ᵀ r with r = F(h) − h, the exact Jacobian J, and damping
μ = λ‖r‖, where λ shrinks if the sum of squares fell by about as much as the linear model said, and grows if it fell by
much less or not at all. With μ proportional to ‖r‖ the method converges quadratically also towards roots that are not
isolated, such as a line attractor's (Yamashita & Fukushima 2001). Two further steps p = −(same matrix)⁻¹(J − I)ᵀ r from
where the first leads need no new factors (Fan 2012); each is taken if it lowers the sum of squares, close to the end.

At first each row of r and of J − I is divided by the length of that row of J − I. A gated unit contributes
(1 − gate)(candidate − h): where gates are near 1 the rows differ by orders of magnitude, and a search that takes them
as they are stalls. Divided by its row's length each contributes about the distance to where it would stand still. What
is no root by then goes on undivided, since it is of q itself that slow points are the minima.
"""

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import NDArray

from dynatlas._util.arrays import in_chunks
from dynatlas.dynamics.jacobian_structure import column_structure, residual_and_columns

Step = Callable[[Any, Any], Any]


MAX_ITERATIONS = 100


SCALED_ITERATIONS = 50  # with rows divided by their lengths


# As many lanes as their matrices fit into a core's cache, and no more: with 64 lanes networks of 64 units took longer.
MOST_LANES = 32


MATRIX_BYTES = 2 * 2**20


SHORTEST_ROW = 1e-12


FIRST_DAMPING = 1e-2


# Steps with the factors of the last, taken where that one lowered the sum of squares to less than this share. Taken
# everywhere they draw more starts to the same few roots: 23 of 27 were found where 25 were without.
FURTHER_STEPS = 2


NEAR = 0.05


# A start has come to rest at a local minimum of q when ‖∇q‖ ≤ STATIONARY·‖r‖: the residual then points out of the
# range of J − I, and no step reduces it to first order.
STATIONARY = 1e-7


# A start has stalled when q is far above any slow point's and fell by less than a third over a watch of 16 iterations.
WATCH = 16


HOPELESS = 1e3


# A kink counts as being at a point when it is this close, and when the slope changes by more than this there.
KINK_REACH = 1e-7


KINK_BEND = 1e-3


class Outcome(IntEnum):
    """How the search from one start ended."""

    RUNNING = 0
    ROOT = 1
    MINIMUM = 2
    NOT_CONVERGED = 3
    NOT_FINITE = 4
    ESCAPED = 5
    STALLED = 6


class Endings(NamedTuple):
    """Where the search from each start ended, and how."""

    states: Float[Array, "starts n"]
    outcomes: Int[Array, " starts"]


class _Lanes(NamedTuple):
    start: Int[Array, " lanes"]  # which start the lane works on; past the last one: idle
    state: Float[Array, "lanes n"]
    damping: Float[Array, " lanes"]
    iteration: Int[Array, " lanes"]
    watched: Float[Array, " lanes"]  # q at the beginning of the watch


def residual_and_jacobian(
    step: Step, state: Float[Array, " n"], inputs: Any
) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Residual r = F(h, x) − h and its exact Jacobian J − I."""
    identity = jnp.eye(state.shape[0], dtype=state.dtype)
    following, tangent = jax.linearize(lambda h: step(h, inputs), state)
    return following - state, jax.vmap(tangent, out_axes=1)(identity) - identity


@eqx.filter_jit
def search_roots(
    step: Step,
    starts: Float[Array, "starts n"],
    count: Int[Array, ""],
    inputs: Any,
    tolerances: tuple[Float[Array, ""], Float[Array, ""]],
    region: tuple[Float[Array, " n"], Float[Array, " n"]],
) -> Endings:
    """Search from the first ``count`` of ``starts``; the rest is padding, so that one compilation serves all.

    A search that leaves ``region`` is given up. Far outside, the gates of a cell are shut, q is small and flat, and a
    search that has strayed there would use up its iterations. ``tolerances`` are the largest q of a root and of a slow
    point.
    """
    n_starts, n = starts.shape
    structure = column_structure(step, starts[0], inputs)
    lanes = max(1, min(MOST_LANES, n_starts, MATRIX_BYTES // (8 * n * len(structure.coupled))))

    def outside(state: Float[Array, " n"]) -> Bool[Array, ""]:
        return jnp.any((state < region[0]) | (state > region[1]))

    def improve(
        state: Float[Array, " n"], damping: Float[Array, ""], iteration: Int[Array, ""]
    ) -> tuple[Float[Array, " n"], Float[Array, ""], Int[Array, ""], Float[Array, ""]]:
        """One iteration of one lane."""
        residual, jacobian = residual_and_columns(step, state, inputs, structure)
        q = 0.5 * residual @ residual
        slope = jnp.linalg.norm(jacobian.gradient(residual))
        lengths = jacobian.row_lengths()
        scale = jnp.where(iteration < SCALED_ITERATIONS, 1 / jnp.maximum(lengths, SHORTEST_ROW), 1)
        residual, jacobian = residual * scale, jacobian.scale_rows(scale)
        gradient = jacobian.gradient(residual)
        norm = jnp.linalg.norm(residual)
        inverse = jacobian.damped_inverse(damping * norm)
        descent = inverse(gradient)
        trial = state - descent
        trial_residual = step(trial, inputs) - trial
        fall = 0.5 * norm**2 - 0.5 * jnp.sum((scale * trial_residual) ** 2)
        better = fall > 0  # False for NaN
        promised = 0.5 * descent @ (damping * norm * descent + gradient)
        trial, trial_residual = _further(
            lambda h: step(h, inputs) - h, lambda r: inverse(jacobian.gradient(scale * r)), trial, scale, NEAR * norm**2
        )
        outcome = jnp.select(
            [~jnp.isfinite(q), outside(state), q <= tolerances[0], slope <= STATIONARY * jnp.sqrt(2 * q)],
            [Outcome.NOT_FINITE, Outcome.ESCAPED, Outcome.ROOT, Outcome.MINIMUM],
            Outcome.RUNNING,
        )
        moves = better & (outcome == Outcome.RUNNING)
        # Said at once, without a further iteration to find it out.
        arrives = moves & (0.5 * trial_residual @ trial_residual <= tolerances[0]) & ~outside(trial)
        outcome = jnp.where(arrives, Outcome.ROOT, outcome)
        factor = jnp.select([~better, fall < 0.25 * promised, fall > 0.75 * promised], [4.0, 2.0, 0.25], 1.0)
        return jnp.where(moves, trial, state), jnp.clip(damping * factor, 1e-12, 1e12), outcome, q

    def busy(carry: tuple[_Lanes, Int[Array, ""], Endings]) -> Bool[Array, ""]:
        return jnp.any(carry[0].start < count)

    def advance(
        carry: tuple[_Lanes, Int[Array, ""], Endings],
    ) -> tuple[_Lanes, Int[Array, ""], Endings]:
        lane, waiting, endings = carry
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
        endings = Endings(
            endings.states.at[slot].set(state, mode="drop"),
            endings.outcomes.at[slot].set(outcome, mode="drop"),
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
        return lane, jnp.minimum(waiting + jnp.sum(ended), n_starts), endings

    first = _Lanes(
        jnp.arange(lanes),
        starts[:lanes],
        jnp.full(lanes, FIRST_DAMPING, starts.dtype),
        jnp.zeros(lanes, int),
        jnp.full(lanes, jnp.inf, starts.dtype),
    )
    nothing = Endings(jnp.zeros_like(starts), jnp.zeros(n_starts, int))
    return jax.lax.while_loop(busy, advance, (first, jnp.asarray(lanes), nothing))[2]


def _further(
    residual_at: Callable[[Float[Array, " n"]], Float[Array, " n"]],
    descent: Callable[[Float[Array, " n"]], Float[Array, " n"]],
    state: Float[Array, " n"],
    scale: Float[Array, " n"],
    near: Float[Array, ""],
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """The last steps to a root, from where the scaled sum of squares is below ``near``: the state, and r there."""
    residual = residual_at(state)
    squares = first = jnp.sum((scale * residual) ** 2)
    for _ in range(FURTHER_STEPS):
        following = state - descent(residual)
        remaining = residual_at(following)
        left = jnp.sum((scale * remaining) ** 2)
        gains = (first < near) & (left < squares)
        state, residual = jnp.where(gains, following, state), jnp.where(gains, remaining, residual)
        squares = jnp.where(gains, left, squares)
    return state, residual


@eqx.filter_jit
def follow_flow(
    step: Step, states: Float[Array, "runs n"], inputs: Any, steps: Int[Array, ""], rest: Float[Array, ""]
) -> Float[Array, "runs n"]:
    """The states after so many steps of F, or as soon as no number of any moves by more than ``rest`` in one."""
    advance = jax.vmap(lambda state: step(state, inputs))

    def moving(carry: tuple[Array, Array, Array]) -> Bool[Array, ""]:
        _, moves, taken = carry
        return moves & (taken < steps)

    def move(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        states, _, taken = carry
        following = advance(states)
        # False for NaN, so that a run that has left all numbers holds up no other.
        return following, jnp.any(jnp.abs(following - states) > rest), taken + 1

    return jax.lax.while_loop(moving, move, (states, jnp.asarray(True), jnp.asarray(0)))[0]


@eqx.filter_jit
def jacobians(step: Step, states: Float[Array, "points n"], inputs: Any) -> Float[Array, "points n n"]:
    """J at each state."""
    identity = jnp.eye(states.shape[1], dtype=states.dtype)
    return jax.vmap(lambda state: residual_and_jacobian(step, state, inputs)[1])(states) + identity


@eqx.filter_jit
def polish(
    step: Step, states: Float[Array, "points n"], inputs: Any
) -> tuple[Float[Array, "points n"], Float[Array, "points n"], Float[Array, "points n n"], Bool[Array, " points"]]:
    """A few Newton steps, each kept only if it lowers q; then r, J and whether F has a kink at the points returned.

    In a linear region of a relu network one such step is the exact solution.
    """

    def bends(state: Float[Array, " n"]) -> Bool[Array, ""]:
        # F(h + εd) − 2 F(h) + F(h − εd) is of order ε² where F is smooth, and of order ε across a kink.
        directions = KINK_REACH * np.random.default_rng(0).normal(size=(3, state.shape[0]))
        ahead, behind = (jax.vmap(lambda off: step(state + off, inputs))(sign * directions) for sign in (1, -1))
        bend = jnp.abs(ahead - 2 * step(state, inputs) + behind).max()
        return bend > KINK_BEND * KINK_REACH

    def one(
        state: Float[Array, " n"],
    ) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, "n n"], Bool[Array, ""]]:
        def newton(best: tuple[Array, Array, Array, Array], _: None) -> tuple[Any, None]:
            state, residual, jacobian, q = best
            trial = state - jnp.linalg.solve(jacobian, residual)
            residual, jacobian = residual_and_jacobian(step, trial, inputs)
            following = (trial, residual, jacobian, residual @ residual)
            return jax.tree.map(partial(jnp.where, (following[3] < q) | jnp.isinf(q)), following, best), None

        # The first round takes no step and is kept whatever it gives: so one copy of the Jacobian is compiled, not two.
        n = state.shape[0]
        first = (state, jnp.zeros_like(state), jnp.eye(n, dtype=state.dtype), jnp.asarray(jnp.inf, state.dtype))
        (state, residual, jacobian, _), _ = jax.lax.scan(newton, first, length=5)
        return state, residual, jacobian + jnp.eye(n, dtype=state.dtype), bends(state)

    return jax.vmap(one)(states)


FOLLOWED = 64  # given starts from which the flow is followed, also states per call, and for how many steps


def after(
    step: Step, states: NDArray[np.float64], inputs: jax.Array | None, steps: int, rest: float = 0.0
) -> NDArray[np.float64]:
    """Where the flow leads in so many steps, or until nothing moves by more than ``rest`` in one."""
    return in_chunks(
        lambda chunk: (follow_flow(step, chunk, inputs, jnp.asarray(steps), jnp.asarray(rest)),), states, FOLLOWED
    )[0]

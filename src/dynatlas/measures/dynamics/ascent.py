"""Ascent of ⟨A, C B Cᵀ⟩ over orthogonal C, for many A, B and starts at once.

Conjugate gradients on the orthogonal group. A step turns D = C B Cᵀ into R D Rᵀ, where R is Cayley's transform of t X,
with X skew-symmetric. The slope of ⟨A, R D Rᵀ⟩ in t is ⟨G, X⟩ with G the skew part of AᵀD − D Aᵀ, and its second
derivative −⟨[X, A], [X, D]⟩. The gradient is divided by the second derivatives in the planes of all pairs of axes.

Small matrices are multiplied faster than they are solved for: R = (I + Y + t X)(I − Y)⁻¹ with Y = t² X²/4, and
(I − Y)⁻¹ ≈ (I + Y)(I + Y²)(I + Y⁴), whose error is Y⁸. Steps keep ‖Y‖ ≤ 1/4.
"""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

REFRESH: Final = 6  # steps between two computations of the second derivatives, which cost as much as a third of a step
FLOOR: Final = 0.1  # of their mean, the least second derivative to divide by
MEMORY: Final = 4  # most of the last direction that a direction keeps; at a maximum, the quotient is of rounding
LEAST: Final = 1e-4  # second derivative to divide by
NUMBERS: Final = 2**15  # in the matrices that climb together: more do not stay in the cache

Matrices = Float[np.ndarray, "climbs n n"]
Numbers = Float[np.ndarray, " climbs"]


class _State(NamedTuple):
    """Climbs under way.

    Attributes:
        targets: A.
        transposed: Aᵀ, stored in rows, as products of transposed views are slow.
        rotations: C.
        turned: D.
        values: ⟨A, D⟩.
        gradients: 2 G.
        directions: X.
        squares: ⟨2 G, preconditioned⟩.
        damping: factor of the steps, below 1 after steps that did not rise.
    """

    targets: Matrices
    transposed: Matrices
    rotations: Matrices
    turned: Matrices
    values: Numbers
    gradients: Matrices
    directions: Matrices
    squares: Numbers
    damping: Numbers


def ascend(
    targets: Matrices, sources: Matrices, rotations: Matrices, most_steps: int, gain: float
) -> tuple[Matrices, Numbers]:
    """Return orthogonal C near a maximum of ⟨A, C B Cᵀ⟩ from those given, and these products.

    No climb depends on the others. They are computed in the precision of the matrices. After long steps C is orthogonal
    to 1e-5 only: ``orthogonalised`` mends that.

    Args:
        targets: A, of norm 1.
        sources: B, of norm 1.
        rotations: C to start from.
        most_steps: number of steps.
        gain: of a step, in shares of 1 − ⟨A, C B Cᵀ⟩, below which a climb ends.
    """
    ends, values = np.empty_like(rotations), np.empty(len(rotations), rotations.dtype)
    size = max(1, NUMBERS // targets.shape[-1] ** 2)
    for start in range(0, len(rotations), size):
        some = slice(start, start + size)
        ends[some], values[some] = _climb(targets[some], sources[some], rotations[some], most_steps, gain)
    return ends, values


def orthogonalised(rotations: Matrices) -> Matrices:
    """Return the orthogonal matrices next to matrices that are orthogonal but for rounding (Newton and Schulz)."""
    for _ in range(2):
        rotations = 1.5 * rotations - 0.5 * rotations @ (rotations.swapaxes(1, 2) @ rotations)
    return rotations


def _climb(
    targets: Matrices, sources: Matrices, rotations: Matrices, most_steps: int, gain: float
) -> tuple[Matrices, Numbers]:
    ends, values = np.empty_like(rotations), np.empty(len(rotations), rotations.dtype)
    places = np.arange(len(rotations))
    state, scales = _begin(targets, sources, rotations)
    has_arrived = np.zeros(len(rotations), bool)
    for step in range(1, most_steps + 1):
        before = state.values
        state, has_risen = _step(state, scales)
        has_arrived |= has_risen & (state.values - before <= gain * (1 - state.values) + np.finfo(before.dtype).eps)
        if step % REFRESH == 0:
            ends[places], values[places] = state.rotations, state.values
            places = places[~has_arrived]
            if not len(places):
                return ends, values
            state, has_risen = _State(*(field[~has_arrived] for field in state)), has_risen[~has_arrived]
            has_arrived = has_arrived[~has_arrived]
            scales = _scales(state.targets, state.transposed, state.turned)
        state = _redirected(state, scales, has_risen)
    ends[places], values[places] = state.rotations, state.values
    return ends, values


def _begin(targets: Matrices, sources: Matrices, rotations: Matrices) -> tuple[_State, Matrices]:
    transposed = np.ascontiguousarray(targets.swapaxes(1, 2))
    turned = rotations @ sources @ rotations.swapaxes(1, 2)
    gradients, scales = _gradients(transposed, turned), _scales(targets, transposed, turned)
    directions = scales * gradients
    squares = inner(gradients, directions)
    values, damping = inner(targets, turned), np.ones_like(squares)
    return _State(targets, transposed, rotations, turned, values, gradients, directions, squares, damping), scales


def _step(state: _State, scales: Matrices) -> tuple[_State, Bool[np.ndarray, " climbs"]]:
    """Turn every D along its direction, and return which did not fall; the others stay, to step less far."""
    directions = state.directions
    slopes = inner(state.gradients, directions) / 2
    descends = slopes <= 0
    if descends.any():
        directions = np.where(descends[:, None, None], scales * state.gradients, directions)
        slopes = inner(state.gradients, directions) / 2
    squares = directions @ directions
    steps = _lengths(state, directions, squares, slopes)
    rotate, back = _cayley(directions * steps, squares * (steps * steps / 4))
    turned = rotate @ state.turned @ back
    values = inner(state.targets, turned)
    has_risen = values >= state.values - np.finfo(values.dtype).eps
    rotations = rotate @ state.rotations
    if not has_risen.all():
        stays = ~has_risen[:, None, None]
        turned, rotations = np.where(stays, state.turned, turned), np.where(stays, state.rotations, rotations)
        values = np.where(has_risen, values, state.values)
    damping = np.where(has_risen, 1, state.damping / 4).astype(values.dtype)
    return (
        state._replace(rotations=rotations, turned=turned, values=values, directions=directions, damping=damping),
        has_risen,
    )


def _lengths(
    state: _State, directions: Matrices, squares: Matrices, slopes: Numbers
) -> Float[np.ndarray, "climbs 1 1"]:
    """Return the steps of Newton's method along the directions, at most those with ‖Y‖ = 1/4."""
    moved = directions @ state.turned
    moved -= state.turned @ directions
    against = directions @ state.targets
    against -= state.targets @ directions
    bends = inner(against, moved)
    longest = 1 / np.sqrt(np.sqrt(inner(squares, squares)) + np.sqrt(np.finfo(slopes.dtype).tiny))
    is_within = (bends > 0) & (slopes < bends * longest)
    steps = np.divide(slopes, bends, out=longest, where=is_within) * state.damping
    return np.asarray(steps[:, None, None])


def _cayley(generators: Matrices, quarters: Matrices) -> tuple[Matrices, Matrices]:
    """Return R and Rᵀ of t X and Y."""
    inverse, power = quarters.copy(), quarters
    diagonal = np.einsum("bii->bi", inverse)
    diagonal += 1
    for _ in range(2):
        power = power @ power
        inverse += inverse @ power
    odd = generators @ inverse
    inverse *= 2
    diagonal -= 1
    return inverse + odd, np.subtract(inverse, odd, out=inverse)


def _redirected(state: _State, scales: Matrices, has_risen: Bool[np.ndarray, " climbs"]) -> _State:
    """Compute the gradients, and the directions by Polak and Ribière's formula."""
    gradients = _gradients(state.transposed, state.turned)
    steepest = scales * gradients
    squares = inner(gradients, steepest)
    change = squares - inner(state.gradients, steepest)
    memory = np.clip(change / np.maximum(state.squares, np.finfo(squares.dtype).tiny), 0, MEMORY) * has_risen
    steepest += memory[:, None, None].astype(squares.dtype) * state.directions
    return state._replace(gradients=gradients, directions=steepest, squares=squares)


def _gradients(transposed: Matrices, turned: Matrices) -> Matrices:
    products = transposed @ turned
    products -= turned @ transposed
    return np.asarray(products - products.swapaxes(1, 2))


def _scales(targets: Matrices, transposed: Matrices, turned: Matrices) -> Matrices:
    """Return 1 / |second derivative of ⟨A, R D Rᵀ⟩| in the planes of axes i and j.

    It is 2 (Aᵢᵢ Dⱼⱼ + Aⱼⱼ Dᵢᵢ − Aᵢⱼ Dⱼᵢ − Aⱼᵢ Dᵢⱼ) − pᵢ − pⱼ, with p the diagonal of A Dᵀ + Aᵀ D.
    """
    both = targets * turned
    sums = both.sum(axis=2) + both.sum(axis=1)
    crossed = np.einsum("bii->bi", targets)[:, :, None] * np.einsum("bii->bi", turned)[:, None]
    crossed -= transposed * turned
    bends = crossed + crossed.swapaxes(1, 2)
    bends *= 2
    bends -= sums[:, :, None]
    bends -= sums[:, None]
    np.abs(bends, out=bends)
    least = np.maximum(FLOOR * bends.mean(axis=(1, 2), keepdims=True), LEAST)
    return np.asarray(1 / np.maximum(bends, least))


def inner(first: Matrices, second: Matrices) -> Numbers:
    """Return ⟨A, B⟩ of each pair of matrices."""
    return np.asarray(np.vecdot(first.reshape(len(first), -1), second.reshape(len(second), -1)))

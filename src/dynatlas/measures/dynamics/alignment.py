"""Alignment of two linear maps by a rotation or reflection: Procrustes analysis over vector fields.

Every start climbs ⟨A, C B Cᵀ⟩ by conjugate gradients on the orthogonal group, with D = C B Cᵀ in place of C: the
gradient with respect to a rotation of D is the skew part of A Dᵀ + Aᵀ D. All starts climb at once; after ``SPRINT``
steps only the best go on.
"""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dynatlas.measures.pairs import Array

SPRINT: Final = 50  # steps of all starts
FINALISTS: Final = 6  # starts that climb to the top
MOST_STEPS: Final = 400
GAIN: Final = 1e-12  # of a step, below which a start has arrived


class Shape(NamedTuple):
    """What the alignment of a map needs, computed once.

    Attributes:
        matrix: the map, of Frobenius norm 1.
        axes: eigenvectors of its symmetric part.
        levels: eigenvalues of its symmetric part, and singular values of its skew part and of the map, sorted.
    """

    matrix: Float[np.ndarray, "n n"]
    axes: Float[np.ndarray, "n n"]
    levels: Float[np.ndarray, "3 n"]


def shape_of(matrix: Float[np.ndarray, "n n"]) -> Shape:
    """Scale a map and decompose its parts.

    Raises:
        ValueError: the map is 0.
    """
    size = np.linalg.norm(matrix)
    if size == 0:
        raise ValueError("the map that steps the activity ahead is 0, which has no direction")
    scaled = matrix / size
    values, axes = np.linalg.eigh((scaled + scaled.T) / 2)
    singular = [np.sort(np.linalg.svd(part, compute_uv=False)) for part in ((scaled - scaled.T) / 2, scaled)]
    return Shape(scaled, axes, np.stack([values, *singular]))


def aligned_chord(first: Shape, second: Shape, starts: int) -> float:
    """Return the least ‖A − C B Cᵀ‖_F over orthogonal C that ``starts`` ascents find."""
    # In an order of their own, so that the distance is symmetric to the last digit.
    if first.matrix.tobytes() > second.matrix.tobytes():
        first, second = second, first
    turned = _starts(first, second, starts)
    turned, values = _climb(first.matrix, turned, SPRINT)
    best = np.argsort(-values, kind="stable")[:FINALISTS]
    turned, values = _climb(first.matrix, turned[best], MOST_STEPS)
    return float(np.linalg.norm(first.matrix - turned[np.argmax(values)]))


def chord_bound(first: Shape, second: Shape) -> float:
    """Return a number that ‖A − C B Cᵀ‖_F exceeds for every orthogonal C.

    The squared norm is the sum of those of the symmetric and of the skew part, neither of which is less than the
    squared difference of their sorted eigenvalues (Hoffman & Wielandt 1953); and it is at least the squared difference
    of the sorted singular values (Mirsky 1960).
    """
    symmetric, skew, singular = ((first.levels - second.levels) ** 2).sum(axis=1)
    return float(np.sqrt(max(symmetric + skew, singular)))


def _starts(first: Shape, second: Shape, count: int) -> Float[np.ndarray, "starts n n"]:
    """Return C B Cᵀ: as given; with the axes of the symmetric parts matched, in order or nearly so; and at random."""
    n = len(first.axes)
    random = np.random.default_rng(0)
    rotations = [np.eye(n)]
    for number in range(1, count):
        if number % 4 == 0:
            rotations.append(np.linalg.qr(random.normal(size=(n, n)))[0])
            continue
        signs = random.choice([-1.0, 1.0], n)
        spread = 0.15 * n if number % 4 == 1 else 0.0
        order = np.argsort(np.arange(n) + spread * random.normal(size=n), kind="stable")
        if number % 4 > 1:
            signs = _best_signs(first, second, signs)
        rotations.append((first.axes * signs) @ second.axes[:, order].T)
    turned = np.stack(rotations)
    return np.asarray(turned @ second.matrix @ turned.swapaxes(1, 2))


def _best_signs(first: Shape, second: Shape, signs: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Flip signs of matched axes while that aligns the skew parts better."""
    within = [one.axes.T @ ((one.matrix - one.matrix.T) / 2) @ one.axes for one in (first, second)]
    products = within[0] * within[1]
    while True:
        gains = -signs * (products @ signs)
        best = int(np.argmax(gains))
        if gains[best] <= 1e-14:
            return signs
        signs[best] *= -1


def _climb(
    target: Float[np.ndarray, "n n"], turned: Float[np.ndarray, "starts n n"], most_steps: int
) -> tuple[Float[np.ndarray, "starts n n"], Float[np.ndarray, " starts"]]:
    """Rotate each D to raise ⟨A, D⟩, and return them with these products."""
    values = _products(target, turned)
    gradient = _gradient(target, turned)
    direction = gradient
    for _ in range(most_steps):
        slope, curvature = _along(target, turned, direction)
        falls = slope <= 0
        if falls.any():
            direction = np.where(falls[:, None, None], gradient, direction)
            slope, curvature = _along(target, turned, direction)
        # Newton's step along the direction, of at most one radian.
        longest = 1 / np.maximum(np.sqrt(_products(direction, direction)), 1e-12)
        is_within = (curvature < 0) & (slope < -curvature * longest)
        step = np.divide(slope, -curvature, out=longest, where=is_within)
        turned, raised = _searched(target, turned, values, direction, step, slope)
        after = _gradient(target, turned)
        squared = np.maximum(_products(gradient, gradient), 1e-300)
        # Polak and Ribière, restarted where they turn back.
        memory = np.maximum(_products(after, after - gradient) / squared, 0)
        direction, gradient = after + memory[:, None, None] * direction, after
        has_arrived = raised - values < GAIN
        values = raised
        if has_arrived.all():
            break
    return turned, values


def _searched(
    target: Float[np.ndarray, "n n"],
    turned: Float[np.ndarray, "starts n n"],
    values: Float[np.ndarray, " starts"],
    direction: Float[np.ndarray, "starts n n"],
    step: Float[np.ndarray, " starts"],
    slope: Float[np.ndarray, " starts"],
) -> tuple[Float[np.ndarray, "starts n n"], Float[np.ndarray, " starts"]]:
    """Rotate by Cayley's transform of a step that is shortened until it raises the product (Armijo's rule)."""
    identity = np.eye(len(target))
    turned, raised, step = turned.copy(), values.copy(), step.copy()
    open_: Bool[np.ndarray, " starts"] = np.ones(len(values), bool)
    for _ in range(20):
        half = step[open_, None, None] / 2 * direction[open_]
        rotation = np.linalg.solve(identity - half, identity + half)
        tried = rotation @ turned[open_] @ rotation.swapaxes(1, 2)
        product = _products(target, tried)
        is_enough = product >= values[open_] + 1e-4 * step[open_] * slope[open_]
        places = np.flatnonzero(open_)[is_enough]
        turned[places], raised[places] = tried[is_enough], product[is_enough]
        open_[places] = False
        if not open_.any():
            break
        step[open_] /= 4
    return turned, raised


def _along(
    target: Float[np.ndarray, "n n"],
    turned: Float[np.ndarray, "starts n n"],
    direction: Float[np.ndarray, "starts n n"],
) -> tuple[Float[np.ndarray, " starts"], Float[np.ndarray, " starts"]]:
    """Return the first and second derivative of ⟨A, e^{tX} D e^{−tX}⟩ at t = 0."""
    once = direction @ turned - turned @ direction
    return _products(target, once), _products(target, direction @ once - once @ direction)


def _gradient(target: Float[np.ndarray, "n n"], turned: Float[np.ndarray, "starts n n"]) -> Array:
    both = target @ turned.swapaxes(1, 2) + target.T @ turned
    return np.asarray((both - both.swapaxes(1, 2)) / 2)


def _products(first: Array, second: Array) -> Float[np.ndarray, " starts"]:
    return np.asarray((first * second).sum(axis=(-2, -1)))

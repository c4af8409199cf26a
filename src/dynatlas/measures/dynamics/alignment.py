"""Alignment of two linear maps by a rotation or reflection: Procrustes analysis over vector fields.

⟨A, C B Cᵀ⟩ has many maxima over orthogonal C. Ascents from several starts climb in single precision for a number of
steps that grows with the dimension, as it takes them longer to show which maximum is good; the best go on. Small
rotations of a maximum climb back to it, but reflections of it lead to other ones, often better: so the best is
reflected along axes, twice, and the best of all arrives in double precision.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Complex, Float

from dynatlas.measures.dynamics.ascent import ascend, orthogonalised

MIXTURES: Final = (0.4, 1.2)  # θ of the Hermitian matrices cos θ · (symmetric part) + i sin θ · (skew part)
START_NUMBERS: Final = 2**14  # in the rotations of all starts
STAGES: Final = (2, 2)  # steps per dimension: of all starts, and of the best quarter
REFLECTIONS: Final = 8  # of the best, in each round
ROUNDS: Final = 2
STEPS_OF_REFLECTIONS: Final = 1.5  # per dimension
MOST_STEPS: Final = 1000
GAIN: Final = 1e-9  # of a step, in shares of what is left, below which an ascent has arrived
PHASE_STEPS: Final = 20  # that match the phases of a start
TOGETHER: Final = 32  # pairs that climb together


class Shape(NamedTuple):
    """What the alignment of a map needs, computed once.

    Attributes:
        matrix: the map, of Frobenius norm 1.
        axes: eigenvectors of its symmetric part.
        mixed: eigenvectors of the mixtures of both parts, in these axes; real and imaginary parts.
        levels: eigenvalues of its symmetric part, and singular values of its skew part and of the map, sorted.
    """

    matrix: Float[np.ndarray, "n n"]
    axes: Float[np.ndarray, "n n"]
    mixed: Float[np.ndarray, "mixtures 2 n n"]
    levels: Float[np.ndarray, "3 n"]

    def in_axes(self) -> Float[np.ndarray, "n n"]:
        """Return the map in the axes of its symmetric part."""
        return np.asarray(self.axes.T @ self.matrix @ self.axes)


def shape_of(matrix: Float[np.ndarray, "n n"]) -> Shape:
    """Scale a map and decompose its parts.

    Raises:
        ValueError: the map is 0.
    """
    size = np.linalg.norm(matrix)
    if size == 0:
        raise ValueError("the map that steps the activity ahead is 0, which has no direction")
    scaled = matrix / size
    symmetric, skew = (scaled + scaled.T) / 2, (scaled - scaled.T) / 2
    values, axes = np.linalg.eigh(symmetric)
    skew_in_axes = axes.T @ skew @ axes
    angles = np.array(MIXTURES)[:, None, None]
    mixed = np.linalg.eigh(np.cos(angles) * np.diag(values) + 1j * np.sin(angles) * skew_in_axes)[1]
    singular = [np.sort(np.linalg.svd(part, compute_uv=False)) for part in (skew, scaled)]
    return Shape(scaled, axes, np.stack([mixed.real, mixed.imag], axis=1), np.stack([values, *singular]))


def default_starts(n: int) -> int:
    """Return how many starts align maps of n dimensions: fewer in more, where maxima are many and about as high."""
    return min(max(START_NUMBERS // n**2, 8), 48)


def aligned_chords(pairs: Sequence[tuple[Shape, Shape]], starts: int | None = None) -> Float[np.ndarray, " pairs"]:
    """Return the least ‖A − C B Cᵀ‖_F over orthogonal C that ascents find, of pairs of one dimension.

    No pair depends on the others, or on its order.
    """
    ordered = [pair if pair[0].matrix.tobytes() <= pair[1].matrix.tobytes() else pair[::-1] for pair in pairs]
    chords = [_chords(ordered[at : at + TOGETHER], starts) for at in range(0, len(ordered), TOGETHER)]
    return np.concatenate([np.zeros(0), *chords])


def aligned_chord(first: Shape, second: Shape, starts: int | None = None) -> float:
    """Return the least ‖A − C B Cᵀ‖_F over orthogonal C that ascents find."""
    return float(aligned_chords([(first, second)], starts)[0])


def chord_bound(first: Shape, second: Shape) -> float:
    """Return a number that ‖A − C B Cᵀ‖_F exceeds for every orthogonal C.

    The squared norm is the sum of those of the symmetric and of the skew part, neither of which is less than the
    squared difference of their sorted eigenvalues (Hoffman & Wielandt 1953); and it is at least the squared difference
    of the sorted singular values (Mirsky 1960).
    """
    symmetric, skew, singular = ((first.levels - second.levels) ** 2).sum(axis=1)
    return float(np.sqrt(max(symmetric + skew, singular)))


def _chords(pairs: Sequence[tuple[Shape, Shape]], starts: int | None) -> Float[np.ndarray, " pairs"]:
    n = len(pairs[0][0].matrix)
    count = default_starts(n) if starts is None else starts
    targets, sources = (np.stack([pair[side].in_axes() for pair in pairs]) for side in (0, 1))
    rotations = np.stack([_starts(*pair, count) for pair in pairs]).astype(np.float32)
    for number, steps in zip((count, max(2, count // 4)), STAGES, strict=True):
        rotations = _climbed(targets, sources, rotations[:, :number], steps * n)
    for number in range(ROUNDS):
        best = rotations[:, :1]
        reflected = _reflections(n, number).astype(np.float32) @ best
        rotations = _climbed(targets, sources, np.hstack([best, reflected]), int(STEPS_OF_REFLECTIONS * n))
    arrived = orthogonalised(rotations[:, 0].astype(np.float64))
    arrived = orthogonalised(ascend(targets, sources, arrived, MOST_STEPS, GAIN)[0])
    return np.asarray(np.linalg.norm(targets - arrived @ sources @ arrived.swapaxes(1, 2), axis=(1, 2)))


@lru_cache(maxsize=16)
def _reflections(n: int, number: int) -> Float[np.ndarray, "reflections n n"]:
    """Return reflections along a few axes, chosen at random."""
    axes = np.random.default_rng(number).permutation(n)[:REFLECTIONS]
    signs = np.ones((len(axes), n))
    signs[np.arange(len(axes)), axes] = -1
    return signs[:, :, None] * np.eye(n)


def _climbed(
    targets: Float[np.ndarray, "pairs n n"],
    sources: Float[np.ndarray, "pairs n n"],
    rotations: Float[np.ndarray, "pairs starts n n"],
    steps: int,
) -> Float[np.ndarray, "pairs starts n n"]:
    """Climb for a number of steps in single precision, and sort the starts of each pair, the best first."""
    pairs, starts = rotations.shape[:2]
    given = [np.repeat(side.astype(np.float32), starts, axis=0) for side in (targets, sources)]
    climbed, values = ascend(given[0], given[1], rotations.reshape(-1, *rotations.shape[2:]), steps, 0.0)
    order = np.argsort(-values.reshape(pairs, starts), axis=1, kind="stable")
    return np.take_along_axis(climbed.reshape(rotations.shape), order[:, :, None, None], axis=1)


def _starts(first: Shape, second: Shape, count: int) -> Float[np.ndarray, "starts n n"]:
    """Return C in the axes of both maps: as given; at random; and with the axes of the parts matched in order.

    Axes of the symmetric parts have signs, which align the skew parts; those of mixtures have phases, which make C
    real.
    """
    n = len(first.axes)
    random = _random_rotations(n, -(-count // 4))
    signs = _best_signs(first, second, -(-count // 4))
    matched = [_matched(first, second, mixture, -(-count // 4)) for mixture in range(len(MIXTURES))]
    found = np.stack([signs[:, :, None] * np.eye(n), matched[1], matched[0], random], axis=1)
    found = found.reshape(-1, n, n)[:count]
    found[-1] = first.axes.T @ second.axes
    return found


@lru_cache(maxsize=16)
def _random_rotations(n: int, count: int) -> Float[np.ndarray, "starts n n"]:
    return np.linalg.qr(np.random.default_rng(0).normal(size=(count, n, n)))[0]


def _best_signs(first: Shape, second: Shape, count: int) -> Float[np.ndarray, "starts n"]:
    """Flip random signs of matched axes, each time the one that aligns the skew parts best, while one does."""
    within = [one.in_axes() - one.in_axes().T for one in (first, second)]
    products = within[0] * within[1] / 4
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (count, len(products)))
    rows = np.arange(count)
    while True:
        gains = -signs * np.einsum("ij,sj->si", products, signs)
        best = gains.argmax(axis=1)
        rises = gains[rows, best] > 1e-14
        if not rises.any():
            return np.asarray(signs)
        signs[rows[rises], best[rises]] *= -1


def _matched(first: Shape, second: Shape, mixture: int, count: int) -> Float[np.ndarray, "starts n n"]:
    """Match the eigenvectors V and W of mixtures in order, with phases p that make V diag(p) Wᴴ nearly real.

    They raise ‖Re V diag(p) Wᴴ‖, whose square is (n + Re pᵀ M p) / 2 with M = (VᵀV) ∘ conj(WᵀW).
    """
    vectors = [one.mixed[mixture, 0] + 1j * one.mixed[mixture, 1] for one in (first, second)]
    weights = (vectors[0].T @ vectors[0]) * (vectors[1].T @ vectors[1]).conj()
    phases: Complex[np.ndarray, "starts n"] = np.exp(
        2j * np.pi * np.random.default_rng(mixture).random((count, len(weights)))
    )
    for _ in range(PHASE_STEPS):
        phases = np.einsum("ij,sj->si", weights, phases).conj()
        phases /= np.maximum(abs(phases), 1e-300)
    joined = ((vectors[0] * phases[:, None]) @ vectors[1].conj().T).real
    rotations, triangles = np.linalg.qr(joined)
    return np.asarray(rotations * np.where(np.einsum("sii->si", triangles) < 0, -1.0, 1.0)[:, None])

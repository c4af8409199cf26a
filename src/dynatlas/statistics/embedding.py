"""Metric multidimensional scaling of distances, and the projection of new points onto a map."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from dynatlas.statistics.distance_matrix import DistanceMatrix, Distances

# SMACOF stops when an iteration lowers Σ(d − δ)²/Σδ² by less than this.
STRESS_TOLERANCE = 2e-9
# At most this many iterations and pairs in total: 20,000 iterations for few networks, which can converge slowly, and
# 555 for 3,000 networks.
MOST_STEPS, MOST_PAIRS = 20_000, 5e9
# Nearest networks from which ``spot`` starts, and its most iterations.
STARTS, STEPS = 64, 500


class Embedding(NamedTuple):
    """Coordinates [n, dims] of a map, and its stress."""

    coordinates: NDArray[np.float64]
    stress: float


def mds(distances: Distances, dims: int = 2, seed: int = 0) -> Embedding:
    """Find points xᵢ that minimise Σ_{i<j} (‖xᵢ − xⱼ‖ − δᵢⱼ)² by metric multidimensional scaling.

    SMACOF starts from Torgerson's classical solution, which is returned if SMACOF does not improve it. The minimum is
    local; with ``dims=1`` it is often poor.

    Args:
        distances: δ, [n, n] and symmetric with a diagonal of 0; an array or a labelled one. n may be 0 or 1.
        dims: dimensions of the map.
        seed: seed of the small displacement with which SMACOF leaves a degenerate start.

    Returns:
        (coordinates [n, dims], stress). The coordinates are centred, lie along the principal axes of the
        configuration, widest first, and are mirrored so that the entry of largest magnitude on each axis is positive.
        The stress is Kruskal's stress-1, √(Σ(d − δ)² / Σδ²), normalised by the distances δ: 0 is a perfect fit, and 0.2
        or more a poor one.

    Raises:
        ValueError: distances that are not square, symmetric, finite, and at least 0; a diagonal other than 0;
            ``dims`` below 1.

    Example:
        >>> import numpy as np
        >>> coordinates, stress = mds([[0, 3, 4], [3, 0, 5], [4, 5, 0]])
        >>> round(stress, 6)
        0.0
        >>> round(float(np.linalg.norm(coordinates[1] - coordinates[2])), 6)
        5.0

    Source: Torgerson 1952; Kruskal 1964; de Leeuw 1977 (SMACOF). scikit-learn's SMACOF takes three times as long, and
    its ``ClassicalMDS`` returns NaN for distances that are not Euclidean; here negative eigenvalues are clipped at 0.
    """
    matrix = DistanceMatrix.of(distances).values
    if dims < 1:
        raise ValueError(f"dims is {dims}; expected at least 1")
    if not matrix.any():
        return Embedding(np.zeros((len(matrix), dims)), 0.0)
    # Scaled to a maximum of 1, so that neither the squares nor the displacement depend on the units of the measure.
    scale = float(matrix.max())
    matrix = matrix / scale
    start = _upright(_classical(matrix, dims))
    # SMACOF cannot separate coincident points, and never leaves the line or plane in which it starts.
    displaced = start + 1e-3 * np.random.default_rng(seed).normal(size=start.shape)
    refined = _smacof(matrix, displaced)
    stress, _, coordinates = min(
        (_stress(candidate, matrix), order, candidate) for order, candidate in enumerate((start, _upright(refined)))
    )
    return Embedding(coordinates * scale, stress)


def negative_share(distances: Distances) -> float:
    """Compute the share of the negative eigenvalues of −½ C δ² C in Σ|λ|: the deviation from Euclidean distances.

    No map can show this share, in any number of dimensions. It is 0 for distances between points in a Euclidean space.

    Raises:
        ValueError: as in ``mds``.

    Example:
        >>> negative_share([[0, 3, 4], [3, 0, 5], [4, 5, 0]])
        0.0
        >>> round(negative_share([[0, 1, 9], [1, 0, 1], [9, 1, 0]]), 2)  # 9 > 1 + 1
        0.24
    """
    from scipy.linalg import eigvalsh

    matrix = DistanceMatrix.of(distances).values
    if not matrix.any():
        return 0.0
    eigenvalues = eigvalsh(_products(matrix / matrix.max()))
    magnitudes = np.abs(eigenvalues)
    # Rounding alone leaves eigenvalues of this size on either side of 0.
    negative = magnitudes[eigenvalues < -1e-12 * len(matrix) * magnitudes.max()]
    return float(negative.sum() / magnitudes.sum())


def _classical(matrix: Float[np.ndarray, "n n"], dims: int) -> Float[np.ndarray, "n dims"]:
    """Return Torgerson's solution: the leading eigenvectors of −½ C δ² C, with the centring matrix C."""
    from scipy.linalg import eigh

    kept = min(dims, len(matrix))
    eigenvalues, vectors = eigh(_products(matrix), subset_by_index=[len(matrix) - kept, len(matrix) - 1])
    coordinates = np.zeros((len(matrix), dims))
    coordinates[:, :kept] = (vectors * np.sqrt(np.maximum(eigenvalues, 0)))[:, ::-1]
    return coordinates


def _smacof(matrix: Float[np.ndarray, "n n"], start: Float[np.ndarray, "n dims"]) -> Float[np.ndarray, "n dims"]:
    """Majorise the stress until it converges, by the Guttman transform G(X) = B(X) X / n.

    Each step replaces X, at its optimal scale, by 2 G(X) − X, which takes half as many steps as G(X). G does not depend
    on the scale of X, so that without the optimal scale the iteration could oscillate forever.

    Source: de Leeuw & Heiser 1980.
    """
    points, n = start, len(start)
    given = float((matrix**2).sum())
    before = np.inf
    for _ in range(min(MOST_STEPS, int(MOST_PAIRS / n**2))):
        distances = cdist(points, points)
        overlap, own = float(np.vdot(distances, matrix)), float(np.vdot(distances, distances))
        stress = 1 - overlap**2 / (own * given)  # at the optimal scale of the points
        if before - stress < STRESS_TOLERANCE:
            break
        before = stress
        ratios = np.divide(matrix, distances, out=distances, where=distances > 0)
        transformed = (ratios.sum(axis=1)[:, None] * points - ratios @ points) / n
        points = 2 * transformed - overlap / own * points
    return points * (overlap / own)


def _products(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Return −½ C δ² C: the scalar products of centred points with these distances, if such points exist."""
    squares = matrix**2
    means = squares.mean(axis=0)
    products: NDArray[np.float64] = -0.5 * (squares - means - means[:, None] + means.mean())
    return products


def _upright(coordinates: Float[np.ndarray, "n dims"]) -> Float[np.ndarray, "n dims"]:
    """Rotate a configuration to its principal axes, each with its entry of largest magnitude positive."""
    centred = coordinates - coordinates.mean(axis=0)
    turned = centred @ np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    magnitudes = np.abs(turned)
    # The first of the entries that are equal up to rounding, so that rounding does not decide the sign.
    leading = (magnitudes >= (1 - 1e-9) * magnitudes.max(axis=0)).argmax(axis=0)
    upright: NDArray[np.float64] = turned * np.where(turned[leading, np.arange(turned.shape[1])] < 0, -1, 1)
    return upright


def _stress(coordinates: Float[np.ndarray, "n dims"], matrix: Float[np.ndarray, "n n"]) -> float:
    from scipy.spatial.distance import pdist, squareform

    given = squareform(matrix, checks=False)
    return float(np.linalg.norm(pdist(coordinates) - given) / np.linalg.norm(given))


class Spot(NamedTuple):
    """Position of a new point on a map.

    Attributes:
        place: its coordinates.
        misfit: √(Σ(d − δ)² / Σδ²) over the networks, like the stress of a map: 0 if the map reproduces all distances.
    """

    place: Float[np.ndarray, " dims"]
    misfit: float


def spot(coordinates: Float[np.ndarray, "networks dims"], distances: Float[np.ndarray, " networks"]) -> Spot:
    """Find the position x that minimises Σᵢ (‖x − xᵢ‖ − δᵢ)², with the networks xᵢ fixed.

    The atlas' map therefore does not change, and several recordings do not move each other. The SMACOF step for one
    point, x ← mean of xᵢ + δᵢ (x − xᵢ)/‖x − xᵢ‖, is iterated from the centre and from near the closest networks; the
    best result is returned.

    Example:
        >>> place, misfit = spot(np.array([[0.0, 0], [4, 0], [0, 3]]), np.array([2.5, 2.5, 2.5]))
        >>> place.round(3).tolist(), round(misfit, 6)
        ([2.0, 1.5], 0.0)

    Source: the projection of new points of Trosset & Priebe 2008, with the stress of metric MDS.
    """
    scale = max(float(np.abs(distances).max()), 1e-300)
    nearest = coordinates[np.argsort(distances, kind="stable")[:STARTS]]
    # At a network's own position the step is undefined.
    jitter = 1e-3 * scale * np.random.default_rng(0).normal(size=nearest.shape)
    points = np.concatenate([coordinates.mean(axis=0, keepdims=True), nearest + jitter])
    for _ in range(STEPS):
        away = points[:, None] - coordinates
        lengths = np.linalg.norm(away, axis=2)
        ratios = np.divide(distances, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        moved = (coordinates + ratios[:, :, None] * away).mean(axis=1)
        still = np.abs(moved - points).max() < 1e-9 * scale
        points = moved
        if still:
            break
    lengths = np.linalg.norm(points[:, None] - coordinates, axis=2)
    squares = ((lengths - distances) ** 2).sum(axis=1)
    best = int(squares.argmin())
    total = float((distances**2).sum())
    return Spot(points[best], float(np.sqrt(squares[best] / total)) if total else 0.0)

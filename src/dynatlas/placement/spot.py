"""Where a recording lies on a map of networks that is there already."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

STARTS = 64
STEPS = 500


class Spot(NamedTuple):
    """A place on a map.

    Attributes:
        place: its coordinates.
        misfit: √(Σ(d − δ)² / Σδ²) over the networks, as the stress of a map: 0 if the map shows all its distances.
    """

    place: Float[np.ndarray, " dims"]
    misfit: float


def spot(coordinates: Float[np.ndarray, "networks dims"], distances: Float[np.ndarray, " networks"]) -> Spot:
    """The place x that minimises Σᵢ (‖x − xᵢ‖ − δᵢ)², with the networks xᵢ held where they are.

    The map stays the one that the atlas shows, whatever is placed on it, and several recordings do not move each other.
    By SMACOF's step for one point, x ← mean of xᵢ + δᵢ (x − xᵢ)/‖x − xᵢ‖, from the centre and from beside the nearest
    networks; the best of them.

    Example:
        >>> place, misfit = spot(np.array([[0.0, 0], [4, 0], [0, 3]]), np.array([2.5, 2.5, 2.5]))
        >>> place.round(3).tolist(), round(misfit, 6)
        ([2.0, 1.5], 0.0)

    Source: the projection of new points of Trosset & Priebe 2008, with the stress of metric MDS.
    """
    scale = max(float(np.abs(distances).max()), 1e-300)
    nearest = coordinates[np.argsort(distances, kind="stable")[:STARTS]]
    # A point on a network has no direction to leave it by.
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

"""Starts around a saddle, on a small sphere along its unstable directions."""

import itertools
from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from dynatlas.dynamics.completeness.points import Point
from dynatlas.dynamics.multistart import DISPLACEMENT, Multistart, jacobians_at

RING = 12  # directions around a saddle with two unstable ones
# No direction of a ring is an axis: networks have symmetries.
RING_OFFSET = 0.2357
MOST_CORNERS = 5  # unstable directions of which all combinations of signs are followed
RANDOM_DIRECTIONS = 32
AWAY = 4.0  # distance from its start, in displacements, at which a run has left the saddle
LARGEST = 0.1  # displacement, relative to the distance to the nearest other root


class Sphere(NamedTuple):
    """States around a saddle [runs, n], the pairs of them that are neighbours, and when a run has left the saddle."""

    states: NDArray[np.float64]
    neighbors: list[tuple[int, int]]
    away: float


def unstable_sphere(search: Multistart, point: Point, spacing: float) -> Sphere:
    """Return starts along the unstable directions: two, a ring, or the corners of a cube and random directions."""
    basis = _basis(search, point)
    size = len(basis)
    random = np.random.default_rng(size)
    if size == 1:
        weights = np.array([[1.0], [-1.0]])
        neighbors: list[tuple[int, int]] = []
    elif size == 2:
        angles = RING_OFFSET + 2 * np.pi * np.arange(RING) / RING
        weights = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        neighbors = [(place, (place + 1) % RING) for place in range(RING)]
    else:
        weights = random.normal(size=(RANDOM_DIRECTIONS, size))
        neighbors = []
        if size <= MOST_CORNERS:
            corners = np.array(list(itertools.product((-1.0, 1.0), repeat=size)))
            neighbors = [
                (a, b)
                for a, b in itertools.combinations(range(len(corners)), 2)
                if (corners[a] != corners[b]).sum() == 1
            ]
            weights = np.concatenate([corners * random.uniform(0.6, 1, corners.shape), weights])
    radius = _radius(search, point, spacing)
    return Sphere(_around(search, point, weights @ basis, radius), neighbors, AWAY * radius)


def towards(search: Multistart, point: Point, spacing: float, targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return starts along those unstable directions that lead towards each of the targets, and near these."""
    basis = _basis(search, point)
    weights = np.linalg.lstsq(basis.T, (targets - point.state).T, rcond=None)[0].T
    lengths = np.linalg.norm(weights, axis=1, keepdims=True)
    reached = lengths[:, 0] > 0  # none of the directions may lead towards a target, as where units are independent
    weights = weights[reached] / lengths[reached]
    random = np.random.default_rng(len(targets))
    mixed = weights + random.normal(size=weights.shape)
    return _around(search, point, np.concatenate([weights, mixed]) @ basis, _radius(search, point, spacing))


def _radius(search: Multistart, point: Point, spacing: float) -> float:
    return min(DISPLACEMENT * search.spread * float(np.sqrt(len(point.state))), LARGEST * spacing)


def _around(search: Multistart, point: Point, directions: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Return states at this distance from a point."""
    return search.clip(point.state + radius * directions / np.linalg.norm(directions, axis=1, keepdims=True))


def _basis(search: Multistart, point: Point) -> NDArray[np.float64]:
    """Return real vectors that span the unstable directions [k, n]: parts of eigenvectors, if they suffice."""
    chosen: list[NDArray[np.float64]] = []
    orthonormal = np.zeros((0, len(point.state)))
    for direction in point.unstable_directions:
        rest = direction - orthonormal.T @ (orthonormal @ direction)
        length = float(np.linalg.norm(rest))
        if length > 1e-4 and len(chosen) < point.n_unstable:
            chosen.append(direction)
            orthonormal = np.concatenate([orthonormal, rest[None] / length])
    if len(chosen) == point.n_unstable:
        return np.array(chosen)
    # A defective Jacobian has too few eigenvectors.
    jacobian = jacobians_at(search, point.state[None])[0]
    _, vectors, count = scipy.linalg.schur(jacobian, sort="ouc")
    return np.asarray(vectors[:, :count].T)

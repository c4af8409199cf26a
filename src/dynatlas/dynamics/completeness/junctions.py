"""Junctions: where the basin of a stable point meets two others, between two saddles on its boundary.

A fan of rays from the stable point turns from the direction of one saddle to that of the other. If one of its rays
stays in the basin as far as states can lie, the two parts of the boundary are separated on this way. Otherwise the
neighbour across the boundary changes somewhere, and three basins meet there.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.completeness.boundaries import Simplex

FANS = 4  # ways from one direction to the other: the direct one, and others around
RAYS = 9
DISTANCES = 7  # along each ray, up to where states can lie


def fans(
    center: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    limits: tuple[NDArray[np.float64], NDArray[np.float64]],
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Return states on fans from ``center`` between the directions to two saddles [fans, rays, distances, n]."""
    u, v = ((saddle - center) / np.linalg.norm(saddle - center) for saddle in (first, second))
    near = min(float(np.linalg.norm(saddle - center)) for saddle in (first, second))
    states = np.zeros((FANS, RAYS, DISTANCES, len(center)))
    for way in range(FANS):
        aside = random.normal(size=len(center))
        aside *= (0.1 if way == 0 else 1.5) / np.linalg.norm(aside)
        for ray, share in enumerate(np.linspace(0, 1, RAYS)):
            direction = (1 - share) * u + share * v + np.sin(np.pi * share) * aside
            direction /= np.linalg.norm(direction)
            with np.errstate(divide="ignore", invalid="ignore"):
                room = np.where(direction > 0, (limits[1] - center) / direction, (limits[0] - center) / direction)
            farthest = float(np.nanmin(np.where(direction == 0, np.inf, room)))
            distances = np.geomspace(min(near, farthest) / 2, max(farthest, near / 2), DISTANCES)
            states[way, ray] = np.clip(center + distances[:, None] * direction, *limits)
    return states


def are_separated(labels: NDArray[np.int64], center: int) -> bool:
    """Whether on every fan one ray stays in the basin of ``center``, by the labels [fans, rays, distances]."""
    return bool((labels == center).all(axis=2).any(axis=1).all())


def triangles(states: NDArray[np.float64], labels: NDArray[np.int64], center: int) -> list[Simplex]:
    """Return triangles of neighbouring states with corners in three basins, one of them that of ``center``."""
    found = []
    seen = set()
    for way, ray, place in itertools.product(range(FANS), range(RAYS - 1), range(DISTANCES - 1)):
        square = [(way, ray + i, place + j) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]
        for corners in itertools.combinations(square, 3):
            of_corners = [int(labels[corner]) for corner in corners]
            key = (way, frozenset(of_corners))
            if center in of_corners and min(of_corners) >= 0 and len(set(of_corners)) == 3 and key not in seen:
                seen.add(key)
                found.append(Simplex(np.array([states[corner] for corner in corners]), of_corners))
    return found

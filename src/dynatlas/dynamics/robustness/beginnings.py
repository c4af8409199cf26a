"""Rays with which the search for the smallest perturbation begins."""

import numpy as np
from jaxtyping import Float

from dynatlas.dynamics.linearization import linearize, unstable_direction
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.robustness.arrival import StablePoints, spacing
from dynatlas.dynamics.robustness.rays import Rays, first_exits, joined

DISPLACEMENT = 0.02  # of a saddle along its unstable direction, relative to the distance to the nearest root
BEYOND = 1.5  # a ray through a saddle is followed to this multiple of its distance
ATTRACTORS = 2  # nearest other stable points, towards which rays lead
KEPT = 5  # nearest exits of each stable point that are followed
ROUGH = 1e-2  # precision with which exits are compared


def first_rays(
    stable: StablePoints,
    points: FixedPoints,
    reach: Float[np.ndarray, " a"],
    n_directions: int,
    random: np.random.Generator,
    max_steps: int,
) -> Rays:
    """Return the rays of each stable point that leave its basin soonest.

    Rays lead to the saddles with one unstable direction from which the map goes to the stable point on one side and not
    on the other; along the normals of the boundary at these saddles; to the nearest other stable points; and in random
    directions. Where a boundary has several sheets, as a cube has faces, the normals lead to each of them.
    """
    parts = _through_saddles(stable, points, max_steps)
    for number, state in enumerate(stable.states):
        others = np.delete(stable.states, number, axis=0)
        order = np.argsort(np.linalg.norm(others - state, axis=1), kind="stable")[:ATTRACTORS]
        parts += [(number, other - state, 1.0) for other in others[order]]
    owners = np.array([number for number, _, _ in parts], int)
    gaps = np.array([gap for _, gap, _ in parts]).reshape(len(parts), stable.states.shape[1])
    lengths = np.linalg.norm(gaps, axis=1)
    beyond = np.array([factor for _, _, factor in parts])
    aimed = first_exits(stable, owners, gaps / lengths[:, None], beyond * lengths, ROUGH, max_steps)
    nearest = reach.copy()
    np.minimum.at(nearest, owners, aimed.outside)
    owners = np.repeat(np.arange(len(stable)), n_directions)
    directions = random.normal(size=(len(owners), stable.states.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    drawn = first_exits(stable, owners, directions, nearest[owners], ROUGH, max_steps)
    rays = joined([aimed, drawn])
    order = np.lexsort([rays.outside, rays.owners])
    rank = np.arange(len(order)) - np.searchsorted(rays.owners[order], rays.owners[order])
    return rays.take(order[(rank < KEPT) & np.isfinite(rays.outside[order])])


def _through_saddles(
    stable: StablePoints, points: FixedPoints, max_steps: int
) -> list[tuple[int, Float[np.ndarray, " n"], float]]:
    """Return rays to saddles on boundaries, and normal to the boundaries there.

    Returns:
        The stable point's number, a vector, and how far the ray is followed in multiples of it.
    """
    saddles = points.states[(points.n_unstable == 1) & ~points.is_slow]
    if not len(saddles) or not len(stable):
        return []
    around = linearize(stable.step, saddles, None if stable.inputs is None else np.asarray(stable.inputs))
    radii = DISPLACEMENT * spacing(saddles, points.states[~points.is_slow])
    sides = np.stack([saddles + sign * radii[:, None] * unstable_direction(around) for sign in (1, -1)], axis=1)
    labels = stable.arrive(sides.reshape(-1, saddles.shape[1]), max_steps).labels.reshape(-1, 2)
    rays: list[tuple[int, Float[np.ndarray, " n"], float]] = []
    for saddle, pair, normal in zip(saddles, labels, around.left[:, 0].real, strict=True):
        for label in set(pair.tolist()) if pair[0] != pair[1] else ():
            if label < 0:
                continue
            gap = saddle - stable.states[label]
            rays.append((label, gap, BEYOND))
            across = normal * (normal @ gap) / (normal @ normal)  # NaN for a defective Jacobian
            if np.linalg.norm(across) > 0:
                rays.append((label, across, float(np.linalg.norm(gap) / np.linalg.norm(across))))
    return rays

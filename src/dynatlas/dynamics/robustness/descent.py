"""Turn rays towards the normal of the boundary, until the boundary is nearest along them.

At the state of a smooth boundary that is nearest to a stable point, the ray from there is normal to the boundary. With
n the normal and u the direction, u + s (n − u) for a suitable s meets a plane boundary, or one of moderate curvature,
sooner than u.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dynatlas.dynamics.multistart import Budget
from dynatlas.dynamics.robustness.arrival import StablePoints
from dynatlas.dynamics.robustness.normals import boundary_normals
from dynatlas.dynamics.robustness.rays import Rays, bisected, first_exits

TURNS = (1.0, 0.5, 0.2)  # shares of the way from a direction to the normal that are tried at once
SHRINK = 0.1  # of the turns, where none of them brought the boundary closer
SHRINKS = 2
FINE = 1e-9  # precision of a boundary where its normal is computed
STATIONARY = 1e-3  # angle between a ray and the normal at which the ray is kept, in radians
# A turn by the angle a makes a ray shorter by about a²/2: rays are compared with a precision of this share of a², and a
# turn that gains less does not count.
COMPARED = 0.05
ROUGHEST = 1e-3
PRUNING = 2  # rounds after which rays are given up that are longer than the shortest of their point by this factor
PRUNED = 1.1
SAME_RAY = 1e-2  # angle below which two rays of a stable point are the same


class Descent:
    """Rays on their way to the nearest state of a boundary.

    Attributes:
        rays: the rays; of several that coincide, one is kept.
        angles: between each ray and the normal of the boundary that it meets, in radians [k].
        roots: number of the root that the state on the boundary goes to [k].
        passed: how closely it passed the root, relative to the distance between roots [k].
    """

    rays: Rays
    angles: Float[np.ndarray, " k"]
    roots: Int[np.ndarray, " k"]
    passed: Float[np.ndarray, " k"]

    def __init__(
        self, stable: StablePoints, rays: Rays, roots: Float[np.ndarray, "roots n"], scale: float, max_steps: int
    ):
        self._stable, self._roots, self._scale, self._max_steps = stable, roots, scale, max_steps
        self.rays = bisected(stable, rays, FINE, max_steps)
        count = len(rays)
        self.angles, self.passed = np.full(count, np.nan), np.full(count, np.inf)
        self.roots = np.full(count, -1)
        self._normals = np.zeros_like(rays.directions)
        self._turns = np.ones(count)
        self._update(np.arange(count))

    def run(self, rounds: int, budget: Budget) -> None:
        """Turn the rays for a number of rounds, or until they no longer move or the seconds are spent."""
        for number in range(rounds):
            self._merge(PRUNED if number >= PRUNING else np.inf)
            moving = np.flatnonzero((self.angles > STATIONARY) & (self._turns >= SHRINK**SHRINKS))
            if not len(moving) or budget.out_of_time:
                break
            self._turn(moving)
        self._merge(np.inf)

    def _turn(self, rows: NDArray[np.int64]) -> None:
        """Try several turns of these rays, and keep for each the one along which the boundary is nearest."""
        rays = self.rays.take(rows)
        turns = self._turns[rows, None] * np.array(TURNS)
        gaps = self._normals[rows] - rays.directions
        tried = rays.directions[:, None] + turns[..., None] * gaps[:, None]
        tried /= np.linalg.norm(tried, axis=-1, keepdims=True)
        precision = np.clip(COMPARED * self.angles[rows] ** 2, FINE, ROUGHEST)
        exits = first_exits(
            self._stable,
            np.repeat(rays.owners, len(TURNS)),
            tried.reshape(-1, tried.shape[-1]),
            np.repeat(rays.outside, len(TURNS)),
            np.repeat(precision, len(TURNS)),
            self._max_steps,
        )
        sizes = exits.outside.reshape(tried.shape[:2])
        best = sizes.argmin(axis=1)
        chosen = np.arange(len(rows)) * len(TURNS) + best
        closer = sizes.min(axis=1) < (1 - precision) * rays.outside
        self._turns[rows] *= np.where(closer, 1.0, SHRINK)
        moved = rows[closer]
        if len(moved):
            self.rays.put(moved, bisected(self._stable, exits.take(chosen[closer]), FINE, self._max_steps))
            self._update(moved)

    def _update(self, rows: NDArray[np.int64]) -> None:
        """Compute the normals of these rays."""
        if not len(rows):
            return
        rays = self.rays.take(rows)
        ends = (rays.states(self._stable, rays.inside), rays.states(self._stable, rays.outside))
        normals = boundary_normals(self._stable, *ends, self._roots, self._scale)
        self._normals[rows], self.roots[rows], self.passed[rows] = normals
        across = np.linalg.norm(normals.vectors - rays.directions, axis=1)
        self.angles[rows] = 2 * np.arcsin(np.clip(across / 2, 0, 1))

    def _merge(self, factor: float) -> None:
        """Keep one of several rays that coincide, the shortest, and none that is longer by a factor than another."""
        kept: list[int] = []
        for row in np.argsort(self.rays.outside, kind="stable"):
            same = [other for other in kept if self.rays.owners[other] == self.rays.owners[row]]
            gaps = np.linalg.norm(self.rays.directions[same] - self.rays.directions[row], axis=1)
            is_long = bool(same) and self.rays.outside[row] > factor * self.rays.outside[same[0]]
            if not is_long and not (gaps < SAME_RAY).any():
                kept.append(int(row))
        rows = np.sort(kept).astype(int)
        self.rays = self.rays.take(rows)
        self.angles, self.roots, self.passed = self.angles[rows], self.roots[rows], self.passed[rows]
        self._normals, self._turns = self._normals[rows], self._turns[rows]

"""Where rays from a stable point leave its basin, by bisection."""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dynatlas.dynamics.robustness.arrival import StablePoints

# Shares of the reach at which each ray is looked at first: no symmetric ones, since networks have symmetries. An exit
# and a return between two of them are not seen.
SHARES = (0.07, 0.17, 0.29, 0.42, 0.53, 0.64, 0.74, 0.83, 0.92, 1.0)
MOST_HALVINGS = 60


@dataclass(frozen=True, eq=False)
class Rays:
    """Rays from stable points, each with the last state known inside the basin and the first one known outside.

    Attributes:
        owners: number of the stable point of each ray [k].
        directions: unit vectors [k, n].
        inside: distance from the stable point at which the ray is inside [k].
        outside: distance at which it is outside; infinite if it was never seen to leave [k].
        destinations: number of the stable point to which the state at ``outside`` goes; −1 for none [k].
    """

    owners: Int[np.ndarray, " k"]
    directions: Float[np.ndarray, "k n"]
    inside: Float[np.ndarray, " k"]
    outside: Float[np.ndarray, " k"]
    destinations: Int[np.ndarray, " k"]

    def __len__(self) -> int:
        return len(self.owners)

    def take(self, rows: NDArray[np.int64]) -> "Rays":
        """Return these rays."""
        return Rays(*(getattr(self, field.name)[rows] for field in fields(self)))

    def put(self, rows: NDArray[np.int64], others: "Rays") -> None:
        """Replace these rays by others."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(others, field.name)

    def states(self, stable: StablePoints, distances: Float[np.ndarray, " k"]) -> Float[np.ndarray, "k n"]:
        """Return the states at these distances."""
        return np.asarray(stable.states[self.owners] + distances[:, None] * self.directions)


def joined(parts: list[Rays]) -> Rays:
    """Return the rays of all parts."""
    return Rays(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Rays)))


def first_exits(
    stable: StablePoints,
    owners: Int[np.ndarray, " k"],
    directions: Float[np.ndarray, "k n"],
    reach: Float[np.ndarray, " k"],
    precision: float | Float[np.ndarray, " k"],
    max_steps: int,
) -> Rays:
    """Find where each ray first leaves the basin of its stable point, among a few distances, and bisect.

    Args:
        stable: the stable points.
        owners: number of each ray's stable point.
        directions: unit vectors.
        reach: the farthest distance looked at.
        precision: width of the bracket when bisection ends, as a share of the distance.
        max_steps: of a run; one that creeps after them has not left.
    """
    count = len(owners)
    rays = Rays(owners, directions, np.zeros(count), np.full(count, np.inf), np.full(count, -1))
    for share in SHARES:  # most rays are needed up to their exit only
        left = np.flatnonzero(np.isinf(rays.outside))
        if not len(left):
            break
        _look(stable, rays, left, share * reach[left], max_steps)
    return bisected(stable, rays, precision, max_steps)


def bisected(stable: StablePoints, rays: Rays, precision: float | Float[np.ndarray, " k"], max_steps: int) -> Rays:
    """Bisect until the bracket of every ray that leaves the basin is narrow."""
    for _ in range(MOST_HALVINGS):
        wide = np.flatnonzero(np.isfinite(rays.outside) & (rays.outside - rays.inside > precision * rays.outside))
        if not len(wide):
            break
        _look(stable, rays, wide, (rays.inside[wide] + rays.outside[wide]) / 2, max_steps)
    return rays


def _look(
    stable: StablePoints, rays: Rays, rows: NDArray[np.int64], distances: Float[np.ndarray, " rows"], max_steps: int
) -> None:
    """Run these rays' states at these distances, and move the inner or the outer end there."""
    labels, ends = stable.arrive(rays.take(rows).states(stable, distances), max_steps)
    stays = labels == rays.owners[rows]
    nowhere = np.flatnonzero(labels < 0)
    stays[nowhere] = stable.is_undecided(ends[nowhere])
    rays.inside[rows] = np.where(stays, distances, rays.inside[rows])
    rays.outside[rows] = np.where(stays, rays.outside[rows], distances)
    rays.destinations[rows] = np.where(stays, rays.destinations[rows], labels)

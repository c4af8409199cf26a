"""Which stable point the map leads to, for many states at a time."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike, in_chunks
from dynatlas.dynamics.completeness.basins import MOST_STEPS, iterate
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.robustness.states import stable_roots
from dynatlas.dynamics.step import Step, check_fixed_points, check_step, residuals, static_inputs

# A run has arrived when it stays closer to a stable point than this share of the point's distance to the nearest root.
CAPTURED = 0.01
# A run that arrived nowhere creeps if its last step is shorter than this share of the distance between roots, and rests
# if it is shorter than the other one.
CREEPS, REST = 1e-3, 1e-9
RUNS = 1024  # per call of the compiled loop
LANES = 64  # runs at a time: a matrix product of so many states takes the least time for each


def check_steps(max_steps: int) -> None:
    """Raise a ValueError for fewer steps than the compiled loop takes at least, or for no whole number."""
    if not isinstance(max_steps, int | np.integer) or max_steps < MOST_STEPS:
        raise ValueError(
            f"max_steps is {max_steps!r}; expected a whole number of at least {MOST_STEPS:,}, the steps that a run "
            "takes before it is looked at"
        )


class Arrivals(NamedTuple):
    """Where runs of the map arrived: number of the stable point, −1 for none [runs]; last states [runs, n]."""

    labels: Int[np.ndarray, " runs"]
    ends: Float[np.ndarray, "runs n"]


@dataclass(frozen=True, eq=False)
class StablePoints:
    """The stable roots of a map, and the runs that arrive there.

    Attributes:
        step: the map.
        inputs: its static input.
        rows: indices of the stable roots in the points [a].
        states: the stable roots [a, n].
        radii: distance within which a run has arrived [a].
        roots: all roots of the map that are known [roots, n].
    """

    step: Step
    inputs: Float[Array, " m"] | None
    rows: NDArray[np.int64]
    states: NDArray[np.float64]
    radii: NDArray[np.float64]
    roots: NDArray[np.float64]

    @classmethod
    def of(cls, step: Step, points: FixedPoints, inputs: ArrayLike | None) -> "StablePoints":
        """Take the stable roots of the points; call it where 64 bits are enabled.

        Raises:
            ValueError: the step does not map a state of these points to a state, or they are no points of it.
        """
        if not isinstance(points, FixedPoints):
            raise ValueError(f"points is a {type(points).__name__}; expected FixedPoints, from find_fixed_points")
        static = static_inputs(inputs)
        check_step(step, np.zeros(points.states.shape[1]) if not len(points) else points.states[0], static)
        check_fixed_points(step, points.states, points.q, static)
        rows, roots = stable_roots(points), points.states[~points.is_slow]
        states = points.states[rows]
        return cls(step, static, rows, states, CAPTURED * spacing(states, roots), roots)

    def __len__(self) -> int:
        return len(self.rows)

    def arrive(self, starts: NDArray[np.float64], max_steps: int) -> Arrivals:
        """Run each start [runs, n] until it arrives, for about ``max_steps``; call it where 64 bits are enabled."""
        labels, ends = np.full(len(starts), -1), starts.copy()
        for _ in range(-(-max_steps // MOST_STEPS)):
            moving = np.flatnonzero((labels < 0) & np.isfinite(ends).all(axis=1))
            if not len(moving):
                break
            followed = iterate(self.step, self.inputs, ends[moving], self.states, self.radii, runs=RUNS, lanes=LANES)
            labels[moving], ends[moving] = followed.labels, followed.ends
        return Arrivals(labels, ends)

    def is_undecided(self, ends: Float[np.ndarray, "runs n"]) -> Bool[np.ndarray, " runs"]:
        """Whether each run that arrived nowhere may still arrive: it creeps, or rests at a root that is not stable.

        A run that is infinite or moves fast, as on a cycle, is elsewhere; so is one at rest at no known root.
        """
        if not len(ends):
            return np.zeros(0, bool)
        scale = float(np.median(self.radii)) / CAPTURED
        (gaps,) = in_chunks(lambda states: (residuals(self.step, states, self.inputs),), ends, LANES)
        speeds = np.linalg.norm(gaps, axis=1)
        to_roots = np.linalg.norm(ends[:, None] - self.roots, axis=-1).min(axis=1)
        rests_elsewhere = (speeds < REST * scale) & ~(to_roots < CAPTURED * scale)
        return np.asarray((speeds < CREEPS * scale) & ~rests_elsewhere)


def spacing(states: NDArray[np.float64], roots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance from each state to the nearest root that is another one; 1 without another."""
    distances = np.linalg.norm(states[:, None] - roots, axis=-1)
    distances[distances == 0] = np.inf
    nearest = distances.min(axis=1, initial=np.inf)
    return np.where(np.isfinite(nearest), nearest, 1.0)

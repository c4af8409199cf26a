"""The smallest perturbation that leaves each attractor."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike, generator, key_or_default
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas.dynamics.multistart import Budget
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.robustness.arrival import StablePoints, check_steps, spacing
from dynatlas.dynamics.robustness.beginnings import first_rays
from dynatlas.dynamics.robustness.contraction import proven_radii
from dynatlas.dynamics.robustness.descent import STATIONARY, Descent
from dynatlas.dynamics.step import Step

if TYPE_CHECKING:
    import pandas as pd

ROUNDS = 40  # of turning all rays
PASSED = 0.05  # a state on the boundary goes to a saddle that it passes within this share of the distance between roots


@dataclass(frozen=True, eq=False, repr=False)
class SmallestPerturbations(SummaryRepr):
    """The smallest perturbation found that leaves the basin of each stable point.

    The distance to the boundary lies between ``lower_bounds`` and ``sizes``. A size is an upper bound: the length of a
    perturbation that was tried and does leave, the smallest of several local minima.

    Attributes:
        points: index of each stable point in the points given [a].
        sizes: Euclidean length; infinite if no perturbation was found that leaves [a].
        directions: unit vectors; NaN without a perturbation [a, n].
        destinations: index, in the points given, of the stable point that the perturbed state goes to; −1 for none of
            them [a].
        saddles: index of the root that the state on the boundary goes to; −1 for none of the roots given [a].
        angles: between the perturbation and the normal of the boundary, in radians: 0 at a local minimum of a smooth
            boundary [a].
        relative: size as a share of the distance to the nearest other stable point; NaN without another one [a].
        lower_bounds: radius of a ball that is proven to lie in the basin, by interval arithmetic; 0 where nothing is
            proven. In networks of many units it is far too small to say more than that the point is stable [a].
    """

    points: NDArray[np.int64]
    sizes: NDArray[np.float64]
    directions: NDArray[np.float64]
    destinations: NDArray[np.int64]
    saddles: NDArray[np.int64]
    angles: NDArray[np.float64]
    relative: NDArray[np.float64]
    lower_bounds: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def is_stationary(self) -> NDArray[np.bool_]:
        """Whether the perturbation is normal to the boundary, to within 0.001 [a]."""
        return np.asarray(self.angles <= STATIONARY)

    def to_dataframe(self) -> "pd.DataFrame":
        """Return a table with a row for each stable point, without the directions."""
        import pandas as pd

        return pd.DataFrame(
            {
                "point": self.points,
                "size": self.sizes,
                "relative": self.relative,
                "lower_bound": self.lower_bounds,
                "destination": self.destinations,
                "saddle": self.saddles,
                "angle": self.angles,
            }
        )

    def _summary(self) -> Summary:
        rows = []
        for number in np.argsort(self.sizes, kind="stable"):
            share, to = self.relative[number], self.destinations[number]
            relative = "" if np.isnan(share) else f" ({share:.1%})"
            text = f"{self.sizes[number]:.6g}{relative}, to {f'fixed point {to}' if to >= 0 else 'elsewhere'}"
            is_found = np.isfinite(self.sizes[number])
            rows.append((f"fixed point {self.points[number]}", text if is_found else "none found"))
        stationary = f"{int(self.is_stationary.sum())} of {len(self)}"
        return Summary(
            "Smallest perturbations (share of the distance to the nearest stable point)",
            (*rows, ("normal to the boundary", stationary)) if rows else (("none", "no stable point"),),
            ".to_dataframe()",
        )


def smallest_perturbations(
    step: Step,
    points: FixedPoints,
    inputs: ArrayLike | None = None,
    *,
    n_directions: int = 64,
    max_steps: int = 20_000,
    max_seconds: float | None = 120.0,
    key: PRNGKeyArray | None = None,
) -> SmallestPerturbations:
    """Find the smallest perturbation of each stable fixed point from which the map does not return to it.

    Rays lead from the stable point to the saddles on the boundary of its basin and beyond, to the nearest other stable
    points, and in random directions; bisection finds where each leaves the basin. The rays that leave soonest are then
    turned towards the normal of the boundary until they are parallel to it, the first-order condition of the nearest
    state. The normal is the gradient of the growth past the saddle, J(h_0)ᵀ J(h_1)ᵀ … J(h_{T−1})ᵀ v.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``.
        points: the fixed points under these inputs.
        inputs: [m], the static input, or None.
        n_directions: random directions for each stable point.
        max_steps: of a run, at least 1,000, rounded up to whole thousands. One that arrives nowhere in them has left
            the basin if it still moves fast, as on a cycle, and has not if it creeps.
        max_seconds: budget of processor time of this process, or None. When it is spent, rays are no longer turned, and
            ``angles`` show how far they were; otherwise the result does not depend on it.
        key: random key of the directions; by default that of the seed 0.

    Raises:
        ValueError: ``points`` are no fixed points under these inputs, or an argument is out of range.

    Example:
        Two independent bistable units: the axes are the boundary, and the push is along one of them.

        >>> import jax.numpy as jnp
        >>> from dynatlas import find_fixed_points
        >>> step = lambda h, x: jnp.tanh(2 * h)
        >>> starts = jax.random.normal(jax.random.key(0), (100, 2))
        >>> points = find_fixed_points(step, starts, box=(-1, 1), key=jax.random.key(1))
        >>> found = smallest_perturbations(step, points, key=jax.random.key(2))
        >>> found.sizes.round(6).tolist(), bool(found.is_stationary.all())
        ([0.957504, 0.957504, 0.957504, 0.957504], True)

    Source: Klinshov, Nekorkin & Kurths 2016 for the distance to the boundary as a measure of stability; Kerswell 2018
    for minimal seeds by optimisation; Skufca, Yorke & Eckhardt 2006 for edge tracking.
    """
    if n_directions < 0:
        raise ValueError(f"n_directions is {n_directions}; expected at least 0")
    check_steps(max_steps)
    random = generator(key_or_default(key))
    budget = Budget(0, max_seconds)
    with jax.enable_x64(True):
        stable = StablePoints.of(step, points, inputs)
        nearest = spacing(stable.states, stable.states) if len(stable) > 1 else np.full(len(stable), np.nan)
        roots = np.flatnonzero(~points.is_slow)
        reach = np.where(np.isnan(nearest), _extent(points), nearest)
        rays = first_rays(stable, points, reach, n_directions, random, max_steps)
        unstable = roots[points.n_unstable[roots] > 0]
        saddles = points.states[unstable] if len(unstable) else np.full((1, points.states.shape[1]), np.inf)
        descent = Descent(stable, rays, saddles, _scale(stable, points), max_steps)
        descent.run(ROUNDS, budget)
        lower_bounds = proven_radii(stable)
    return _smallest(stable, descent, unstable, nearest, lower_bounds)


def _extent(points: FixedPoints) -> float:
    """Return how far rays are followed from a stable point that is the only one."""
    states = points.states
    return float(max(2 * np.ptp(states, axis=0).max(initial=0), np.sqrt(states.shape[1])))


def _scale(stable: StablePoints, points: FixedPoints) -> float:
    return float(np.median(spacing(stable.states, points.states[~points.is_slow]))) if len(stable) else 1.0


def _smallest(
    stable: StablePoints,
    descent: Descent,
    unstable: NDArray[np.int64],
    nearest: NDArray[np.float64],
    lower_bounds: NDArray[np.float64],
) -> SmallestPerturbations:
    """Return the shortest ray of each stable point."""
    count, n = stable.states.shape
    sizes, angles = np.full(count, np.inf), np.full(count, np.nan)
    directions = np.full((count, n), np.nan)
    destinations, saddles = np.full(count, -1), np.full(count, -1)
    rays = descent.rays
    for number in range(count):
        rows = np.flatnonzero(rays.owners == number)
        if not len(rows):
            continue
        row = rows[rays.outside[rows].argmin()]
        sizes[number], angles[number], directions[number] = rays.outside[row], descent.angles[row], rays.directions[row]
        to = rays.destinations[row]
        destinations[number] = stable.rows[to] if to >= 0 else -1
        if descent.passed[row] < PASSED:
            saddles[number] = unstable[descent.roots[row]]
    relative = sizes / nearest
    return SmallestPerturbations(stable.rows, sizes, directions, destinations, saddles, angles, relative, lower_bounds)

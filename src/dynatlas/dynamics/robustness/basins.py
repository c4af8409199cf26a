"""Basins of attraction: the share of states that the map leads to each attractor."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import numpy as np
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas._util.messages import count_of
from dynatlas._util.shares import wilson_interval
from dynatlas.dynamics.attractors import Attractor
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.robustness.arrival import StablePoints, check_steps
from dynatlas.dynamics.robustness.discovery import Known
from dynatlas.dynamics.step import Step

if TYPE_CHECKING:
    import pandas as pd

# Steps after which the attractors of the runs that have not arrived are looked for.
FIRST_STEPS = 1000
ROUNDS = 4  # of looking for attractors, each from 16 of these runs
SHOWN = 12  # attractors in the representation


@dataclass(frozen=True, eq=False, repr=False)
class Basins(SummaryRepr):
    """Which attractor each of a set of states goes to.

    Attributes:
        attractors: the stable points, in the order of the points given, and then what else runs reached. What settles
            is one attractor; states that lie near it are taken to be on it.
        points: index of each attractor in the points given, of a saddle, too; −1 for new ones [attractors].
        labels: number of the attractor that each state goes to; −1 for elsewhere: the run diverged, did not settle in
            the steps allowed, or reached one of too many attractors [..., states].
        diverged: number of states of which the run became infinite or NaN [...].
        uncounted: runs that were looked at and ended at neutral attractors of their own, as on a continuum; where the
            looking ended before all were found, these are no attractors, and their states are elsewhere.
    """

    attractors: tuple[Attractor, ...]
    points: NDArray[np.int64]
    labels: NDArray[np.int64]
    diverged: NDArray[np.int64]
    uncounted: int = 0

    @property
    def counts(self) -> NDArray[np.int64]:
        """States that go to each attractor, and last elsewhere [..., attractors + 1]."""
        numbers = np.append(np.arange(len(self.attractors)), -1)
        return np.asarray((self.labels[..., None] == numbers).sum(axis=-2))

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the states that goes to each attractor, and last elsewhere [..., attractors + 1]."""
        return np.asarray(self.counts / self.labels.shape[-1])

    @property
    def intervals(self) -> NDArray[np.float64]:
        """Wilson's 95 % interval of each share, for states drawn independently [..., attractors + 1, 2]."""
        return np.stack(wilson_interval(self.shares, self.labels.shape[-1]), axis=-1)

    def to_dataframe(self) -> "pd.DataFrame":
        """Return a table with a row for each set of states and each attractor, and elsewhere."""
        import pandas as pd

        sets = self.labels.shape[0] if self.labels.ndim == 2 else 1
        kinds = [*(attractor.kind for attractor in self.attractors), "elsewhere"]
        size = len(kinds)
        low, high = self.intervals.reshape(-1, 2).T
        return pd.DataFrame(
            {
                "set": np.repeat(np.arange(sets), size),
                "attractor": np.tile([*range(size - 1), -1], sets),
                "kind": np.tile(kinds, sets),
                "point": np.tile([*self.points, -1], sets),
                "states": self.counts.ravel(),
                "share": self.shares.ravel(),
                "low": low,
                "high": high,
            }
        )

    def _summary(self) -> Summary:
        total = self.labels.size
        counts = self.counts.reshape(-1, len(self.attractors) + 1).sum(axis=0)
        low, high = wilson_interval(counts / total, total)
        names = [
            _name(attractor, point) for attractor, point in zip(self.attractors, self.points.tolist(), strict=True)
        ]
        shares = [f"{count / total:.1%} [{a:.1%}, {b:.1%}]" for count, a, b in zip(counts, low, high, strict=True)]
        order = np.argsort(-counts[:-1], kind="stable")
        rows = [(names[number], shares[number]) for number in order[:SHOWN]]
        if len(order) > SHOWN:
            rest = int(counts[order[SHOWN:]].sum())
            rows.append((f"{len(order) - SHOWN} more", f"{rest / total:.1%}"))
        elsewhere = [("elsewhere", shares[-1])] if counts[-1] else []
        if infinite := int(self.diverged.sum()):
            elsewhere.append(("of these", f"{count_of(infinite, 'run')} diverged: infinite or NaN"))
        if self.uncounted:
            words = f"more than {count_of(self.uncounted, 'run')} ended at attractors of their own: a continuum?"
            elsewhere.append(("because", words))
        return Summary(
            f"Basins of {count_of(len(self.attractors), 'attractor')}",
            (("states", f"{total:,}"), *rows, *elsewhere),
            ".to_dataframe()",
        )


def _name(attractor: Attractor, point: int) -> str:
    """Return the name of an attractor in the representation."""
    growing = np.abs(attractor.multipliers) > 1
    unstable = "" if not growing.any() else "unstable" if growing.all() else "saddle"
    notes = ", ".join(note for note in ("new" if point < 0 else "", unstable) if note)
    number = f" {point}" if point >= 0 else ""
    return f"{attractor.kind}{number}{f' ({notes})' if notes else ''}"


def basins(
    step: Step,
    states: ArrayLike,
    points: FixedPoints,
    inputs: ArrayLike | None = None,
    *,
    max_steps: int = 20_000,
) -> Basins:
    """Find the attractor that the map h_{t+1} = F(h_t, x) leads to from each state.

    A run has arrived at a stable point when it stays closer to it than 1 % of the distance to the nearest other root.
    After 1,000 steps ``find_attractors`` looks at some of the runs that have not arrived, and every run that lies near
    an attractor found counts as its; the others continue.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``.
        states: [states, n], or sets of them [sets, states, n], as ``uniform_states`` and ``states_around`` draw them.
        points: the fixed points under these inputs; their stable roots are the attractors that are known.
        inputs: [m], the static input, or None.
        max_steps: steps after which a run is elsewhere: at least 1,000, rounded up to whole thousands.

    Raises:
        ValueError: shapes do not fit, states are not finite, or ``points`` are no fixed points under these inputs.

    Example:
        One bistable unit; 0 divides the box.

        >>> import jax.numpy as jnp
        >>> from dynatlas import find_fixed_points
        >>> step = lambda h, x: jnp.tanh(2 * h)
        >>> points = find_fixed_points(step, np.linspace(-1, 1, 20)[:, None], box=(-1, 1), key=jax.random.key(0))
        >>> basins(step, np.linspace(-0.5, 1, 120)[:, None], points)
        Basins of 2 attractors
          states         120
          fixed point 1  66.7% [57.8%, 74.5%]
          fixed point 0  33.3% [25.5%, 42.2%]
        next: .to_dataframe()

    Source: Menck et al. 2013 for the share of states as a measure of stability; Wilson 1927 for its interval.
    """
    with jax.enable_x64(True):
        stable = StablePoints.of(step, points, inputs)
        starts = _checked(states, stable, max_steps)
        flat = starts.reshape(-1, starts.shape[-1])
        known = Known(stable, points.eigenvalues[stable.rows], float(flat.std()))
        arrived = stable.arrive(flat, min(FIRST_STEPS, max_steps))
        is_crowded = False
        for _ in range(ROUNDS):
            left = np.flatnonzero((arrived.labels < 0) & np.isfinite(arrived.ends).all(axis=1))
            is_crowded = bool(len(left)) and known.look(arrived.ends[left], max_steps)
            if not is_crowded:
                break
            arrived.labels[left] = known.nearest(arrived.ends[left])
        left = np.flatnonzero((arrived.labels < 0) & np.isfinite(arrived.ends).all(axis=1))
        uncounted = 0
        if is_crowded and len(left):
            arrived.labels[:], uncounted = known.without_continuum(arrived.labels)
        if len(left) and max_steps > FIRST_STEPS:
            later = stable.arrive(arrived.ends[left], max_steps - FIRST_STEPS)
            near = known.nearest(later.ends)
            arrived.labels[left] = np.where(later.labels < 0, near, later.labels)
            arrived.ends[left] = later.ends
    labels = arrived.labels.reshape(starts.shape[:-1])
    infinite = ~np.isfinite(arrived.ends).all(axis=1).reshape(labels.shape)
    roots = np.flatnonzero(~points.is_slow)
    rows = np.append(stable.rows, [roots[row] if row >= 0 else -1 for row in known.unstable_roots()]).astype(int)
    return Basins(tuple(known.attractors), rows, labels, np.asarray(infinite.sum(axis=-1)), uncounted)


def _checked(states: ArrayLike, stable: StablePoints, max_steps: int) -> NDArray[np.float64]:
    """Return the states as a float64 array, or raise a ValueError that says what is wrong."""
    starts, n = np.asarray(states, np.float64), stable.states.shape[1]
    if starts.ndim not in {2, 3} or starts.shape[-1] != n or 0 in starts.shape:
        raise ValueError(
            f"states has shape {starts.shape}; expected [states, {n}] or [sets, states, {n}], at least one of each"
        )
    if not np.isfinite(starts).all():
        raise ValueError("states has NaN or infinity; remove those states")
    check_steps(max_steps)
    return starts

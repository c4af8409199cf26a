"""Periodic points: the fixed points of the iterates of a map, stable and unstable, with the same certificate."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import equinox as eqx
import jax
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike, key_or_default
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas.dynamics.attractors import follow_orbit
from dynatlas.dynamics.completeness.verdict import Certificate
from dynatlas.dynamics.fixed_points import MAX_SECONDS, find_fixed_points
from dynatlas.dynamics.linearization import mode_order
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.step import Step, next_state, static_inputs

LONGEST: Final = 16  # period: an iterate of so many steps is compiled as a whole
SAME: Final = 1e-6  # relative distance of states that are the same point


class Cycle(NamedTuple):
    """One periodic orbit; of period 1, a fixed point.

    Attributes:
        states: in the order in which they are visited [period, n].
        multipliers: eigenvalues of the Jacobian of ``period`` steps, by descending modulus [n].
    """

    states: NDArray[np.float64]
    multipliers: NDArray[np.complex128]

    @property
    def period(self) -> int:
        """Least number of steps after which the states repeat."""
        return len(self.states)

    @property
    def n_unstable(self) -> int:
        """Multipliers with |λ| > 1."""
        return int((np.abs(self.multipliers) > 1).sum())

    def index_in(self, period: int) -> int:
        """Return the index of each of its states as a fixed point of F^period: sign det(I − J^period).

        Raises:
            ValueError: the states are no fixed points of F^period.
        """
        if period % self.period:
            raise ValueError(f"a cycle of period {self.period} does not repeat after {period} steps")
        factors = 1 - self.multipliers ** (period // self.period)
        return int(np.sign(np.prod(factors / np.maximum(np.abs(factors), 1e-300)).real.round(6)))


@dataclass(frozen=True, eq=False, repr=False)
class PeriodicPoints(SummaryRepr):
    """All periodic orbits that were found, of a map under one static input.

    Attributes:
        cycles: by period, then by the number of unstable directions.
        searches: period p → the search for fixed points of F^p.
    """

    cycles: tuple[Cycle, ...]
    searches: dict[int, FixedPoints]

    def of_iterate(self, period: int) -> list[Cycle]:
        """Return the cycles whose states are fixed points of F^period: those whose period divides it."""
        return [cycle for cycle in self.cycles if period % cycle.period == 0]

    def index_sum(self, period: int) -> int:
        """Return the sum of the indices of all fixed points of F^period; 1 if none is missing, with a box."""
        return sum(cycle.period * cycle.index_in(period) for cycle in self.of_iterate(period))

    def certificate(self, period: int) -> Certificate:
        """Return what is known about the fixed points of F^period, as in ``FixedPoints``.

        It is that of the search, if this found every point that is known from any search.
        """
        search = self.searches[period]
        n_points = sum(cycle.period for cycle in self.of_iterate(period))
        if search.certificate == "not certifiable" or n_points == int((~search.is_slow).sum()):
            return search.certificate
        if search.certificate == "supported":
            return "not certifiable"
        return "consistent" if self.index_sum(period) == 1 else "incomplete"

    def to_dataframe(self) -> pd.DataFrame:
        """Return a row for each cycle: period, n_unstable, index as fixed points of F^period, leading multiplier."""
        rows = [
            {
                "period": cycle.period,
                "n_unstable": cycle.n_unstable,
                "index": cycle.index_in(cycle.period),
                "leading_modulus": float(np.abs(cycle.multipliers[0])),
                "leading_angle": float(np.abs(np.angle(cycle.multipliers[0]))),
            }
            for cycle in self.cycles
        ]
        return pd.DataFrame(rows, columns=["period", "n_unstable", "index", "leading_modulus", "leading_angle"])

    def _summary(self) -> Summary:
        counts = Counter(cycle.period for cycle in self.cycles)
        rows = [
            (f"period {period}", f"{counts[period]} cycles; F^{period}: index sum {self.index_sum(period)}, {of}")
            for period in self.searches
            for of in [self.certificate(period)]
        ]
        return Summary("PeriodicPoints", tuple(rows))


def find_periodic_points(
    step: Step,
    initial_states: ArrayLike,
    inputs: ArrayLike | None = None,
    *,
    period: int = 4,
    box: tuple[ArrayLike, ArrayLike] | None = None,
    max_starts: int = 16_384,
    max_seconds: float | None = MAX_SECONDS,
    key: PRNGKeyArray | None = None,
) -> PeriodicPoints:
    """Find the periodic points of ``step`` up to a period: stable cycles, and those that no run reaches.

    The fixed points of each iterate F^p are sought as ``find_fixed_points`` does. A box that F maps into itself is one
    for every iterate, so that the indices of the fixed points of F^p sum to 1 for each p. The points of all searches
    are joined to cycles of least period; a point that one search missed, and another found, counts.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``.
        initial_states: [starts, n].
        inputs: [m], or None if ``step`` ignores them.
        period: the longest period, at most 16.
        box: (low, high): a region that ``step`` maps into itself.
        max_starts: budget of starts of each search.
        max_seconds: budget of processor time of each search.
        key: random key for the added starts; by default that of the seed 0.

    Raises:
        ValueError: as in ``find_fixed_points``; a period out of range.

    Example:
        A unit that switches sign at every step: its fixed point is unstable, its cycle of two steps is not.

        >>> import jax.numpy as jnp
        >>> step = lambda h, x: jnp.tanh(-2 * h)
        >>> starts = jax.random.normal(jax.random.key(0), (50, 1))
        >>> found = find_periodic_points(step, starts, period=2, box=(-1, 1))
        >>> [(cycle.period, cycle.n_unstable) for cycle in found.cycles]
        [(1, 1), (2, 0)]
        >>> [found.index_sum(period) for period in (1, 2)], found.certificate(2)
        ([1, 1], 'complete')

    Source: the Lefschetz–Hopf theorem for iterates; Dold 1983 for indices of iterates.
    """
    if isinstance(period, bool) or not 1 <= period <= LONGEST:
        raise ValueError(f"period is {period!r}; expected 1 to {LONGEST}")
    key = key_or_default(key)
    settings: dict[str, Any] = {"box": box, "max_starts": max_starts, "max_seconds": max_seconds}
    searches = {
        times: find_fixed_points(
            step if times == 1 else _Iterate(step, times),
            initial_states,
            inputs,
            key=jax.random.fold_in(key, times),
            **settings,
        )
        for times in range(1, period + 1)
    }
    with jax.enable_x64(True):
        static = static_inputs(inputs)
        cycles: list[Cycle] = []
        for times, search in searches.items():
            for state in search.roots().states:
                if not any(_are_same(known, state) for cycle in cycles for known in cycle.states):
                    cycles.append(_cycle(step, state, static, times))
    order = sorted(range(len(cycles)), key=lambda place: (cycles[place].period, cycles[place].n_unstable, place))
    return PeriodicPoints(tuple(cycles[place] for place in order), searches)


class _Iterate(eqx.Module):
    """Several steps of a map as one."""

    step: Step
    times: int = eqx.field(static=True)

    def __call__(self, state: Float[Array, " n"], inputs: Float[Array, " m"] | None) -> Float[Array, " n"]:
        for _ in range(self.times):
            state = next_state(self.step, state, inputs)
        return state


def _cycle(step: Step, state: NDArray[np.float64], static: Float[Array, " m"] | None, times: int) -> Cycle:
    """Return the cycle of a fixed point of F^times, of its least period."""
    visited = follow_orbit(step, state, static, times)[0]
    period = next(each for each in _divisors(times) if each == times or _are_same(visited[each], state))
    states, _, product = follow_orbit(step, state, static, period)
    multipliers = np.linalg.eigvals(product).astype(complex)
    return Cycle(states, multipliers[mode_order(multipliers)])


def _divisors(number: int) -> Iterator[int]:
    return (each for each in range(1, number + 1) if number % each == 0)


def _are_same(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool(np.abs(one - other).max() <= SAME * (1 + np.abs(other).max()))

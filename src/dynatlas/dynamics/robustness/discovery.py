"""Attractors that runs reach besides the stable points that are known: cycles, curves, chaos."""

import numpy as np
from jaxtyping import Complex, Float, Int

from dynatlas.dynamics.attractors import CHAOTIC, CHUNK, Attractor, find_attractors
from dynatlas.dynamics.robustness.arrival import StablePoints

SETTLED = frozenset({"fixed point", "closed orbit", "invariant curve", "chaos"})
# A state is on an attractor when its distance to the attractor's states is at most this share of the amplitude: 2,048
# states cover a curve to 0.3 % of it.
NEAR = 0.02
NEAR_POINT = 1e-3  # or this share of the spread of the initial states, for attractors without extent

NEUTRAL = 1e-6  # distance of a multiplier's modulus from 1


class Known:
    """Attractors known so far: the stable points, and what was found from runs that did not arrive there.

    Attributes:
        attractors: the stable points first.
    """

    attractors: list[Attractor]

    def __init__(self, stable: StablePoints, eigenvalues: Complex[np.ndarray, "a n"], spread: float):
        self._stable, self._spread = stable, spread
        self.attractors = []
        for state, multipliers in zip(stable.states, eigenvalues, strict=True):
            with np.errstate(divide="ignore"):
                exponents = np.log(np.abs(multipliers[:3]))
            self.attractors.append(Attractor("fixed point", state[None], 1, multipliers, np.nan, exponents, 0.0))

    def look(self, states: Float[np.ndarray, "runs n"], max_steps: int) -> bool:
        """Classify where some of the states lead, and add what is new; return whether a new attractor was found."""
        chosen = states[np.unique(np.linspace(0, len(states) - 1, CHUNK).astype(int))]
        inputs = self._stable.inputs
        static = None if inputs is None else np.tile(np.asarray(inputs), (len(chosen), 1))
        known = len(self.attractors)
        for attractor in find_attractors(self._stable.step, chosen, static, max_steps=max_steps):
            if attractor.kind in SETTLED and self.nearest(attractor.states[-1:])[0] < 0:
                self.attractors.append(attractor)
        return len(self.attractors) > known

    def unstable_roots(self) -> list[int]:
        """Return the number of the known root that each attractor beyond the stable points is; −1 for new ones.

        Runs reach a saddle where a whole region is mapped onto its stable manifold, as by relus.
        """
        found = []
        for attractor in self.attractors[len(self._stable) :]:
            gaps = np.linalg.norm(self._stable.roots - attractor.states[0], axis=1)
            is_root = attractor.kind == "fixed point" and gaps.min(initial=np.inf) <= NEAR_POINT * self._spread
            found.append(int(gaps.argmin()) if is_root else -1)
        return found

    def without_continuum(self, labels: Int[np.ndarray, " runs"]) -> tuple[Int[np.ndarray, " runs"], int]:
        """Forget the neutral attractors that were found, and return the labels without them and their number."""
        count = len(self._stable)
        is_kept = [number < count or not _is_neutral(each) for number, each in enumerate(self.attractors)]
        numbers = np.append(np.where(is_kept, np.cumsum(is_kept) - 1, -1), -1)  # the last one is of the label −1
        self.attractors = [each for each, keeps in zip(self.attractors, is_kept, strict=True) if keeps]
        return numbers[labels], is_kept.count(False)

    def nearest(self, states: Float[np.ndarray, "runs n"]) -> Int[np.ndarray, " runs"]:
        """Return the number of the attractor that each state lies on; −1 for none."""
        labels = np.full(len(states), -1)
        closest = np.full(len(states), np.inf)
        for number, attractor in enumerate(self.attractors):
            reach = max(NEAR * attractor.amplitude, NEAR_POINT * self._spread)
            distances = _distances(states, attractor.states)
            labels = np.where((distances <= reach) & (distances < closest), number, labels)
            closest = np.where(distances <= reach, np.minimum(distances, closest), closest)
        return labels


def _is_neutral(attractor: Attractor) -> bool:
    """Whether an attractor has an exponent of 0 beside that along a curve, so that it may be one of a continuum."""
    if attractor.kind in {"fixed point", "closed orbit"}:
        return bool((np.abs(np.abs(attractor.multipliers) - 1) < NEUTRAL).any())
    return attractor.kind == "invariant curve" and int((np.abs(attractor.exponents) < CHAOTIC).sum()) > 1


def _distances(states: Float[np.ndarray, "runs n"], orbit: Float[np.ndarray, "steps n"]) -> Float[np.ndarray, " runs"]:
    """Return the distance from each state to the nearest state of an attractor."""
    squares = (states**2).sum(axis=1)[:, None] - 2 * states @ orbit.T + (orbit**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares.min(axis=1), 0)))

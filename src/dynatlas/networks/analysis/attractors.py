"""Attractors that runs of a network reach: each once, with the number of runs and the nearest fixed point."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.attractors import Attractor, find_attractors
from dynatlas.dynamics.points import FixedPoints
from dynatlas.networks.analysis.starts import Visited, last_states, state_deviations
from dynatlas.networks.network import Network

RUNS = 16  # of each condition
SLOW_RUNS = 2  # of each condition, if every step leaves JAX
STEPS = 32_768  # at most, before a run is classified
# Aperiodic motions are the same if mean and amplitude differ by less than this share of the amplitude, the precision of
# a mean over a window of chaos.
ALIKE = 0.2
DISPLACEMENT = 0.01  # of each state's standard deviation


class ReachedAttractor(NamedTuple):
    """One attractor that runs reached, or one kind of run that reached none.

    Attributes:
        attractor: the attractor.
        n_runs: number of runs that ended on it.
        nearest: number of the fixed or slow point nearest to the last state; −1 if there is none.
        distance: distance from the last state to that point, the largest of all runs.
    """

    attractor: Attractor
    n_runs: int
    nearest: int
    distance: float


def reached_attractors(
    network: Network,
    visited: Visited,
    inputs: NDArray[np.float64],
    points: FixedPoints,
    random: np.random.Generator,
) -> list[ReachedAttractor]:
    """Return the attractors that runs under one static input [m] reach, the most frequent first.

    Runs start next to visited states: a run from a saddle itself would stay there. Runs that still move after 32,768
    steps, such as along a slow mode, count as one attractor if they have the same nearest point.
    """
    begin = last_states(visited, SLOW_RUNS if network.is_slow else RUNS)
    begin = begin + DISPLACEMENT * state_deviations(visited) * random.normal(size=begin.shape)
    reached: list[ReachedAttractor] = []
    for attractor in find_attractors(network.step, begin, np.repeat([inputs], len(begin), axis=0), max_steps=STEPS):
        new = ReachedAttractor(attractor, 1, *_nearest(attractor.states[-1], points))
        same = next((place for place, known in enumerate(reached) if _is_same(new, known)), None)
        if same is None:
            reached.append(new)
        else:
            known = reached[same]
            reached[same] = known._replace(n_runs=known.n_runs + 1, distance=max(known.distance, new.distance))
    return sorted(reached, key=lambda one: -one.n_runs)


def attractor_summary(reached: Sequence[ReachedAttractor]) -> str:
    """Describe the number of attractors of each kind, and the runs that reached none.

    Example:
        >>> attractor_summary([])
        'no run'
    """
    if not reached:
        return "no run"
    kinds = Counter(one.attractor.kind for one in reached)
    del kinds["unsettled"], kinds["diverges"]
    plural = {"chaos": "chaotic sets"}
    texts = [f"{count} {kind if count == 1 else plural.get(kind, f'{kind}s')}" for kind, count in kinds.items()]
    moving, lost = (
        sum(one.n_runs for one in reached if one.attractor.kind == kind) for kind in ("unsettled", "diverges")
    )
    total = sum(one.n_runs for one in reached)
    texts = [f"attractors that {total} runs reached: {', '.join(texts) or 'none'}"]
    if moving:
        texts.append(f"{moving} still moving after {STEPS:,} steps")
    if lost:
        texts.append(f"{lost} ran away")
    return ", ".join(texts)


def _nearest(state: NDArray[np.float64], points: FixedPoints) -> tuple[int, float]:
    if not len(points) or not np.isfinite(state).all():
        return -1, float("nan")
    distances = np.linalg.norm(points.states - state, axis=1)
    return int(distances.argmin()), float(distances.min())


def _is_same(one: ReachedAttractor, other: ReachedAttractor) -> bool:
    """Whether two attractors have the same states or, without a period, the same region."""
    first, second = one.attractor, other.attractor
    if (first.kind, first.period) != (second.kind, second.period):
        return False
    if first.kind == "diverges":
        return True
    if first.kind == "unsettled":
        return one.nearest == other.nearest
    scale = max(first.amplitude, second.amplitude)
    if first.period:
        nearest = np.linalg.norm(second.states - first.states[0], axis=1).min()
        return bool(nearest < 1e-6 * max(scale, 1))
    apart = np.linalg.norm(first.states.mean(axis=0) - second.states.mean(axis=0))
    return bool(apart < ALIKE * scale and abs(first.amplitude - second.amplitude) < ALIKE * scale)

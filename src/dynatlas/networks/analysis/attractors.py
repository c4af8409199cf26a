"""Where the runs of a network end: each attractor once, with how many runs it took, and the fixed point next to it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.attractors import Attractor, find_attractors
from dynatlas.dynamics.fixed_points import FixedPoints
from dynatlas.networks.analysis.starts import Visited, last_states, spread
from dynatlas.networks.network import Network

RUNS = 16  # followed under each condition


SLOW_RUNS = 2  # of a network that leaves JAX in every step


STEPS = 32_768  # each at most, before it is judged


# Two motions without a period are one if mean and amplitude differ by less than this share of the amplitude: a window
# of chaos has no sharper mean.
ALIKE = 0.2


DISPLACED = 0.01  # of each state's standard deviation


class Ending(NamedTuple):
    """One attractor, or runs that have not come to one.

    Attributes:
        attractor: what a run ended on.
        n_runs: how many did.
        nearest: number of the fixed or slow point nearest to its last state; −1 if there is none.
        distance: how far that is.
    """

    attractor: Attractor
    n_runs: int
    nearest: int
    distance: float


def reached_attractors(
    network: Network, visited: Visited, inputs: Any, points: FixedPoints, random: np.random.Generator
) -> list[Ending]:
    """What some runs under one static input end on, the most frequent first.

    They begin beside visited states, lest one that was at rest on a saddle stay there. Runs that are still moving after
    32,768 steps, as along a slow mode, count as one if the same point is nearest.
    """
    begin = last_states(visited, SLOW_RUNS if network.is_slow else RUNS)
    begin = begin + DISPLACED * spread(visited) * random.normal(size=begin.shape)
    endings: list[Ending] = []
    for attractor in find_attractors(network.step, begin, np.repeat([inputs], len(begin), axis=0), max_steps=STEPS):
        new = Ending(attractor, 1, *_nearest(attractor.states[-1], points))
        same = next((place for place, known in enumerate(endings) if _same(new, known)), None)
        if same is None:
            endings.append(new)
        else:
            known = endings[same]
            endings[same] = known._replace(n_runs=known.n_runs + 1, distance=max(known.distance, new.distance))
    return sorted(endings, key=lambda ending: -ending.n_runs)


def in_words(endings: Sequence[Ending]) -> str:
    """The attractors, counted by kind, and the runs that came to none.

    Example:
        >>> in_words([])
        'no run'
    """
    if not endings:
        return "no run"
    kinds = Counter(ending.attractor.kind for ending in endings)
    del kinds["unsettled"], kinds["diverges"]
    plural = {"chaos": "chaotic sets"}
    texts = [f"{count} {kind if count == 1 else plural.get(kind, f'{kind}s')}" for kind, count in kinds.items()]
    moving, lost = (
        sum(ending.n_runs for ending in endings if ending.attractor.kind == kind) for kind in ("unsettled", "diverges")
    )
    total = sum(ending.n_runs for ending in endings)
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


def _same(one: Ending, other: Ending) -> bool:
    """Whether two runs ended alike: at the same states, or, without a period, in the same region."""
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

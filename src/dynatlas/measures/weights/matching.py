"""Search for the best reordering of units: linearised assignments, then exchanges.

The score is maximised over mixtures of reorderings by the method of Frank and Wolfe: the linear assignment that gains
most along the gradient is mixed in by exact line search. It is exact for signs as well, since a unit's better sign can
be chosen for each correspondence. The best reordering that was met is then improved by ``exchanges``.

Sources: Vogelstein et al. 2015 (FAQ); Ainsworth, Hayase & Srinivasa 2023 (weight matching by linear assignments).
"""

from typing import Final

import numpy as np
from jaxtyping import Float

from dynatlas.measures.weights.bounds import assignment
from dynatlas.measures.weights.exchanges import exchanged
from dynatlas.measures.weights.score import Parts, Reordering, Score

MOST_STEPS: Final = 12  # of an ascent: more gain less than exchanges do in the same time
GAIN: Final = 1e-9  # of the score, below which a step gains nothing


def best_reordering(score: Score, gains: Float[np.ndarray, "n n"], starts: int) -> Reordering:
    """Return the best reordering that ``starts`` ascents find.

    Args:
        score: of the reorderings.
        gains: bounds of what the weights between units gain if unit i of the first is unit k of the second (``bounds``).
        starts: the first one mixes the best assignment by these bounds and that by the linear terms; others are random.
    """
    random = np.random.default_rng(0)
    linear = score.signless(score.linear)
    informed = [score.with_signs(assignment(by)[0], score.linear) for by in (linear + gains, linear)]
    best, most = informed[0], -np.inf
    for number in range(starts):
        found = exchanged(score, ascended(score, _random(score, random) if number else informed))
        value = score.value(found)
        if value > most:
            best, most = found, value
    return best


def ascended(score: Score, starts: list[Reordering]) -> Reordering:
    """Climb from the mean of some reorderings, and return the best one that is met."""
    bilinear = [score.bilinear(start) for start in starts]
    linear = [score.along(score.linear, start) for start in starts]
    values = [own + score.along(by, start) / 2 for own, by, start in zip(linear, bilinear, starts, strict=True)]
    best = int(np.argmax(values))
    reached, most = starts[best], values[best]
    slope: Parts = np.mean(bilinear, axis=0)
    level = float(np.mean(linear))
    squared = float(np.mean([score.along(slope, start) for start in starts]))  # ⟨slope, mixture⟩
    mixture = np.zeros((score.n, score.n))
    units = np.arange(score.n)
    for start in starts:
        mixture[units, start.order] += 1 / len(starts)
    for _ in range(MOST_STEPS):
        gradient = score.linear + slope
        vertex = score.with_signs(assignment(score.signless(gradient))[0], gradient)
        vertex_slope, vertex_level = score.bilinear(vertex), score.along(score.linear, vertex)
        own, mixed = score.along(vertex_slope, vertex), score.along(slope, vertex)
        if vertex_level + own / 2 > most:
            reached, most = vertex, vertex_level + own / 2
        # The score along the line is a quadratic function of the step t.
        rise, curvature = vertex_level - level + mixed - squared, own - 2 * mixed + squared
        if rise <= GAIN:
            break
        t = 1.0 if curvature >= 0 else min(1.0, -rise / curvature)
        slope = (1 - t) * slope + t * vertex_slope
        level = (1 - t) * level + t * vertex_level
        squared = (1 - t) ** 2 * squared + 2 * t * (1 - t) * mixed + t**2 * own
        mixture *= 1 - t
        mixture[units, vertex.order] += t
    nearest = score.with_signs(assignment(mixture)[0], score.linear + slope)
    value = score.value(nearest) - score.constant
    return nearest if value > most else reached


def _random(score: Score, random: np.random.Generator) -> list[Reordering]:
    signs = random.choice([-1.0, 1.0], score.n) if True in score.parts else np.ones(score.n)
    return [Reordering(random.permutation(score.n), signs)]

"""Search for the best reordering of units: linearised assignments, then exchanges.

The score is maximised over mixtures of reorderings by the method of Frank and Wolfe: the linear assignment that gains
most along the gradient is mixed in by exact line search. It is exact for signs as well, since a unit's better sign can
be chosen for each correspondence. The best reordering that was met is then improved by ``exchanges``.

Sources: Vogelstein et al. 2015 (FAQ); Ainsworth, Hayase & Srinivasa 2023 (weight matching by linear assignments).
"""

from typing import Final

import numpy as np
from jaxtyping import Float

from dynatlas.measures.weights.assignment import assignment
from dynatlas.measures.weights.exchanges import exchanged
from dynatlas.measures.weights.score import Reordering, Score

GAIN: Final = 1e-7  # of the score, below which a step gains nothing


def best_reordering(score: Score, gains: Float[np.ndarray, "n n"], starts: int, steps: int) -> tuple[Reordering, float]:
    """Return the best reordering that ``starts`` ascents find, and its squared distance.

    Args:
        score: of the reorderings.
        gains: bounds of what weights between units gain if unit i of the first is unit k of the second (``bounds``).
        starts: number of ascents. The first begins halfway to the best assignment by these bounds and the linear terms
            (Gilmore & Lawler), the second at the mean of all reorderings, and others halfway to random ones.
        steps: most linear assignments of an ascent.
    """
    random, found = np.random.default_rng(0), []
    for number in range(starts):
        start = None if number == 1 else _random(score, random)
        if number == 0:
            start = score.with_signs(assignment(score.signless(score.linear) + gains)[0], score.linear)
        reached = exchanged(score, ascended(score, start, steps))
        found.append((reached, score.squared_distance(reached)))
    return min(found, key=lambda one: one[1])


def ascended(score: Score, start: Reordering | None, steps: int) -> Reordering:
    """Climb from the mean of all reorderings, or from halfway to a start; return the best reordering that is met."""
    slope = score.barycentre()
    level, squared = score.along_barycentre(score.linear), score.along_barycentre(slope)  # ⟨slope, mixture⟩
    units, mixture = np.arange(score.n), np.full((score.n, score.n), 1 / score.n)
    reached, most = start, -np.inf
    for number in range(steps + 1):
        gradient = score.linear + slope
        vertex = start if number == 0 else None
        is_given = vertex is not None
        if vertex is None:
            vertex = score.with_signs(assignment(score.signless(gradient))[0], gradient)
        vertex_slope, vertex_level = score.bilinear(vertex), score.along(score.linear, vertex)
        own, mixed = score.along(vertex_slope, vertex), score.along(slope, vertex)
        if vertex_level + own / 2 > most:
            reached, most = vertex, vertex_level + own / 2
        # The score along the line is a quadratic function of the step t.
        rise, curvature = vertex_level - level + mixed - squared, own - 2 * mixed + squared
        if rise <= GAIN and not is_given:
            break
        t = 0.5 if is_given else 1.0 if curvature >= 0 else min(1.0, -rise / curvature)
        slope = (1 - t) * slope + t * vertex_slope
        level = (1 - t) * level + t * vertex_level
        squared = (1 - t) ** 2 * squared + 2 * t * (1 - t) * mixed + t**2 * own
        mixture *= 1 - t
        mixture[units, vertex.order] += t
    nearest = score.with_signs(assignment(mixture)[0], score.linear + slope)
    return nearest if reached is None or score.value(nearest) - score.constant > most else reached


def _random(score: Score, random: np.random.Generator) -> Reordering:
    signs = random.choice([-1.0, 1.0], score.n) if True in score.parts else np.ones(score.n)
    return Reordering(random.permutation(score.n), signs)

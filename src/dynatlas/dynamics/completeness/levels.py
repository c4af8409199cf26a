"""Roots by their number of unstable directions, and which of them lie on the boundaries of which."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.completeness.boundaries import Simplex
from dynatlas.dynamics.completeness.points import Point


@dataclass
class Change:
    """Two neighbouring states that the flow leads to different stable points.

    Attributes:
        simplex: the states and their labels.
        source: the saddle on whose ring they are; None on a segment.
        passed: roots that the search reached from the passages between them.
        saddle: the saddle on the boundary between them.
        stage: how often the search has started from its passages.
    """

    simplex: Simplex
    source: Point | None
    passed: list[Point] = field(default_factory=list)
    saddle: Point | None = None
    stage: int = 0


class Levels:
    """The Morse complex that the runs show.

    Up to two unstable directions, the boundary of a root are the roots that its runs reached and passed, counted
    modulo 2. Beyond, a root lies on the boundary of another if all stable points that it leads to are among those that
    the other leads to.

    Attributes:
        groups: the roots with 0, 1, 2, … unstable directions.
        boundaries: for each number from 1, the matrix of which roots of the group below are on the boundary.
    """

    groups: Sequence[Sequence[Point]]
    boundaries: list[NDArray[np.bool_]]

    def __init__(
        self, groups: Sequence[Sequence[Point]], labels: Mapping[int, Sequence[int]], changes: Sequence[Change]
    ):
        self.groups = groups
        self.boundaries = []
        for degree, (lower, upper) in enumerate(itertools.pairwise(groups), start=1):
            matrix = np.zeros((len(upper), len(lower)), bool)
            places = {id(point): place for place, point in enumerate(lower)}
            for row, point in enumerate(upper):
                own = labels[id(point)]
                if degree == 1:
                    for label in own:
                        if label >= 0:
                            matrix[row, label] ^= True
                elif degree == 2:
                    for change in changes:
                        if change.source is point and change.saddle is not None:
                            matrix[row, places[id(change.saddle)]] ^= True
                else:
                    matrix[row] = [set(labels[id(other)]) <= set(own) for other in lower]
            self.boundaries.append(matrix)

    def unexplained_pairs(self, degree: int) -> list[tuple[Point, Point, int]]:
        """Return pairs of roots that share a boundary but bound no known root together, and what they share."""
        if degree > len(self.boundaries):
            return []
        faces = self.boundaries[degree - 1].astype(int)
        shared = faces @ faces.T
        if degree < len(self.boundaries):
            joint = self.boundaries[degree].astype(int)
            shared[(joint.T @ joint) > 0] = 0
        first, second = np.nonzero(np.triu(shared, 1))
        points = self.groups[degree]
        return [
            (points[a], points[b], int(np.flatnonzero(faces[a] & faces[b])[0]))
            for a, b in zip(first.tolist(), second.tolist(), strict=True)
        ]

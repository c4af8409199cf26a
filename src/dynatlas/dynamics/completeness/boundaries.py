"""Boundaries of basins: a simplex whose corners lie in different basins, shrunk to a point where these basins meet.

Two corners: bisection between two attractors, the edge tracking of Itano & Toh 2001 and Skufca, Yorke & Eckhardt 2006;
the flow from the last states passes a saddle with one unstable direction. Three corners in three basins: the flow
passes a saddle with two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.completeness.basins import Followed

# How much shorter a round makes the sides, and the most runs at a time on one side.
SHRINKS = 32
MOST_SECTIONS = 8
RUNS_OF_A_ROUND = 32  # to which sides are cut into more parts
MOST_PIECES = 4  # into which a simplex may split, where its middle lies in yet another basin


@dataclass
class Simplex:
    """A simplex whose corners lie in different basins.

    Attributes:
        corners: [k + 1, n].
        labels: number of each corner's attractor.
        passages: the states at which runs from the simplex were slowest, and the lengths of the step there.
        away: distance from the corners within which runs are not looked at.
        is_flat: whether it was found to hold no point at which the basins meet, or a run that reached no attractor.
        origin: place among the simplices given to ``shrink`` of the one that it is a piece of.
    """

    corners: NDArray[np.float64]
    labels: list[int]
    passages: list[tuple[float, NDArray[np.float64]]] = field(default_factory=list)
    away: float = 0.0
    is_flat: bool = False
    origin: int = 0

    def slowest(self, count: int) -> list[NDArray[np.float64]]:
        """Return the states of the slowest passages."""
        return [state for _, state in sorted(self.passages, key=lambda passage: passage[0])[:count]]

    def longest_side(self) -> tuple[int, int]:
        """Return the corners that are farthest apart."""
        distances = np.linalg.norm(self.corners[:, None] - self.corners[None], axis=-1)
        first, second = divmod(int(distances.argmax()), len(distances))
        return first, second


def shrink(
    simplices: Sequence[Simplex], follow: Callable[[NDArray[np.float64], NDArray[np.float64]], Followed]
) -> list[Simplex]:
    """Make the sides shorter, so that the corners stay in different basins; return all pieces."""
    pieces = list(simplices)
    for place, piece in enumerate(pieces):
        piece.origin = place
    most = MOST_PIECES * len(pieces)
    sizes = {len(piece.labels) for piece in pieces}
    for size in sorted(sizes):
        shrinks = 1
        while shrinks < SHRINKS ** (size - 1):
            active = [piece for piece in pieces if not piece.is_flat and len(piece.labels) == size]
            if not active:
                break
            # The longest side of a triangle is halved; a segment may be cut into more parts at once.
            parts = int(np.clip(RUNS_OF_A_ROUND // len(active), 2, MOST_SECTIONS)) if size == 2 else 2
            shrinks *= parts
            for piece in _cut(active, parts, follow):
                if len(pieces) < most:
                    pieces.append(piece)
    return pieces


def _cut(
    active: Sequence[Simplex],
    parts: int,
    follow: Callable[[NDArray[np.float64], NDArray[np.float64]], Followed],
) -> list[Simplex]:
    """Cut the longest side of each simplex into parts and keep one of them; return the others that count."""
    sides = [piece.longest_side() for piece in active]
    shares = np.arange(1, parts) / parts
    inner = np.array(
        [
            [(1 - share) * piece.corners[first] + share * piece.corners[second] for share in shares]
            for piece, (first, second) in zip(active, sides, strict=True)
        ]
    )
    runs = follow(inner.reshape(-1, inner.shape[-1]), np.repeat([piece.away for piece in active], len(shares)))
    others: list[Simplex] = []
    for row, (piece, (first, second)) in enumerate(zip(active, sides, strict=True)):
        own = slice(row * len(shares), (row + 1) * len(shares))
        piece.passages += [
            (float(speed), passage)
            for speed, passage in zip(runs.speeds[own], runs.passages[own], strict=True)
            if np.isfinite(speed)
        ]
        labels = [piece.labels[first], *runs.labels[own].tolist(), piece.labels[second]]
        path = [piece.corners[first], *inner[row], piece.corners[second]]
        rest = [label for corner, label in enumerate(piece.labels) if corner not in (first, second)]
        cuts = [
            place
            for place in range(parts)
            if labels[place] != labels[place + 1]
            and min(labels[place : place + 2]) >= 0
            and not set(labels[place : place + 2]) & set(rest)
        ]
        piece.is_flat = not cuts
        for place in cuts[1:]:
            passages = list(piece.passages)
            other = Simplex(piece.corners.copy(), list(piece.labels), passages, piece.away, origin=piece.origin)
            _set_side(other, (first, second), path[place : place + 2], labels[place : place + 2])
            others.append(other)
        if cuts:
            _set_side(piece, (first, second), path[cuts[0] : cuts[0] + 2], labels[cuts[0] : cuts[0] + 2])
    return others


def _set_side(
    piece: Simplex, side: tuple[int, int], states: Sequence[NDArray[np.float64]], labels: Sequence[int]
) -> None:
    for corner, state, label in zip(side, states, labels, strict=True):
        piece.corners[corner], piece.labels[corner] = state, label

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

HALVINGS = 12  # of each side
MOST_PIECES = 4  # into which a simplex may split, where its middle lies in yet another basin


@dataclass
class Simplex:
    """A simplex whose corners lie in different basins.

    Attributes:
        corners: [k + 1, n].
        labels: number of each corner's attractor.
        passages: the states at which runs from the simplex were slowest, and the lengths of the step there.
        is_flat: whether it was found to hold no point at which the basins meet, or a run that reached no attractor.
    """

    corners: NDArray[np.float64]
    labels: list[int]
    passages: list[tuple[float, NDArray[np.float64]]] = field(default_factory=list)
    is_flat: bool = False

    def slowest(self, count: int) -> list[NDArray[np.float64]]:
        """Return the states of the slowest passages."""
        return [state for _, state in sorted(self.passages, key=lambda passage: passage[0])[:count]]

    def longest_side(self) -> tuple[int, int]:
        """Return the corners that are farthest apart."""
        distances = np.linalg.norm(self.corners[:, None] - self.corners[None], axis=-1)
        first, second = divmod(int(distances.argmax()), len(distances))
        return first, second


def shrink(simplices: Sequence[Simplex], follow: Callable[[NDArray[np.float64]], Followed]) -> list[Simplex]:
    """Halve the longest sides, so that the corners stay in different basins; return all pieces."""
    pieces = list(simplices)
    for _ in range(HALVINGS * max((len(piece.labels) - 1 for piece in pieces), default=0)):
        active = [piece for piece in pieces if not piece.is_flat]
        if not active:
            break
        sides = [piece.longest_side() for piece in active]
        middles = np.array([piece.corners[list(side)].mean(axis=0) for piece, side in zip(active, sides, strict=True)])
        runs = follow(middles)
        for row, (piece, side) in enumerate(zip(active, sides, strict=True)):
            label = int(runs.labels[row])
            if np.isfinite(runs.speeds[row]):
                piece.passages.append((float(runs.speeds[row]), runs.passages[row]))
            if label < 0:
                piece.is_flat = True
            elif label in (piece.labels[side[0]], piece.labels[side[1]]):
                _replace(piece, side[0] if label == piece.labels[side[0]] else side[1], middles[row], label)
            elif label in piece.labels:
                piece.is_flat = True
            else:
                if len(pieces) < MOST_PIECES * len(simplices):
                    other = Simplex(piece.corners.copy(), list(piece.labels), list(piece.passages))
                    _replace(other, side[0], middles[row], label)
                    pieces.append(other)
                _replace(piece, side[1], middles[row], label)
    return pieces


def _replace(piece: Simplex, corner: int, state: NDArray[np.float64], label: int) -> None:
    piece.corners[corner], piece.labels[corner] = state, label

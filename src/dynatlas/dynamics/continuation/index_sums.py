"""Sums of the fixed-point indices of all branches, at values of the parameter.

If F maps a box into itself, the indices sign det(I − J) of all its roots sum to 1 at each parameter (Lefschetz–Hopf).
Along a branch the index changes only at folds and branch points, so that no root is computed for the sums: each piece
of a branch between two points adds its index at the values that lie between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.continuation.curve import CurvePoint
from dynatlas.dynamics.continuation.strands import Strand

# At values this close to a fold or branch point, relative to the interval, the sum is not defined.
NEAR_EVENT = 1e-6


@dataclass(frozen=True, eq=False)
class IndexSums:
    """Sums of indices at values of the parameter.

    Attributes:
        parameters: the values [values].
        sums: the sum of the indices of the roots on all branches [values].
        n_roots: how many roots these are [values].
        is_degenerate: whether a root has no index, at a fold or branch point [values]; the sum is then of the others.
        notes: why a sum is not 1, one sentence for each run of such values; empty without a box.
    """

    parameters: NDArray[np.float64]
    sums: NDArray[np.int64]
    n_roots: NDArray[np.int64]
    is_degenerate: NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    @property
    def is_wrong(self) -> NDArray[np.bool_]:
        """Whether a sum is other than 1: with a box, a proof that a root is missing or false [values]."""
        return np.asarray((self.sums != 1) & ~self.is_degenerate)


@dataclass(frozen=True, eq=False)
class Crossing:
    """Where a branch takes a value of the parameter: between its points ``piece`` and ``piece + 1``."""

    branch: int
    piece: int
    guess: NDArray[np.float64]
    index: int


def crossings_at(strands: Sequence[Strand], place: float) -> list[Crossing]:
    """Return where the branches take a value of the parameter, with states interpolated linearly."""
    found = []
    for number, strand in enumerate(strands):
        places = np.array([point.x[-1] for point in strand.points])
        low, high = np.minimum(places[:-1], places[1:]), np.maximum(places[:-1], places[1:])
        for piece in np.flatnonzero((low <= place) & (place < high)).tolist():
            first, second = strand.points[piece], strand.points[piece + 1]
            share = (place - first.x[-1]) / (second.x[-1] - first.x[-1])
            guess = first.x + share * (second.x - first.x)
            found.append(Crossing(number, piece, guess, first.index or second.index))
    return found


def index_sums(
    strands: Sequence[Strand], parameters: NDArray[np.float64], places: NDArray[np.float64], length: float
) -> IndexSums:
    """Return the sums at values of the parameter, given as parameters and as places."""
    n_values = len(places)
    sums, n_roots = np.zeros(n_values, int), np.zeros(n_values, int)
    # The ends themselves belong to the branches that begin or end there.
    inside = np.clip(places, 2 * NEAR_EVENT * length, (1 - 2 * NEAR_EVENT) * length)
    for strand in strands:
        first, last, index = _pieces(strand.points)
        for low, high, sign in zip(np.minimum(first, last), np.maximum(first, last), index, strict=True):
            # Places ascend.
            piece = slice(*np.searchsorted(inside, [low, high]))
            sums[piece] += sign
            n_roots[piece] += 1
    special = np.array(
        [point.x[-1] for strand in strands for point in strand.points if point.event and point.index == 0]
    )
    near = np.abs(inside[:, None] - special[None]) < 3 * NEAR_EVENT * length
    return IndexSums(parameters, sums, n_roots, near.any(axis=1))


def _pieces(
    points: Sequence[CurvePoint],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return both places and the index of each piece between two points."""
    places = np.array([point.x[-1] for point in points])
    index = np.array([point.index for point in points])
    return places[:-1], places[1:], np.where(index[:-1] != 0, index[:-1], index[1:])


def explained(sums: IndexSums, strands: Sequence[Strand], parameter_of: Sequence[tuple[float, float]]) -> IndexSums:
    """Add a sentence for each run of values at which the sum is not 1, with the branches that ended inside."""
    wrong = np.flatnonzero(sums.is_wrong)
    runs = np.split(wrong, np.flatnonzero(np.diff(wrong) > 1) + 1) if len(wrong) else []
    lost = []
    for number, (strand, ends) in enumerate(zip(strands, parameter_of, strict=True)):
        for end, parameter in zip((strand.begin, strand.end), ends, strict=True):
            if not end.is_known and end.reason not in {"closed on itself", "a root inside the interval"}:
                lost.append(f"branch {number} ends at {parameter:.6g}: {end.reason}")
    notes = []
    for run in runs:
        low, high = sums.parameters[run[0]], sums.parameters[run[-1]]
        values = sorted(set(sums.sums[run].tolist()))
        of = f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"
        where = f"at {low:.6g}" if len(run) == 1 else f"from {low:.6g} to {high:.6g}"
        why = "; ".join(lost) or "no branch that was followed ends inside the interval, so that one was not given"
        notes.append(f"the index sum is {of}, not 1, {where}: a branch is missing ({why})")
    return IndexSums(sums.parameters, sums.sums, sums.n_roots, sums.is_degenerate, tuple(notes))

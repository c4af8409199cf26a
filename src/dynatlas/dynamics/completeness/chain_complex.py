"""The Morse complex over the field of two elements: does it have the homology of a point?

Roots with k unstable directions span its kth group, and the boundary of a root is the sum of the roots with k − 1
unstable directions that lie on its boundary. If F maps a box into itself, is hyperbolic at its roots, and has no other
recurrent set, boundaries have no boundary, and the homology is that of the box: of a point. The index sum is its Euler
characteristic, which is less: two errors can cancel in the sum of one degree and another.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def rank(matrix: NDArray[np.bool_]) -> int:
    """Return the rank over the field of two elements.

    Example:
        >>> rank(np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]], bool))
        2
    """
    rows = [int("".join("1" if entry else "0" for entry in row) or "0", 2) for row in np.asarray(matrix, bool)]
    found = 0
    while rows:
        pivot = rows.pop()
        if pivot:
            found += 1
            lowest = pivot & -pivot
            rows = [row ^ pivot if row & lowest else row for row in rows]
    return found


def has_homology_of_a_point(sizes: Sequence[int], boundaries: Sequence[NDArray[np.bool_]]) -> bool:
    """Whether boundaries have no boundary, and only one class, of degree 0, is left.

    Args:
        sizes: roots with 0, 1, 2, … unstable directions.
        boundaries: the matrix of each degree k ≥ 1 [sizes[k], sizes[k − 1]].

    Example:
        An interval: two ends and a saddle between them; a saddle that leads to the same point twice is a circle.

        >>> has_homology_of_a_point([2, 1], [np.array([[True, True]])])
        True
        >>> has_homology_of_a_point([1, 1], [np.array([[False]])])
        False
    """
    for lower, upper in itertools.pairwise(boundaries):
        if ((upper.astype(int) @ lower.astype(int)) % 2).any():
            return False
    ranks = [0, *(rank(boundary) for boundary in boundaries), 0]
    betti = [size - ranks[degree] - ranks[degree + 1] for degree, size in enumerate(sizes)]
    return betti == [1, *(0 for _ in betti[1:])]

"""The score of a reordering of units: the inner product of one network's weights with the other's, reordered.

Unit i of the first network corresponds to unit p(i) of the second, with the sign sᵢ. A block of weights between units,
A of the first and B of the second, contributes

    Σᵢⱼ lᵢ rⱼ Aᵢⱼ B_{p(i)p(j)} = ⟨A, L B Rᵀ⟩

where L is the matrix X, with sᵢ at (i, p(i)), if rows change sign with their units, and else P, with 1 there; R is one
of both for columns. Features of units contribute ⟨F Gᵀ, X⟩ or ⟨F Gᵀ, P⟩. So the score is linear plus bilinear in the
*parts* P and X; a part that nothing depends on is left out.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dynatlas.measures.pairs import Array

Flips = tuple[tuple[bool, bool], ...]  # whether rows and columns change sign, of each block
Parts = Float[np.ndarray, "parts n n"]  # numbers by part, unit of the first and unit of the second network


class Reordering(NamedTuple):
    """Unit ``order[i]`` of the second network for unit i of the first, with its sign.

    Attributes:
        order: a permutation.
        signs: of 1 and −1.
    """

    order: Int[np.ndarray, " n"]
    signs: Float[np.ndarray, " n"]


class Units(NamedTuple):
    """The weights of one network.

    Attributes:
        between: blocks of weights between units, from the column's unit to the row's.
        flipping: features of units that change sign with their unit.
        steady: features that do not.
        others: weights of no unit.
    """

    between: Float[np.ndarray, "blocks n n"]
    flipping: Float[np.ndarray, "n f"]
    steady: Float[np.ndarray, "n g"]
    others: Float[np.ndarray, " k"]


class Score:
    """The score of the reorderings of two networks with weights of the same shape.

    Args:
        first: weights of the first network.
        second: weights of the second.
        flips: whether the rows and the columns of each block change sign with their units.
        signed: whether units may change sign at all.
    """

    def __init__(self, first: Units, second: Units, flips: Flips, *, signed: bool):
        self.first, self.second, self.flips = first, second, flips
        self.n = len(first.steady)
        self.constant = float(first.others @ second.others)
        linear = {False: first.steady @ second.steady.T, True: first.flipping @ second.flipping.T}
        used = {signed, *(kind for pair in flips for kind in pair), *([False] if first.steady.shape[1] else [])}
        self.parts = tuple(sorted(used))  # of each part, whether it is X
        self.linear: Parts = np.stack([linear[part] for part in self.parts])
        # ∂/∂L ⟨A, L B Rᵀ⟩ = A R Bᵀ, and ∂/∂R = Aᵀ L B: one product for all of them by the same part with the same one.
        halves: dict[tuple[bool, bool], list[tuple[Array, Array]]] = {}
        for A, B, (rows, columns) in zip(first.between, second.between, flips, strict=True):
            halves.setdefault((rows, columns), []).append((A, B.T))
            halves.setdefault((columns, rows), []).append((A.T, B))
        self._halves = [
            (self.parts.index(by), of, np.concatenate(lefts, axis=1, dtype=np.float32), np.asarray(rights, np.float32))
            for (by, of), pairs in halves.items()
            for lefts, rights in [zip(*pairs, strict=True)]
        ]

    def bilinear(self, at: Reordering) -> Parts:
        """Return the derivative of the bilinear part at a reordering, from products in single precision."""
        total = np.zeros_like(self.linear)
        for by, of, lefts, rights in self._halves:
            reordered = rights[:, at.order]
            if of:
                reordered *= at.signs[:, None].astype(np.float32)
            total[by] += lefts @ reordered.reshape(-1, self.n)
        return total

    def barycentre(self) -> Parts:
        """Return the derivative of the bilinear part at the mean of all reorderings: P = 1/n, X = 0."""
        total = np.zeros_like(self.linear)
        for by, of, lefts, rights in self._halves:
            if not of:
                sums = lefts.reshape(self.n, -1, self.n).sum(axis=2)
                total[by] += sums @ rights.mean(axis=1)
        return total

    def along(self, gradient: Parts, at: Reordering) -> float:
        """Return the inner product of a gradient with the parts of a reordering."""
        met = gradient[:, np.arange(self.n), at.order]
        return float(sum(row @ at.signs if part else row.sum() for part, row in zip(self.parts, met, strict=True)))

    def value(self, at: Reordering) -> float:
        """Return the score of a reordering, in single precision."""
        return self.constant + self.along(self.linear, at) + self.along(self.bilinear(at), at) / 2

    def along_barycentre(self, gradient: Parts) -> float:
        """Return the inner product of a gradient with the mean of all reorderings."""
        return float(sum(row.sum() for part, row in zip(self.parts, gradient, strict=True) if not part)) / self.n

    def signless(self, gradient: Parts) -> Float[np.ndarray, "n n"]:
        """Return what each unit of the first gains with each of the second, with the better sign."""
        rows = [np.abs(row) if part else row for part, row in zip(self.parts, gradient, strict=True)]
        return np.asarray(rows[0] if len(rows) == 1 else rows[0] + rows[1])

    def with_signs(self, order: Int[np.ndarray, " n"], gradient: Parts) -> Reordering:
        """Return a permutation with the signs that gain more along a gradient."""
        signs = np.ones(self.n)
        if True in self.parts:
            signs[gradient[self.parts.index(True), np.arange(self.n), order] < 0] = -1
        return Reordering(order, signs)

    def squared_distance(self, at: Reordering) -> float:
        """Return the squared norm of the difference of the weights, without the cancellation of 2 − 2 · score."""
        kept, flipped = np.ones(self.n), at.signs
        total = float(((self.first.others - self.second.others) ** 2).sum())
        for A, B, (rows, columns) in zip(self.first.between, self.second.between, self.flips, strict=True):
            left, right = flipped if rows else kept, flipped if columns else kept
            total += float(((A - left[:, None] * B[np.ix_(at.order, at.order)] * right) ** 2).sum())
        total += float(((self.first.flipping - flipped[:, None] * self.second.flipping[at.order]) ** 2).sum())
        return total + float(((self.first.steady - self.second.steady[at.order]) ** 2).sum())

"""Improvement of a reordering by exchanges of two units, with their signs kept or changed, and by changes of one sign.

With the second network in the order and with the signs of the first one's units, an exchange of i and j with relative
sign ε adds −v vᵀ to a part of the score (``score``), with v = eᵢ − ε eⱼ; a changed sign adds it with v = √2 eᵢ to X.
A block contributes ⟨A, L B Rᵀ⟩, so a move gains, apart from what is linear in it,

    (v_Lᵀ A v_R) (v_Lᵀ B v_R)

which is a few products for every pair; and the gradient changes by (A v_R)(B v_R)ᵀ and (Aᵀ v_L)(Bᵀ v_L)ᵀ.

Source: the 2-opt method for quadratic assignment, extended to signs.
"""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from dynatlas.measures.weights.score import Reordering, Score

GAIN: Final = 1e-12  # of the score, below which a move gains nothing


class _Move(NamedTuple):
    """An exchange of units i and j with a relative sign; for i = j, a change of its sign."""

    gain: float
    i: int
    j: int
    sign: int


def exchanged(score: Score, start: Reordering) -> Reordering:
    """Make the move that gains most until none gains."""
    state = _State(score, start)
    while (move := state.best()).gain > GAIN:
        state.make(move)
    return Reordering(state.order, state.signs)


class _State:
    """A reordering, and what tells the gain of every move."""

    def __init__(self, score: Score, start: Reordering):
        self.score = score
        self.order, self.signs = start.order.copy(), start.signs.copy()
        kept, free = np.ones(score.n), True in score.parts
        second = score.second.between[:, start.order[:, None], start.order]
        for place, (rows, columns) in enumerate(score.flips):
            second[place] *= (start.signs if rows else kept)[:, None] * (start.signs if columns else kept)
        self.second = second
        multipliers = np.stack([start.signs if part else kept for part in score.parts])
        self.gradient = score.linear[:, :, start.order] * multipliers[:, None]
        for A, B, (rows, columns) in zip(score.first.between, second, score.flips, strict=True):
            self.gradient[score.parts.index(rows)] += A @ B.T
            self.gradient[score.parts.index(columns)] += A.T @ B
        self.across = {
            sign: [_across(A, *self._of(place, sign)) for place, A in enumerate(score.first.between)]
            for sign in ((1, -1) if free else (1,))
        }

    def best(self) -> _Move:
        """Return the move that gains most."""
        moves = [self._best_exchange(sign) for sign in self.across]
        if True in self.score.parts:
            moves.append(self._best_change())
        return max(moves)

    def make(self, move: _Move) -> None:
        """Make a move, and update the gradient."""
        _, i, j, sign = move
        for k, (A, B, (rows, columns)) in enumerate(
            zip(self.score.first.between, self.second, self.score.flips, strict=True)
        ):
            of_rows, of_columns = self._of(k, sign)
            if i != j or columns:
                change = np.outer(_times(A, i, j, of_columns), _times(B, i, j, of_columns))
                self.gradient[self.score.parts.index(rows)] -= change
            if i != j or rows:
                change = np.outer(_times(A.T, i, j, of_rows), _times(B.T, i, j, of_rows))
                self.gradient[self.score.parts.index(columns)] -= change
        pair, swapped = ([i, j], [j, i]) if i != j else ([i], [i])
        self.order[pair] = self.order[swapped]
        self.signs[pair] = sign * self.signs[swapped]
        for part, gradient in zip(self.score.parts, self.gradient, strict=True):
            gradient[:, pair] = gradient[:, swapped] * (sign if part else 1)
        for B, (rows, columns) in zip(self.second, self.score.flips, strict=True):
            B[pair] = B[swapped] * (sign if rows else 1)
            B[:, pair] = B[:, swapped] * (sign if columns else 1)

    def _best_exchange(self, sign: int) -> _Move:
        gains = np.zeros((self.score.n, self.score.n))
        for part, gradient in zip(self.score.parts, self.gradient, strict=True):
            diagonal = gradient.diagonal()
            gains += sign * gradient if part else gradient
            gains -= diagonal
        gains += gains.T  # of both units
        for place, B in enumerate(self.second):
            gains += self.across[sign][place] * _across(B, *self._of(place, sign))
        np.fill_diagonal(gains, -np.inf)
        i, j = divmod(int(np.argmax(gains)), self.score.n)
        return _Move(float(gains[i, j]), i, j, sign)

    def _best_change(self) -> _Move:
        gains = -2 * self.gradient[self.score.parts.index(True)].diagonal()
        for A, B, flips in zip(self.score.first.between, self.second, self.score.flips, strict=True):
            if all(flips):
                gains = gains + 4 * A.diagonal() * B.diagonal()
        i = int(np.argmax(gains))
        return _Move(float(gains[i]), i, i, -1)

    def _of(self, block: int, sign: int) -> tuple[int, int]:
        """Return the relative signs of rows and of columns of a block."""
        rows, columns = self.score.flips[block]
        return sign if rows else 1, sign if columns else 1


def _across(weights: Float[np.ndarray, "n n"], of_rows: int, of_columns: int) -> Float[np.ndarray, "n n"]:
    """Return v_Lᵀ A v_R of every pair."""
    diagonal = weights.diagonal()
    mixed = weights.T if of_rows == of_columns else -weights.T  # of_rows · Aⱼᵢ + of_columns · Aᵢⱼ, up to of_columns
    ends = diagonal[:, None] + (of_rows * of_columns) * diagonal
    return np.asarray(ends - (weights + mixed) if of_columns > 0 else ends + (weights + mixed))


def _times(weights: Float[np.ndarray, "n n"], i: int, j: int, sign: int) -> Float[np.ndarray, " n"]:
    """Return A v of a move."""
    return np.asarray(np.sqrt(2) * weights[:, i] if i == j else weights[:, i] - sign * weights[:, j])

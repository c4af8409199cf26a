"""Validated distances between networks, with the quantities that several statistics share."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike


class Neighbours(NamedTuple):
    """Pairs of a network and its nearest neighbour. The neighbours of one network share a vote of 1."""

    network: Int[np.ndarray, " pairs"]
    neighbour: Int[np.ndarray, " pairs"]
    vote: Float[np.ndarray, " pairs"]


@dataclass(frozen=True, eq=False)
class DistanceMatrix:
    """Distances between networks: finite, at least 0, exactly symmetric, 0 on the diagonal.

    The functions of this package accept arrays, labelled arrays and instances of this class; an instance is not
    validated again.

    Attributes:
        values: [n, n], read-only.
        labels: names of the networks.

    Raises:
        ValueError: the values are not distances; the message names the defect and the networks.

    Example:
        >>> matrix = DistanceMatrix.of([[0, 3], [3, 0]])
        >>> DistanceMatrix.of(matrix) is matrix, matrix.labels
        (True, ('0', '1'))
    """

    values: NDArray[np.float64]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        values = _checked(self.values, self.labels)
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, distances: object) -> "DistanceMatrix":
        """Validate the distances passed to a public function; networks without labels are named by their index."""
        if isinstance(distances, cls):
            return distances
        # Masked distances are missing ones; NumPy would return what lies under the mask.
        if isinstance(distances, np.ma.MaskedArray):
            distances = np.where(distances.mask, np.nan, distances.data)
        values = np.asarray(distances, np.float64)
        numbers = np.arange(len(values) if values.ndim else 0)
        labels = np.asarray(getattr(distances, "coords", {}).get("network", numbers))
        return cls(values, tuple(map(str, labels if labels.shape == numbers.shape else numbers)))

    @cached_property
    def squares(self) -> Float[np.ndarray, "n n"]:
        """Squared distances d²."""
        squares: NDArray[np.float64] = self.values**2
        return squares

    @cached_property
    def neighbours(self) -> Neighbours:
        """Nearest neighbours of every network; neighbours at the same distance, up to rounding, share its vote."""
        others = self.values + np.diag(np.full(len(self), np.inf))
        nearest = others <= others.min(axis=1, keepdims=True) + 1e-12 * self.values.max()
        network, neighbour = np.nonzero(nearest)
        return Neighbours(network, neighbour, 1 / nearest.sum(axis=1)[network])


Distances = ArrayLike | DistanceMatrix  # [n, n]


def _checked(matrix: NDArray[np.float64], labels: tuple[str, ...]) -> Float[np.ndarray, "n n"]:
    """Return an exactly symmetric copy with a diagonal of 0."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"distances have shape {matrix.shape}; expected a square matrix [networks, networks]")
    if not np.isfinite(matrix).all():
        culprits = _culprits(~np.isfinite(matrix))
        raise ValueError(
            f"distances are NaN or infinite; leave out {len(culprits)} of {len(matrix)} networks: "
            f"{_listed(labels, culprits)}"
        )
    largest = float(matrix.max(initial=0))
    if matrix.size and matrix.min() < 0:
        row = int(np.unravel_index(matrix.argmin(), matrix.shape)[0])
        raise ValueError(
            f"distances go down to {matrix.min():g} (network {_listed(labels, [row])}); expected at least 0. "
            "Turn a similarity into a distance first"
        )
    asymmetry = np.abs(matrix - matrix.T)
    if asymmetry.max(initial=0) > 1e-9 * largest:
        pair = [int(index) for index in np.unravel_index(asymmetry.argmax(), matrix.shape)]
        raise ValueError(
            f"distances differ from their transpose by {asymmetry.max():g} (networks {_listed(labels, pair)}); "
            "expected a symmetric matrix. Average both directions first"
        )
    diagonal = np.diagonal(matrix)
    if diagonal.max(initial=0) > 1e-9 * largest:
        raise ValueError(
            f"network {_listed(labels, [int(diagonal.argmax())])} has distance {diagonal.max():g} from itself; "
            "expected 0. Turn a similarity into a distance first"
        )
    symmetric: NDArray[np.float64] = (matrix + matrix.T) / 2
    np.fill_diagonal(symmetric, 0)
    return symmetric


def _culprits(missing: NDArray[np.bool_]) -> list[int]:
    """Return a small set of networks whose removal leaves no missing value, since one network marks every row."""
    missing, culprits = missing | missing.T, []
    while missing.any():
        worst = int(missing.sum(axis=1).argmax())
        missing[worst] = missing[:, worst] = False
        culprits.append(worst)
    return sorted(culprits)


def _listed(labels: tuple[str, ...], indices: list[int], most: int = 5) -> str:
    """List the names of the first networks."""
    return ", ".join(labels[index] for index in indices[:most]) + (", …" if len(indices) > most else "")

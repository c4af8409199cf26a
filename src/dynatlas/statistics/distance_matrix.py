"""Validation of distance matrices."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


def checked_distances(distances: Any) -> Float[np.ndarray, "n n"]:
    """A distance matrix in float64, exactly symmetric, or a ValueError that says what is wrong with it."""
    matrix = np.asarray(distances, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"distances have shape {matrix.shape}; expected a square matrix [networks, networks]")
    if not np.isfinite(matrix).all():
        culprits = _culprits(~np.isfinite(matrix))
        raise ValueError(
            f"distances are NaN or infinite; leave out {len(culprits)} of {len(matrix)} networks: "
            f"{_listed(distances, culprits)}"
        )
    largest = float(matrix.max(initial=0))
    if matrix.size and matrix.min() < 0:
        row = int(np.unravel_index(matrix.argmin(), matrix.shape)[0])
        raise ValueError(
            f"distances go down to {matrix.min():g} (network {_listed(distances, [row])}); expected at least 0. "
            "Turn a similarity into a distance first"
        )
    asymmetry = np.abs(matrix - matrix.T)
    if asymmetry.max(initial=0) > 1e-9 * largest:
        pair = [int(index) for index in np.unravel_index(asymmetry.argmax(), matrix.shape)]
        raise ValueError(
            f"distances differ from their transpose by {asymmetry.max():g} (networks {_listed(distances, pair)}); "
            "expected a symmetric matrix. Average both directions first"
        )
    diagonal = np.diagonal(matrix)
    if diagonal.max(initial=0) > 1e-9 * largest:
        raise ValueError(
            f"network {_listed(distances, [int(diagonal.argmax())])} has distance {diagonal.max():g} from itself; "
            "expected 0. Turn a similarity into a distance first"
        )
    symmetric: NDArray[np.float64] = (matrix + matrix.T) / 2
    np.fill_diagonal(symmetric, 0)
    return symmetric


def _culprits(missing: NDArray[np.bool_]) -> list[int]:
    """A small set of networks without which nothing is missing: one bad network marks everyone's row."""
    missing, culprits = missing | missing.T, []
    while missing.any():
        worst = int(missing.sum(axis=1).argmax())
        missing[worst] = missing[:, worst] = False
        culprits.append(worst)
    return sorted(culprits)


def _listed(distances: Any, indices: list[int], most: int = 5) -> str:
    """The networks' names, where the distances carry them, and else their numbers."""
    labels = getattr(distances, "coords", {}).get("network", np.arange(len(distances)))
    names = [str(np.asarray(labels)[index]) for index in indices[:most]]
    return ", ".join(names) + (", …" if len(indices) > most else "")

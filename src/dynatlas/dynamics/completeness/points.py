"""A root or slow point, characterised by its Jacobian."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.linearization import mode_order

# Roots whose I − J is this close to singular have no index that float64 could determine.
DEGENERATE = 1e-9


@dataclass
class Point:
    """A root or slow point."""

    state: NDArray[np.float64]
    q: float
    is_slow: bool
    n_unstable: int
    eigenvalues: NDArray[np.complex128]
    direction: NDArray[np.float64]  # real part of the leading eigenvector, along which starts are added
    unstable_directions: NDArray[np.float64]  # real and imaginary parts of the eigenvectors with |λ| > 1
    index: int
    hits: int
    newton_step: float
    error: float  # distance within which the root lies
    on_kink: bool

    @classmethod
    def at(
        cls,
        state: NDArray[np.float64],
        q: float,
        is_slow: bool,
        jacobian: NDArray[np.float64],
        sides: NDArray[np.float64],
        hits: int,
        newton_step: float,
    ) -> "Point":
        """Characterise a point by its Jacobian, and by those on all sides if it is on a kink."""
        eigenvalues, vectors = np.linalg.eig(jacobian)
        order = mode_order(eigenvalues)
        identity = np.eye(len(state))
        signs = np.linalg.slogdet(identity - sides)[0]
        smallest = float(np.linalg.svd(identity - sides, compute_uv=False)[:, -1].min())
        # Around a kink the map is linear in cones. If all have the same orientation, the index is their sign.
        index = int(signs[0]) if not is_slow and smallest >= DEGENERATE and (signs == signs[0]).all() else 0
        return cls(
            state=state,
            q=q,
            is_slow=is_slow,
            n_unstable=int((np.abs(eigenvalues) > 1).sum()),
            eigenvalues=eigenvalues[order].astype(complex),
            direction=np.ascontiguousarray(vectors[:, order[0]].real),
            unstable_directions=_real_directions(vectors[:, np.abs(eigenvalues) > 1]),
            index=index,
            hits=hits,
            newton_step=newton_step,
            # I − J turns the rounding error of F(h) − h into an error of the point.
            error=newton_step + 16 * np.finfo(float).eps * float(np.linalg.norm(state)) / max(smallest, 1e-300),
            on_kink=len(sides) > 1,
        )


def length_of_newton_step(residual: NDArray[np.float64], jacobian: NDArray[np.float64]) -> float:
    """Return the length of the Newton step, with the gates divided out."""
    matrix = jacobian - np.eye(len(residual))
    # Each row is scaled to length 1 together with its residual, which cancels the gates. A direction without restoring
    # force, as along a line attractor, then has singular value 0 and is ignored.
    lengths = np.linalg.norm(matrix, axis=1)
    scale = np.where(lengths > 0, lengths, 1)
    return float(np.linalg.norm(np.linalg.lstsq(matrix / scale[:, None], residual / scale, rcond=1e-8)[0]))


def _real_directions(vectors: NDArray[np.inexact]) -> NDArray[np.float64]:
    """Return unit vectors [k, n] along the real and the imaginary parts of eigenvectors [n, k]."""
    parts = np.concatenate([vectors.real, vectors.imag], axis=1).T
    lengths = np.linalg.norm(parts, axis=1)
    return np.asarray(parts[lengths > 1e-9] / lengths[lengths > 1e-9, None])

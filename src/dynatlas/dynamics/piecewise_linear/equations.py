"""The roots of a relu map as the solutions of z = relu(M z + e).

A step of affine operations and relus is F(h) = A h + B z + c with z = relu(C h + E z + d) (``program``). Its roots are
h = (I − A)⁻¹(B z + c), and z solves z = relu(M z + e) with

    M = C (I − A)⁻¹ B + E,    e = C (I − A)⁻¹ c + d.

For h' = (1 − α)h + α relu(W h + b), M is W and e is b, whatever α. The index of a root is sign det(I − A) times that of
z, since det(I − J) = det(I − A) det(I − S M), with S the 0s and 1s of the relus that are on.

*Update gates* do not matter: h' = g∘h + (1 − g)∘c with a gate 0 < g < 1 rests exactly where c = h. A step with gates is
read with all gates at ½, and with others at random: where each row of F(h) − h only is multiplied by a gate or by 1 −
gate, the roots and their indices are the same for all gates. This holds for the UGRNN, not for the GRU, whose reset
gate acts inside the relu, nor for the LSTM.

The problem is a linear complementarity problem: z ≥ 0, w = z − M z − e ≥ 0, and z_i w_i = 0.

Source: Cottle, Pang & Stone 1992.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas.dynamics.piecewise_linear.program import NotPiecewiseLinearError, Program, read_program
from dynatlas.dynamics.step import Step

GATES = 8  # the most, per state variable
SAME = 1e-9  # relative difference of equal rows
REGULAR = 1e-9  # smallest singular value of I − A


class ReluEquations(NamedTuple):
    """z = relu(M z + e), and the root h = H z + k of each solution.

    Attributes:
        weights: M [m, m].
        constant: e [m].
        to_state: H [n, m].
        offset: k [n].
        orientation: sign det(I − A).
    """

    weights: NDArray[np.float64]
    constant: NDArray[np.float64]
    to_state: NDArray[np.float64]
    offset: NDArray[np.float64]
    orientation: int

    def states(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the roots [p, n] of solutions z [p, m]."""
        return values @ self.to_state.T + self.offset


def relu_equations(step: Step, n: int, inputs: Float[Array, " m"] | None) -> ReluEquations | None:
    """Return the equations of a step of affine operations, relus and update gates, or None if it is no such step.

    Call it where 64 bits are enabled.

    Args:
        step: the step function.
        n: state variables.
        inputs: static inputs [m], or None.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> with jax.enable_x64(True):
        ...     equations = relu_equations(lambda h, x: 0.9 * h + 0.1 * jax.nn.relu(2 * h - 1), 1, None)
        >>> equations.weights.round(12).tolist(), equations.constant.tolist()
        ([[2.0]], [-1.0])
    """
    try:
        program = read_program(step, n, inputs, np.full(GATES * n, 0.5))
        rest = np.eye(n) - program.state
        if not np.isfinite(rest).all() or np.linalg.svd(rest, compute_uv=False)[-1] < REGULAR:
            return None
        if program.n_gates and not _gates_do_not_matter(step, n, inputs, program):
            return None
    except NotPiecewiseLinearError:
        return None
    to_state, offset = (
        np.asarray(np.linalg.solve(rest, driven), np.float64) for driven in (program.relus, program.constant)
    )
    weights = program.inner_state @ to_state + program.inner_relus
    constant = program.inner_state @ offset + program.inner_constant
    if not (len(constant) and np.isfinite(weights).all() and np.isfinite(constant).all()):
        return None
    return ReluEquations(weights, constant, to_state, offset, int(np.linalg.slogdet(rest)[0]))


def _gates_do_not_matter(step: Step, n: int, inputs: Float[Array, " m"] | None, half: Program) -> bool:
    """Whether each row of F(h) − h is multiplied by a gate, or by 1 − gate, and nothing else changes."""
    random = np.random.default_rng(0)
    for _ in range(2):
        gates = random.uniform(0.1, 0.9, GATES * n)
        other = read_program(step, n, inputs, gates)
        same = zip(half.inner, other.inner, strict=True)
        if not all(np.allclose(first, second, rtol=SAME, atol=SAME) for first, second in same):
            return False
        rows, changed = half.residual_rows(), other.residual_rows()
        largest = np.abs(rows).argmax(axis=1)[:, None]
        ratios = np.take_along_axis(changed, largest, 1) / np.take_along_axis(rows, largest, 1)
        if not np.allclose(changed, ratios * rows, rtol=SAME, atol=SAME):
            return False
        used = gates[: half.n_gates]
        factors = 2 * np.concatenate([used, 1 - used, [0.5]])
        if not (np.abs(ratios - factors).min(axis=1) < SAME).all():
            return False
    return True

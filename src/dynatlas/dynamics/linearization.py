"""Linear dynamics around points: Jacobians, eigenvectors, time scales, responses of the modes.

Near a point h* under the input x*, a network follows Δh' = J Δh + J_in Δx. With J = R Λ L and L = R⁻¹, mode a receives
an input through its left eigenvector l_a (a row of L), retains it by λ_aᵏ over k steps, and expresses it along its
right eigenvector r_a.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike, in_chunks
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas.dynamics.step import Step, next_state, static_inputs

# With a larger condition number of the eigenbasis, left eigenvectors have lost half of their digits.
ILL_CONDITIONED = 1e8
CHUNK = 16  # points per call of the compiled Jacobians


@dataclass(frozen=True, eq=False, repr=False)
class Linearization(SummaryRepr):
    """Linear dynamics around p points of a map with n states and m inputs.

    Modes are sorted by descending |λ|; complex pairs stay together, the positive frequency first.

    Attributes:
        jacobian: J = ∂F/∂h [p, n, n].
        input_jacobian: J_in = ∂F/∂x [p, n, m]; m is 0 if the map takes no input.
        eigenvalues: λ [p, n].
        right: right eigenvectors of length 1, as columns [p, n, n].
        left: left eigenvectors as rows, so that ``left @ right`` is the identity [p, n, n]; NaN where the eigenbasis is
            singular, as for a defective Jacobian.
        condition: condition number of the eigenbasis [p]: 1 for a normal Jacobian, infinite for a defective one.
    """

    jacobian: NDArray[np.float64]
    input_jacobian: NDArray[np.float64]
    eigenvalues: NDArray[np.complex128]
    right: NDArray[np.complex128]
    left: NDArray[np.complex128]
    condition: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.jacobian)

    @property
    def time_constants(self) -> NDArray[np.float64]:
        """Steps in which a mode shrinks or grows by e: 1/|ln|λ|| [p, n]. Infinite on the unit circle, 0 for λ = 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(1 / np.abs(np.log(np.abs(self.eigenvalues))))

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Cycles per step: arg λ / 2π, in (−½, ½] [p, n]."""
        return np.asarray(np.angle(self.eigenvalues) / (2 * np.pi))

    @property
    def n_unstable(self) -> NDArray[np.int64]:
        """Eigenvalues with |λ| > 1 [p]."""
        return np.asarray((np.abs(self.eigenvalues) > 1).sum(axis=1))

    @property
    def non_normality(self) -> NDArray[np.float64]:
        """Henrici's departure from normality, √(‖J‖² − Σ|λ|²)/‖J‖ in the Frobenius norm [p].

        0 for a normal Jacobian, 1 for a nilpotent one.
        """
        total = (self.jacobian**2).sum(axis=(1, 2))
        departure = np.maximum(total - (np.abs(self.eigenvalues) ** 2).sum(axis=1), 0)
        return np.sqrt(_ratio(departure, total))

    @property
    def is_ill_conditioned(self) -> NDArray[np.bool_]:
        """Whether left eigenvectors, and results computed from them, are unreliable [p]."""
        return np.asarray(self.condition > ILL_CONDITIONED)

    def selection(self, mode: int = 0) -> NDArray[np.float64]:
        """Alignment of a mode's left eigenvector with each input: |lᵀ J_in| / (‖l‖ ‖J_in‖) [p, m].

        0 if the mode ignores the input, 1 if the input is parallel to the left eigenvector.
        """
        left = self.left[:, mode]
        taken = np.abs(np.einsum("pn,pnm->pm", left, self.input_jacobian))
        most = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(self.input_jacobian, axis=1)
        return _ratio(taken, most)

    def _summary(self) -> Summary:
        points, states, inputs = self.input_jacobian.shape
        radius = np.abs(self.eigenvalues).max(axis=1) if points else np.zeros(0)
        rows = [("unstable modes", _range(self.n_unstable)), ("spectral radius", _range(radius))]
        if self.is_ill_conditioned.any():
            rows += [("ill-conditioned", f"{int(self.is_ill_conditioned.sum())} of {points} eigenbases")]
        return Summary("Linearization", (("points", str(points)), ("states, inputs", f"{states}, {inputs}"), *rows))


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide elementwise; 0 where the denominator is 0."""
    ratio = np.zeros_like(numerator)
    return np.divide(numerator, denominator, out=ratio, where=denominator > 0)


def _range(values: NDArray[np.int64] | NDArray[np.float64]) -> str:
    """Format the smallest and the largest value."""
    ends = [f"{end:.4g}" for end in (values.min(), values.max())] if len(values) else ["–"]
    return " to ".join(dict.fromkeys(ends))


def linearize(step: Step, states: ArrayLike, inputs: ArrayLike | None = None) -> Linearization:
    """Linearise ``step`` around each state under one static input, in float64.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``, any JAX-traceable function.
        states: [p, n], or one state [n].
        inputs: [m], or None if ``step`` ignores them.

    Raises:
        ValueError: a Jacobian is not finite.

    Example:
        A rotation by an eighth of a turn per step that halves the distance:

        >>> turn = np.pi / 4
        >>> matrix = 0.5 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        >>> around = linearize(lambda h, x: matrix @ h, np.zeros(2))
        >>> around.frequencies.round(3).tolist(), around.time_constants.round(3).tolist()
        ([[0.125, -0.125]], [[1.443, 1.443]])

    Source: Sussillo & Barak 2013; Mante et al. 2013 for the selection by left eigenvectors.
    """
    points = np.atleast_2d(np.asarray(states, np.float64))
    count = len(points)
    with jax.enable_x64(True):
        static = static_inputs(inputs)
        jacobian, input_jacobian = in_chunks(lambda chunk: _jacobians(step, chunk, static), points, CHUNK)
    broken = ~np.isfinite(jacobian).all(axis=(1, 2))
    if broken.any():
        raise ValueError(f"the Jacobian is not finite at {int(broken.sum())} of {count} states; remove those")
    eigenvalues, right = np.linalg.eig(jacobian)
    order = mode_order(eigenvalues)
    eigenvalues = np.take_along_axis(eigenvalues.astype(complex), order, axis=1)
    right = np.take_along_axis(right.astype(complex), order[:, None, :], axis=2)
    scales = np.linalg.svd(right, compute_uv=False)
    condition = np.divide(scales[:, 0], scales[:, -1], out=np.full(count, np.inf), where=scales[:, -1] > 0)
    left = np.full_like(right, np.nan)
    invertible = condition < 1 / np.finfo(float).eps
    left[invertible] = np.linalg.inv(right[invertible])
    return Linearization(jacobian, input_jacobian, eigenvalues, right, left, np.where(invertible, condition, np.inf))


def mode_order(eigenvalues: NDArray[np.inexact]) -> NDArray[np.int64]:
    """Return indices [..., n] that sort eigenvalues by descending |λ|, complex pairs together, positive arg first."""
    return np.lexsort((-eigenvalues.imag, np.abs(np.angle(eigenvalues)), -np.abs(eigenvalues)), axis=-1)


def unstable_direction(around: Linearization) -> NDArray[np.float64]:
    """Return the unit right eigenvector of the largest |λ| at each point [p, n]; NaN where no |λ| exceeds 1.

    For a complex pair, the direction is that of the real part.
    """
    leading = around.right[:, :, 0].real
    unit = leading / np.linalg.norm(leading, axis=1, keepdims=True)
    return np.where(around.n_unstable[:, None] > 0, unit, np.nan)


def integrated_response(
    around: Linearization, readout_weights: ArrayLike, direction: ArrayLike, steps: int
) -> NDArray[np.float64]:
    """Return the readout of the m largest modes k steps after a unit input, for each m from 1 to n.

    y_m(k) = Re Σ_{a ≤ m} λ_aᵏ (R_out r_a)(l_aᵀ J_in e). A perfect integrator responds with 1 from one mode. The two
    modes of a complex pair enter together: at the first, the response is that of the modes before it.

    Args:
        around: linear dynamics around p points.
        readout_weights: R_out [n], without the bias; [p, n] for a readout that is linearised at each point.
        direction: e [m], the input.
        steps: k.

    Returns:
        [p, n]: y_m at each point; NaN where the eigenbasis is singular.

    Source: Maheswaranathan et al. 2019 (their figure 3f), who do not report k.
    """
    if steps < 0:
        raise ValueError(f"steps is {steps}; expected 0 or more")
    weights = np.asarray(readout_weights, float)
    readout = np.einsum("n,pna->pa" if weights.ndim == 1 else "pn,pna->pa", weights, around.right)
    taken = np.einsum("pan,pnm,m->pa", around.left, around.input_jacobian, np.asarray(direction, float))
    terms = (around.eigenvalues**steps * readout * taken).real
    terms[np.isnan(around.left).any(axis=(1, 2))] = np.nan
    response = np.cumsum(terms, axis=1)
    first_of_pair = around.eigenvalues.imag > 0
    before = np.concatenate([np.zeros((len(response), 1)), response[:, :-1]], axis=1)
    return np.where(first_of_pair, before, response)


def modes_needed(response: NDArray[np.float64], share: float = 0.9) -> NDArray[np.int64]:
    """Return the smallest m such that m or more modes respond within 1 − ``share`` of the full response [p].

    ``response`` comes from ``integrated_response``; the result is −1 where it is not finite.

    Example:
        >>> modes_needed(np.array([[0.5, 0.95, 1.0], [1.0, 1.0, 1.0]])).tolist()
        [2, 1]
    """
    full = response[:, -1:]
    off = np.abs(response - full) > (1 - share) * np.abs(full)
    n = response.shape[1]
    last_off = np.where(off.any(axis=1), n - 1 - off[:, ::-1].argmax(axis=1), -1)
    return np.where(np.isfinite(response).all(axis=1), last_off + 2, -1)


def shares_of_activity(points: ArrayLike, visited: ArrayLike) -> NDArray[np.float64]:
    """Return the share of the visited states [samples, n] to which each point [p, n] is the nearest [p].

    The shares weight what is averaged over points: a point that no state is nearest to describes no activity.

    Example:
        >>> shares_of_activity([[0.0], [10.0], [99.0]], [[1.0], [2.0], [3.0], [8.0]]).tolist()
        [0.75, 0.25, 0.0]
    """
    states, samples = np.asarray(points, np.float64), np.asarray(visited, np.float64)
    if not len(states):
        return np.zeros(0)
    # ‖s − p‖² less ‖s‖², which is the same for all points.
    nearest = ((states**2).sum(axis=1) - 2 * samples @ states.T).argmin(axis=1)
    return np.bincount(nearest, minlength=len(states)) / len(samples)


@eqx.filter_jit
def _jacobians(
    step: Step, states: Float[Array, "p n"], inputs: Float[Array, " m"] | None
) -> tuple[Float[Array, "p n n"], Float[Array, "p n m"]]:
    if inputs is None:
        return jax.vmap(jax.jacfwd(lambda h: next_state(step, h, None)))(states), jnp.zeros((*states.shape, 0))
    by_state, by_inputs = jax.vmap(jax.jacfwd(step, argnums=(0, 1)), in_axes=(0, None))(states, inputs)
    return by_state, by_inputs

"""Newton's method for bifurcations, by minimally augmented systems.

*An eigenvalue on the unit circle.* With μ = e^{iθ}, A = J − μI is singular where g = 0, for

    [A  b] [v]   [0]        [Aᵀ c̄] [w]   [0]
    [c̄ᵀ 0] [g] = [1],       [bᵀ 0] [γ] = [1],        dg = −wᵀ dA v.

The unknowns are x and θ. Folds have θ = 0, flips θ = π; for a Neimark–Sacker bifurcation both parts of g vanish.

*A branch point.* There G_x has a null space of two dimensions, near the columns of C, and a left null vector near b:

    [G_x b] [V]   [0]       [G_xᵀ C] [w]   [0]
    [Cᵀ  0] [g] = [I],      [bᵀ   0] [γ] = [1],      dg = −wᵀ dG_x V.

The unknowns are x and ε, and G(x) + εb = 0, g = 0: at a solution with ε ≠ 0 two branches come near and do not meet. The
directions ξ of the branches are the roots of ξᵀQξ = 0 with Q = wᵀ G_xx[V, V].

Source: Govaerts, "Numerical Methods for Bifurcations of Dynamical Equilibria", 2000, chapters 3, 4 and 8; Griewank &
Reddien 1984.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float
from numpy.typing import NDArray

from dynatlas.dynamics.continuation.curve import Curve, CurvePoint, null_vectors

NEWTON_STEPS = 12
# Located, if the equations hold to this and the last Newton step is as short, relative to the size of the point.
LOCATED = 1e-9


class Critical(NamedTuple):
    """A point whose Jacobian has an eigenvalue on the unit circle.

    Attributes:
        x: the point [n + 1].
        angle: θ of the eigenvalue.
        residual: norm of the augmented system.
        step: length of the last Newton step.
    """

    x: NDArray[np.float64]
    angle: float
    residual: float
    step: float

    @property
    def is_located(self) -> bool:
        """Whether Newton's method converged."""
        return _is_located(self.x, self.residual, self.step)


class BranchPoint(NamedTuple):
    """A point at which two branches cross.

    Attributes:
        x: the point [n + 1].
        unfolding: ε, which is 0 if the branches meet.
        residual: norm of the augmented system.
        step: length of the last Newton step.
        null_space: V [n + 1, 2].
        form: Q [2, 2].
    """

    x: NDArray[np.float64]
    unfolding: float
    residual: float
    step: float
    null_space: NDArray[np.float64]
    form: NDArray[np.float64]

    @property
    def is_located(self) -> bool:
        """Whether Newton's method converged to a point at which the branches meet."""
        return _is_located(self.x, self.residual, self.step) and abs(self.unfolding) < LOCATED

    @property
    def tangents(self) -> NDArray[np.float64]:
        """Unit tangents of the branches [k, n + 1]: two, or none if Q is not indefinite."""
        # In orthonormal coordinates of the null space, so that a size of Q means something.
        basis, factor = np.linalg.qr(self.null_space)
        inverse = np.linalg.inv(factor)
        form = inverse.T @ self.form @ inverse
        values, vectors = np.linalg.eigh(form)
        if not (values[0] < 0 < values[1] and -values[0] * values[1] > LOCATED * np.abs(form).max() ** 2 > 0):
            return np.zeros((0, len(self.x)))
        along = np.sqrt([values[1], -values[0]])
        return np.stack([basis @ (vectors @ (along * signs)) for signs in ((1, 1), (1, -1))]) / np.linalg.norm(along)


def _is_located(x: NDArray[np.float64], residual: float, step: float) -> bool:
    size = 1 + float(np.linalg.norm(x))
    return bool(np.isfinite(x).all() and residual < LOCATED * size and step < LOCATED * size)


def locate_critical(curve: Curve, near: CurvePoint, angle: float, *, is_complex: bool) -> Critical:
    """Locate an eigenvalue e^{iθ} from a point near it; θ is kept unless ``is_complex``."""
    x, matrix = near.x, near.matrix[:, :-1]
    shifted = matrix + (1 - np.exp(1j * angle)) * np.eye(len(matrix))
    left, _, right = np.linalg.svd(shifted)
    found = _critical(
        curve, jnp.asarray(x), jnp.asarray(angle), jnp.asarray(left[:, -1]), jnp.asarray(right[-1].conj()),
        jnp.asarray(is_complex),
    )  # fmt: skip
    return Critical(np.asarray(found[0]), float(found[1]), float(found[2]), float(found[3]))


def locate_branch_point(curve: Curve, near: CurvePoint) -> BranchPoint:
    """Locate a branch point from a point near it."""
    right, left, _ = null_vectors(near.matrix)
    found = _branch_point(curve, jnp.asarray(near.x), jnp.asarray(left), jnp.asarray(right.T))
    return BranchPoint(
        np.asarray(found[0]), float(found[1]), float(found[2]), float(found[3]), np.asarray(found[4]),
        np.asarray(found[5]),
    )  # fmt: skip


@eqx.filter_jit
def _critical(
    curve: Curve,
    x: Float[Array, " n1"],
    angle: Float[Array, ""],
    left: Complex[Array, " n"],
    right: Complex[Array, " n"],
    is_complex: Array,
) -> tuple[Float[Array, " n1"], Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    n = left.shape[0]
    unit = jnp.zeros(n + 1, complex).at[-1].set(1)

    def image(x: Float[Array, " n1"], v: Float[Array, " n"]) -> Float[Array, " n"]:
        along: Float[Array, " n"] = jax.jvp(curve, (x,), (jnp.append(v, 0.0),))[1]
        return along + v

    def improve(_: Array | int, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        x, angle = carry[:2]
        value, matrix = curve.derivative(x)
        multiplier = jnp.exp(1j * angle)
        shifted = matrix[:, :-1] + (1 - multiplier) * jnp.eye(n)
        bordered = jnp.block([[shifted, left[:, None]], [right.conj()[None], jnp.zeros((1, 1))]])
        solution = jnp.linalg.solve(bordered, unit)
        v, g = solution[:-1], solution[-1]
        w = jnp.linalg.solve(bordered.T, unit)[:-1]

        def product(x: Float[Array, " n1"]) -> Float[Array, "2"]:
            real, imaginary = image(x, v.real), image(x, v.imag)
            return jnp.stack(
                [w.real @ real - w.imag @ imaginary, w.real @ imaginary + w.imag @ real],
            )

        slopes = -jax.jacrev(product)(x)
        by_angle = 1j * multiplier * (w @ v)
        zeros = jnp.zeros(n + 1)
        system = jnp.concatenate(
            [
                jnp.append(matrix, jnp.zeros((n, 1)), axis=1),
                jnp.append(slopes[0], jnp.where(is_complex, by_angle.real, 0.0))[None],
                jnp.where(is_complex, jnp.append(slopes[1], by_angle.imag), jnp.append(zeros, 1.0))[None],
            ]
        )
        wrong = jnp.concatenate([value, jnp.stack([g.real, jnp.where(is_complex, g.imag, 0.0)])])
        change = jnp.linalg.solve(system, wrong)
        return x - change[:-1], angle - change[-1], jnp.linalg.norm(wrong), jnp.linalg.norm(change)

    far = jnp.asarray(jnp.inf, x.dtype)
    found: tuple[Array, Array, Array, Array] = jax.lax.fori_loop(0, NEWTON_STEPS, improve, (x, angle, far, far))
    return found


@eqx.filter_jit
def _branch_point(
    curve: Curve, x: Float[Array, " n1"], left: Float[Array, " n"], right: Float[Array, "n1 2"]
) -> tuple[
    Float[Array, " n1"], Float[Array, ""], Float[Array, ""], Float[Array, ""], Float[Array, "n1 2"], Float[Array, "2 2"]
]:
    n = left.shape[0]

    def improve(_: Array | int, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        x, unfolding = carry[:2]
        value, matrix = curve.derivative(x)
        bordered = jnp.block([[matrix, left[:, None]], [right.T, jnp.zeros((2, 1))]])
        solution = jnp.linalg.solve(bordered, jnp.concatenate([jnp.zeros((n, 2)), jnp.eye(2)]))
        null_space, g = solution[:-1], solution[-1]
        w = jnp.linalg.solve(bordered.T, jnp.zeros(n + 2).at[-1].set(1))[:n]

        def product(x: Float[Array, " n1"]) -> Float[Array, "2"]:
            return jnp.stack([w @ jax.jvp(curve, (x,), (null_space[:, i],))[1] for i in range(2)])

        slopes = jax.jacrev(product)(x)
        system = jnp.block([[matrix, left[:, None]], [-slopes, jnp.zeros((2, 1))]])
        wrong = jnp.concatenate([value + unfolding * left, g])
        change = jnp.linalg.solve(system, wrong)
        return (
            x - change[:-1],
            unfolding - change[-1],
            jnp.linalg.norm(wrong),
            jnp.linalg.norm(change),
            null_space,
            slopes @ null_space,
        )

    far = jnp.asarray(jnp.inf, x.dtype)
    start = (x, jnp.zeros((), x.dtype), far, far, right, jnp.zeros((2, 2), x.dtype))
    found: tuple[Array, Array, Array, Array, Array, Array] = jax.lax.fori_loop(0, NEWTON_STEPS, improve, start)
    return found

"""Lyapunov exponents: the mean rates at which nearby states move apart along a trajectory."""

from dataclasses import dataclass
from typing import Final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas.dynamics.step import Step, check_step, next_frame

BATCHES: Final = 32  # of steps, whose means give the standard errors


@dataclass(frozen=True, eq=False, repr=False)
class LyapunovSpectrum(SummaryRepr):
    """The leading Lyapunov exponents of one trajectory.

    Attributes:
        exponents: mean logarithmic growth of perturbations per step, largest first [k].
        standard_errors: of the exponents, from the means of 32 successive batches of steps [k]. They are too small if
            the growth is correlated over more than a batch.
        last_state: the state after the last step [n].
    """

    exponents: NDArray[np.float64]
    standard_errors: NDArray[np.float64]
    last_state: NDArray[np.float64]

    @property
    def dimension(self) -> float:
        """Kaplan–Yorke dimension: j + (λ₁ + … + λⱼ)/|λⱼ₊₁| for the largest j whose sum is not negative.

        NaN if the sum of all computed exponents is not negative while there are others.
        """
        sums = np.cumsum(self.exponents)
        count = int((sums >= 0).sum()) if sums[0] >= 0 else 0
        if count == 0:
            return 0.0
        if count == len(sums):
            return float(count) if len(sums) == len(self.last_state) else float("nan")
        return float(count + sums[count - 1] / abs(self.exponents[count]))

    def _summary(self) -> Summary:
        shown = ", ".join(f"{value:.4g} ± {error:.1g}" for value, error in zip(*self._pairs(), strict=True))
        return Summary("LyapunovSpectrum", (("exponents", shown), ("dimension", f"{self.dimension:.3g}")))

    def _pairs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.exponents[:6], self.standard_errors[:6]


def lyapunov_spectrum(
    step: Step,
    state: ArrayLike,
    inputs: ArrayLike | None = None,
    *,
    n_exponents: int | None = None,
    steps: int = 10_000,
    settle: int = 1_000,
) -> LyapunovSpectrum:
    """Compute the leading Lyapunov exponents along a trajectory, autonomous or driven by inputs, in float64.

    Tangent vectors are carried along by the Jacobian and orthonormalised at every step, Q R = J Q₋; the exponents are
    the means of ln |R_ii|. Under inputs that vary they are conditional on these inputs: negative ones mean that the
    network forgets its initial state, and follows its input.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``, any JAX-traceable function.
        state: the initial state [n].
        inputs: None; static [m]; or one for each step [settle + steps, m], of which ``settle`` and ``steps`` are used.
        n_exponents: number of exponents; by default all n.
        steps: steps over which growth is averaged, at least 32.
        settle: steps before that, in which the state reaches the attractor, and the tangent vectors their directions.

    Raises:
        ValueError: shapes do not fit; fewer than 32 steps; fewer inputs than steps; the state diverges.

    Example:
        >>> def henon(state, inputs):
        ...     x, y = state
        ...     return jnp.array([1 - 1.4 * x**2 + y, 0.3 * x])
        >>> found = lyapunov_spectrum(henon, [0.1, 0.1], steps=20_000)
        >>> found.exponents.round(1).tolist(), round(float(found.exponents.sum()), 6)
        ([0.4, -1.6], -1.203973)

    Source: Benettin et al. 1980; Engelken, Wolf & Abbott 2023 for driven recurrent networks. The sum −1.203973 above is
    ln 0.3, as the determinant of the Hénon map's Jacobian is −0.3 everywhere.
    """
    with jax.enable_x64(True):
        start = np.asarray(state, np.float64)
        if start.ndim != 1 or not start.size or not np.isfinite(start).all():
            raise ValueError(f"state has shape {start.shape}; expected [n], with finite numbers")
        if steps < BATCHES or settle < 0:
            raise ValueError(f"steps is {steps} and settle {settle}; expected at least {BATCHES} and 0")
        count = len(start) if n_exponents is None else n_exponents
        if not 1 <= count <= len(start):
            raise ValueError(f"n_exponents is {n_exponents}; expected 1 to {len(start)}, the size of the state")
        given = None if inputs is None else jnp.asarray(np.asarray(inputs, np.float64))
        if given is not None and (given.ndim > 2 or (given.ndim == 2 and len(given) < settle + steps)):
            raise ValueError(
                f"inputs has shape {given.shape}; expected [m], or [steps, m] with at least settle + steps = "
                f"{settle + steps:,} rows"
            )
        is_driven = given is not None and given.ndim == 2
        check_step(step, start, given[0] if is_driven and given is not None else given)
        frame = np.linalg.qr(np.random.default_rng(0).normal(size=(len(start), count)))[0]
        driving = [given[:settle], given[settle : settle + steps]] if is_driven and given is not None else [given] * 2
        begun = _carried(step, jnp.asarray(start), jnp.asarray(frame), driving[0], settle, is_driven=is_driven)
        ended = _carried(step, begun[0], begun[1], driving[1], steps, is_driven=is_driven)
        last, growths = np.asarray(ended[0]), np.asarray(ended[2])
    if not np.isfinite(last).all() or not np.isfinite(growths[:, 0]).all():
        raise ValueError("the trajectory diverges, or its Jacobian is not finite; start from another state")
    exponents = growths.mean(axis=0)
    means = np.stack([batch.mean(axis=0) for batch in np.array_split(growths, BATCHES)])
    order = np.argsort(-exponents, kind="stable")
    errors = means.std(axis=0, ddof=1) / np.sqrt(BATCHES)
    return LyapunovSpectrum(exponents[order], errors[order], last)


@eqx.filter_jit
def _carried(
    step: Step,
    state: Float[Array, " n"],
    frame: Float[Array, "n k"],
    inputs: Float[Array, "..."] | None,
    steps: int,
    *,
    is_driven: bool,
) -> tuple[Float[Array, " n"], Float[Array, "n k"], Float[Array, "steps k"]]:
    """Carry a state and a frame of tangent vectors along; return them and the logarithmic growths."""

    def advance(carry: tuple[Array, Array], now: Array | None) -> tuple[tuple[Array, Array], Array]:
        state, frame, growth = next_frame(step, *carry, now if is_driven else inputs)
        return (state, frame), growth

    (state, frame), growths = jax.lax.scan(advance, (state, frame), inputs if is_driven else None, length=steps)
    return state, frame, growths

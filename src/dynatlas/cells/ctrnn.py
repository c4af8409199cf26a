"""The leaky rate network (continuous-time recurrent network), in both of its forms.

With φ the activation, x the input, and α = dt/τ of an Euler step of τ dh/dt = −h + …, or τ dv/dt = −v + …:

    rates     h' = (1 − α)∘h + α∘φ(W h + U x + b),      y = R h + d
    currents  v' = (1 − α)∘v + α∘(W φ(v) + U x + b),    y = R φ(v) + d

A fixed point does not depend on α: h = φ(W h + U x + b), or v = W φ(v) + U x + b. What constrains W is a
reparametrisation, multiplied out once per gradient (``CTRNN.dense``):

    rank R       W = M Nᵀ/units, plus, with ``full_rank_part``, a fixed random matrix
    Dale's law   W = |V| diag(s): all weights from unit j have its sign s_j
    masks        W = V ∘ M, with M of 0 and 1

Sources: Song, Yang & Wang 2016 (rates, Dale's law: only excitatory units are read out; there, input and readout weights
are positive too, here they have either sign); Mastrogiuseppe & Ostojic 2018 (currents, low rank, the fixed random
part); Tolmachev & Engel 2025.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray
from pydantic import Field

from dynatlas.cells.activations import ACTIVATIONS, Activation, Box
from dynatlas.cells.architectures import Architecture, State
from dynatlas.cells.connectivity import (
    Initialization,
    balanced,
    check_connectivity,
    connection_probabilities,
    dale_signs,
    random_mask,
    recurrent_blocks,
    spectral_radius,
)

Form = Literal["rates", "currents"]
Matrix = NDArray[Any]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class CTRNN(Architecture):
    """The leaky rate network: h' = (1 − α)h + αφ(W h + U x + b), or its currents, v' = (1 − α)v + α(W φ(v) + U x + b).

    Args:
        n_inputs: input channels.
        units: hidden units.
        n_outputs: output channels.
        activation: a name in ``ACTIVATIONS``.
        dt: time step, in the unit of ``tau``: only α = dt/τ counts.
        tau: time constant; [low, high] draws one for each unit, log-uniformly.
        learn_tau: train one τ for each unit, by the logit of α; else they are fixed.
        form: whether the state is "rates" or "currents".
        gain: scale of the initial recurrent weights; with ``full_rank_part``, of that part; else with a rank, of M.
        initialization: of the recurrent weights, see ``connectivity.recurrent_blocks``.
        rank: R of W = M Nᵀ/units, with M and N from N(0, 1); 0 for full rank.
        full_rank_part: add a random matrix g N(0, 1/units) to the low-rank part. It is fixed, as in Mastrogiuseppe &
            Ostojic 2018.
        excitatory: share of excitatory units; 0 for weights of either sign.
        density: share of the connections within an area that exist, drawn once.
        areas: number of equal areas.
        area_density: share of the connections between different areas that exist.
        key: random key of the initial weights.

    Raises:
        ValueError: dt exceeds tau, or settings out of range or in contradiction.

    Example:
        >>> cell = CTRNN(3, 16, 3, "relu", dt=10.0, tau=50.0, excitatory=0.75, key=jax.random.key(0))
        >>> round(float(cell.alpha[0]), 6), int((cell.connectivity()[0] < 0).sum())
        (0.2, 4)
    """

    recurrent_weights: Float[Array, "units units"] | None  # type: ignore[assignment]  # None: of low rank alone
    left: Float[Array, "units rank"] | None  # M
    right: Float[Array, "units rank"] | None  # N
    signs: Float[Array, " units"] | None
    mask: Float[Array, "units units"] | None
    leak: Float[Array, " units"]  # α; its logit if it is trained
    form: str = eqx.field(static=True)
    learn_tau: bool = eqx.field(static=True)

    gates: ClassVar[tuple[str, ...]] = ("candidate",)
    stages: ClassVar[tuple[int, ...]] = (1,)

    def __init__(
        self,
        n_inputs: int,
        units: int,
        n_outputs: int,
        activation: Activation = "tanh",
        *,
        dt: Positive = 20.0,
        tau: Positive | Annotated[list[Positive], Field(min_length=2, max_length=2)] = 100.0,
        learn_tau: bool = False,
        form: Form = "rates",
        gain: Annotated[float, Field(gt=0, le=100)] = 1.0,
        initialization: Initialization = "normal",
        rank: Annotated[int, Field(ge=0)] = 0,
        full_rank_part: bool = False,
        excitatory: Share = 0.0,
        density: Annotated[float, Field(gt=0, le=1)] = 1.0,
        areas: Annotated[int, Field(ge=1)] = 1,
        area_density: Share = 0.1,
        key: PRNGKeyArray,
    ):
        # mypy takes Architecture for a dataclass of its fields.
        super().__init__(n_inputs, units, n_outputs, activation, key=key)  # type: ignore[call-arg, arg-type]
        if form not in ("rates", "currents"):
            raise ValueError(f"form is {form!r}; expected rates or currents")
        check_connectivity(
            *(units, rank, excitatory, density, areas, area_density, initialization), full_rank_part=full_rank_part
        )
        # The weights that every cell has are drawn from the key alone; what is more, from others.
        tau_key, mask_key, *rank_keys = (jax.random.fold_in(key, number) for number in range(1, 5))
        alpha = _alpha(dt, tau, units, tau_key, learn_tau=learn_tau)
        self.form, self.learn_tau = form, learn_tau
        self.leak = jnp.log(alpha) - jnp.log1p(-alpha) if learn_tau else alpha
        self.left = self.right = self.signs = self.mask = None
        weights = recurrent_blocks(jax.random.split(key, 3)[0], 1, units, gain, initialization)
        if excitatory:
            signs = dale_signs(units, areas, excitatory)
            self.signs, weights = jnp.asarray(signs), balanced(weights, signs)
            shown = np.sqrt(units / (signs > 0).sum()) * (signs > 0)  # read out from fewer units, by larger weights
            self.readout_weights = self.readout_weights * jnp.asarray(shown, jnp.float32)
        if density < 1 or areas > 1:
            share = connection_probabilities(units, density, areas, area_density)
            self.mask = random_mask(mask_key, share)
            weights = weights * self.mask / np.sqrt(share.mean())
        is_scaled = initialization == "spectral_radius"
        if rank and not full_rank_part:
            left, right = (jax.random.normal(one, (units, rank), jnp.float32) for one in rank_keys)
            # The eigenvalues of M Nᵀ are those of Nᵀ M.
            left = (gain / spectral_radius(right.T @ left / units) if is_scaled else gain) * left
            self.left, self.right, self.recurrent_weights = left, right, None
            return
        if rank:
            self.left, self.right = (jax.random.normal(one, (units, rank), jnp.float32) for one in rank_keys)
        elif is_scaled:
            radius = spectral_radius(weights if self.signs is None else weights * self.signs)
            weights = jnp.where(radius > 0, gain / radius, 1) * weights
        self.recurrent_weights = weights

    @property
    def alpha(self) -> Any:
        """α = dt/τ of each unit [units]."""
        return jax.nn.sigmoid(self.leak) if self.learn_tau else self.leak

    @property
    def fixed_leaves(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the leaves that are not trained: α unless it is learned, signs, mask, and the full-rank part."""
        fixed = {
            "leak": not self.learn_tau,
            "signs": self.signs is not None,
            "mask": self.mask is not None,
            "recurrent_weights": self.left is not None and self.recurrent_weights is not None,
        }
        return tuple(name for name, is_so in fixed.items() if is_so)

    @property
    def noise_scale(self) -> Float[Array, " units"] | float:
        """√((2 − α)/α): noise of this standard deviation gives an isolated linear unit one of 1, whatever dt.

        It tends to the √(2/α) of Song et al. 2016 for small α.
        """
        alpha = self.alpha
        return jnp.sqrt((2 - alpha) / alpha)

    def connectivity(self) -> Any:
        """Compute the recurrent weights W [units, units]."""
        weights: Any = self.recurrent_weights
        if self.left is not None and self.right is not None:
            low_rank = self.left @ self.right.T / self.units
            weights = low_rank if weights is None else weights + low_rank
        if self.signs is not None:
            weights = jnp.abs(weights) * self.signs
        return weights if self.mask is None else weights * self.mask

    def dense(self) -> "CTRNN":
        """Return the same map with W as a plain matrix and α as fixed numbers."""
        changes = {
            "recurrent_weights": self.connectivity(),
            "readout_weights": self._shown(),
            "leak": self.alpha,
            "learn_tau": False,
            **dict.fromkeys(("left", "right", "signs", "mask")),
        }
        new = object.__new__(type(self))
        for field in dataclasses.fields(self):
            object.__setattr__(new, field.name, changes.get(field.name, getattr(self, field.name)))
        return new

    def operand(self, stage: int, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " units"]:
        """Return the rates."""
        return self.rates(state)

    def combine(self, state: Float[Array, " state"], sums: tuple[Array, ...]) -> Float[Array, " state"]:
        """Compute the next state from the current state and the sums."""
        (driven,) = sums
        alpha = self.alpha
        return (1 - alpha) * state + alpha * (self._activate(driven) if self.form == "rates" else driven)

    def rates(self, state: Float[Array, " state"]) -> Float[Array, " units"]:
        """Return the rates: the state, or φ(v) of currents."""
        return state if self.form == "rates" else self._activate(state)

    def readout(self, state: Float[Array, " state"]) -> Float[Array, " outputs"]:
        """Compute the output from the rates: y = R h + d, or R φ(v) + d."""
        return self._shown() @ self.rates(state) + self.readout_bias

    @property
    def has_affine_readout(self) -> bool:
        """Whether the state is rates."""
        return self.form == "rates"

    def loop_state(self, batch: int) -> State:
        """Return the initial state for a batch: rates, currents if these are the state, and α [1, units]."""
        initial = jnp.broadcast_to(self.initial_state, (batch, self.units))
        parts = (initial,) if self.form == "rates" else (self._activate(initial), initial)
        return (*parts, self.alpha[None])

    def box(self, inputs: Float[Array, " inputs"]) -> Box | None:
        """Return a box that one step maps into itself: rates, as without a leak; currents, what bounded rates drive."""
        if self.form == "rates":
            return super().box(inputs)
        rates, drive = ACTIVATIONS[self.activation].box(self.units), np.asarray(self.project(inputs))
        if rates is None:
            return None
        bounds = np.asarray(rates[0]), np.asarray(rates[1])
        low, high = box_of_currents(np.asarray(self.connectivity()), bounds, drive, drive)
        return jnp.asarray(low), jnp.asarray(high)

    def _shown(self) -> Any:
        """Return the readout weights [outputs, units], of excitatory units only."""
        return self.readout_weights if self.signs is None else self.readout_weights * (self.signs > 0)


def reach(weights: Matrix, low: Matrix, high: Matrix) -> tuple[Matrix, Matrix]:
    """Return the least and the most of W a for a between two bounds."""
    positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
    return positive @ low + negative @ high, positive @ high + negative @ low


def box_of_currents(
    weights: Matrix, rates: tuple[Matrix, Matrix], least: Matrix, most: Matrix
) -> tuple[Matrix, Matrix]:
    """Return a box of currents that one step maps into itself, for rates and a drive between two bounds."""
    low, high = reach(weights, *rates)
    # A unit that nothing reaches would have a box without width.
    return low + least - 1e-3, high + most + 1e-3


def _alpha(
    dt: float, tau: float | Sequence[float], units: int, key: PRNGKeyArray, *, learn_tau: bool
) -> Float[Array, " units"]:
    """Return α = dt/τ of each unit."""
    low, high = (tau, tau) if isinstance(tau, int | float) else tuple(tau) if len(tau) == 2 else (0.0, 0.0)
    if low > high:
        raise ValueError(f"tau is [{low}, {high}]; expected [low, high], the smaller number first")
    if not (0 < low <= high < np.inf and 0 < dt < np.inf):
        raise ValueError(
            f"dt is {dt!r} and tau {tau!r}; expected positive numbers, tau as one number, or as [low, high], low first"
        )
    if dt > low:
        raise ValueError(f"dt is {dt:g} and tau {low:g}: the Euler step overshoots; expected dt of at most tau")
    if learn_tau and dt == low:
        raise ValueError(f"dt and tau are {dt:g}: a learned tau begins above dt, since α = dt/τ is learned in (0, 1)")
    if low == high:
        return jnp.full(units, dt / low, jnp.float32)
    drawn = jax.random.uniform(key, (units,), jnp.float32, np.log(low), np.log(high))
    return jnp.minimum(jnp.float32(dt) / jnp.exp(drawn), jnp.float32(dt / low))

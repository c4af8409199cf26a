"""Initial recurrent weights, and what constrains them: rank, Dale's law, masks of sparse and modular networks.

Everything is drawn from a key, in float32. The functions know no cell: a cell stores what they return.

Sources: Saxe, McClelland & Ganguli 2014 (orthogonal); Le, Jaitly & Hinton 2015 (identity); Jaeger 2001 (spectral
radius); Sompolinsky, Crisanti & Sommers 1988 (gain); Mastrogiuseppe & Ostojic 2018 (rank); Song, Yang & Wang 2016
(Dale's law, areas).
"""

from typing import Any, Final, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

Initialization = Literal["normal", "orthogonal", "spectral_radius", "identity"]
INITIALIZATIONS: Final[tuple[str, ...]] = get_args(Initialization)


def normal(key: PRNGKeyArray, rows: int, fan_in: int) -> Float[Array, "rows fan_in"]:
    """Draw weights from N(0, 1/fan_in)."""
    return jax.random.normal(key, (rows, fan_in), jnp.float32) / jnp.sqrt(jnp.float32(fan_in))


def recurrent_blocks(
    key: PRNGKeyArray, gates: int, units: int, gain: float, initialization: str
) -> Float[Array, "gates_units units"]:
    """Draw the recurrent weights of each gate, stacked.

        normal           g N(0, 1/units): for many units the eigenvalues fill a disk of radius g
        orthogonal       g Q, with Q uniform among orthogonal matrices: every eigenvalue has the modulus g
        spectral_radius  a normal matrix, scaled so that its largest eigenvalue has exactly the modulus g
        identity         g I

    Args:
        key: random key.
        gates: number of blocks.
        units: rows and columns of a block.
        gain: g.
        initialization: one of ``INITIALIZATIONS``.

    Raises:
        ValueError: no such initialization, or a gain that is not a positive number.
    """
    check_initialization(gain, initialization)
    if initialization == "identity":
        return jnp.tile(gain * jnp.eye(units, dtype=jnp.float32), (gates, 1))
    if initialization == "orthogonal":
        drawn = jax.random.normal(key, (gates, units, units), jnp.float32)
        q, r = jnp.linalg.qr(drawn)
        signs = jnp.sign(jnp.diagonal(r, axis1=-2, axis2=-1))  # uniform only with this choice
        return gain * (q * signs[:, None, :]).reshape(gates * units, units)
    weights = normal(key, gates * units, units)
    if initialization == "spectral_radius":
        blocks = weights.reshape(gates, units, units)
        return (gain * blocks / spectral_radius(blocks)[:, None, None]).reshape(gates * units, units)
    return weights if gain == 1 else gain * weights


def check_initialization(gain: float, initialization: str) -> None:
    """Check the settings of initial weights.

    Raises:
        ValueError: no such initialization, or a gain that is not a positive number.
    """
    if not 0 < gain < np.inf:
        raise ValueError(f"gain is {gain!r}; expected a positive number")
    if initialization not in INITIALIZATIONS:
        raise ValueError(f"initialization is {initialization!r}; expected one of {', '.join(INITIALIZATIONS)}")


def spectral_radius(matrices: Float[Array, "*stack n n"]) -> Float[Array, "*stack"]:
    """Return the largest modulus of the eigenvalues of each matrix."""
    # JAX has eigenvalues of general matrices for CPUs alone.
    return jax.lax.platform_dependent(matrices, cpu=_radius, default=_radius_on_host)


def _radius(matrices: Array) -> Array:
    return jnp.abs(jnp.linalg.eigvals(matrices)).max(axis=-1).astype(matrices.dtype)


def _radius_on_host(matrices: Array) -> Array:
    def radius(values: Any) -> Any:
        return np.abs(np.linalg.eigvals(np.asarray(values))).max(axis=-1).astype(values.dtype)

    result = jax.ShapeDtypeStruct(matrices.shape[:-2], matrices.dtype)
    return jax.pure_callback(radius, result, matrices, vmap_method="expand_dims")


def areas_of(units: int, areas: int) -> NDArray[np.int64]:
    """Return the area of each unit [units]: contiguous, and equal in size up to one unit.

    Example:
        >>> areas_of(5, 2).tolist()
        [0, 0, 0, 1, 1]
    """
    return np.arange(units) * areas // units


def dale_signs(units: int, areas: int, excitatory: float) -> NDArray[np.float32]:
    """Return +1 for excitatory and −1 for inhibitory units [units]; in each area the excitatory ones come first.

    Raises:
        ValueError: an area would have no unit of one of the two kinds.

    Example:
        >>> dale_signs(5, 1, 0.8).tolist()
        [1.0, 1.0, 1.0, 1.0, -1.0]
    """
    area = areas_of(units, areas)
    signs = np.ones(units, np.float32)
    for number in range(areas):
        (members,) = np.nonzero(area == number)
        kept = round(excitatory * len(members))
        if not 0 < kept < len(members):
            raise ValueError(
                f"excitatory is {excitatory:g}: of the {len(members)} units of an area, {kept} would be excitatory; "
                "expected at least one of each kind. Take more units, fewer areas, or another share"
            )
        signs[members[kept:]] = -1
    return signs


def balanced(weights: Float[Array, "units units"], signs: NDArray[np.float32]) -> Float[Array, "units units"]:
    """Return positive weights whose rows sum to about 0 with the signs of their columns.

    Weights of inhibitory columns are scaled by the ratio of excitatory to inhibitory units (Song et al. 2016), all by
    one factor that keeps the mean square of normal weights.
    """
    n_excitatory, n_inhibitory = int((signs > 0).sum()), int((signs < 0).sum())
    columns = np.where(signs > 0, 1.0, n_excitatory / n_inhibitory)
    columns /= np.sqrt((columns**2).mean())
    return jnp.abs(weights) * jnp.asarray(columns, jnp.float32)


def connection_probabilities(units: int, density: float, areas: int, area_density: float) -> NDArray[np.float32]:
    """Return the probability of each connection: ``density`` within an area, ``area_density`` between areas."""
    area = areas_of(units, areas)
    return np.where(area[:, None] == area[None], density, area_density).astype(np.float32)


def random_mask(key: PRNGKeyArray, share: NDArray[np.float32]) -> Float[Array, "units units"]:
    """Draw a mask of 0 and 1 from the probabilities of 1."""
    return (jax.random.uniform(key, share.shape, jnp.float32) < share).astype(jnp.float32)


def check_connectivity(
    units: int,
    rank: int,
    excitatory: float,
    density: float,
    areas: int,
    area_density: float,
    initialization: str,
    *,
    full_rank_part: bool,
) -> None:
    """Check the settings of the connectivity.

    Raises:
        ValueError: a setting out of its range, or two that contradict each other.
    """
    for name, number, low, high in (
        ("rank", rank, 0, units),
        ("excitatory", excitatory, 0, 1),
        ("areas", areas, 1, units),
        ("density", density, 0, 1),
        ("area_density", area_density, 0, 1),
    ):
        if not low <= number <= high:
            raise ValueError(f"{name} is {number:g}; expected {low} to {high}")
    if density == 0:
        raise ValueError("density is 0, a network without recurrent weights; expected more than 0")
    if full_rank_part and not rank:
        raise ValueError("full_rank_part is true and rank 0; it is added to a low-rank part: set rank to 1 or more")
    is_masked = density < 1 or areas > 1
    if rank and (excitatory or is_masked):
        what = "excitatory" if excitatory else "density" if density < 1 else "areas"
        raise ValueError(f"rank is {rank} and {what} set: signs and masks change the rank; leave out one of them")
    if initialization in ("orthogonal", "identity") and (rank or excitatory or is_masked):
        raise ValueError(
            f"initialization is {initialization!r}, which a matrix with a rank, signs or a mask cannot keep; expected "
            "normal or spectral_radius"
        )

"""Normals of the boundary of a basin.

The boundary is the stable manifold of a saddle. Two states on either side of it, very close to each other, stay
together until they pass the saddle, where their difference grows along the unstable direction. A small displacement of
the first state matters by as much as it adds to this difference v after T steps, so that the gradient of ⟨v, Fᵀ(h)⟩,
which is J(h_0)ᵀ J(h_1)ᵀ … J(h_{T−1})ᵀ v, is normal to the boundary. What v has beside the unstable direction shrinks,
relative to the normal, as fast as the two states separated.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dynatlas._util.arrays import in_chunks
from dynatlas.dynamics.robustness.arrival import StablePoints
from dynatlas.dynamics.step import Step, next_state

MOST_STEPS = 1024  # until the two states have separated
# They have separated at this distance, relative to the distance between roots: farther apart, they are no longer in the
# linear range.
SEPARATED = 1e-4
CHUNK = 16  # pairs per call of the compiled loop


class Normals(NamedTuple):
    """Normals of a boundary.

    Attributes:
        vectors: unit vectors, from inside to outside [k, n].
        roots: number of the root that the pair of states passed most closely [k].
        distances: how closely, relative to ``scale`` [k].
    """

    vectors: Float[np.ndarray, "k n"]
    roots: Int[np.ndarray, " k"]
    distances: Float[np.ndarray, " k"]


def boundary_normals(
    stable: StablePoints,
    inside: Float[np.ndarray, "k n"],
    outside: Float[np.ndarray, "k n"],
    roots: Float[np.ndarray, "roots n"],
    scale: float,
) -> Normals:
    """Compute the normal at each pair of states on either side of a boundary; call it where 64 bits are enabled.

    Args:
        stable: the stable points.
        inside: states inside a basin.
        outside: states outside, next to them.
        roots: saddles that the pairs may pass.
        scale: distance between roots.
    """
    vectors, passed, distances = in_chunks(
        lambda pairs: _normals(stable.step, pairs, stable.inputs, jnp.asarray(roots), jnp.asarray(SEPARATED * scale)),
        np.stack([inside, outside], axis=1),
        CHUNK,
    )
    signs = np.sign((vectors * (outside - inside)).sum(axis=1, keepdims=True))
    return Normals(np.where(signs < 0, -vectors, vectors), passed, distances / scale)


@eqx.filter_jit
def _normals(
    step: Step,
    pairs: Float[Array, "k 2 n"],
    inputs: Float[Array, " m"] | None,
    roots: Float[Array, "roots n"],
    separated: Float[Array, ""],
) -> tuple[Float[Array, "k n"], Int[Array, " k"], Float[Array, " k"]]:
    """Return the normals, and which root each pair passed at which distance."""

    def advance(state: Float[Array, " n"]) -> Float[Array, " n"]:
        return next_state(step, state, inputs)

    def one(pair: Float[Array, "2 n"]) -> tuple[Array, Array, Array]:
        def together(carry: tuple[Array, Array, Array]) -> Array:
            taken, pair, _ = carry
            return jnp.asarray((taken < MOST_STEPS) & (jnp.linalg.norm(pair[1] - pair[0]) < separated))

        def move(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            taken, pair, visited = carry
            return taken + 1, jax.vmap(advance)(pair), visited.at[taken].set(pair[0])

        first = (jnp.asarray(0), pair, jnp.full((MOST_STEPS, pair.shape[1]), jnp.inf))
        taken, last, visited = jax.lax.while_loop(together, move, first)

        def back(i: Array, vector: Array) -> Array:
            pulled = jax.vjp(advance, visited[taken - 1 - i])[1](vector)[0]
            return jnp.asarray(pulled / jnp.linalg.norm(pulled))

        difference = last[1] - last[0]
        normal = jax.lax.fori_loop(0, taken, back, difference / jnp.linalg.norm(difference))
        gaps = jax.vmap(lambda root: jnp.linalg.norm(visited - root, axis=1).min())(roots)
        return normal, jnp.argmin(gaps), gaps.min()

    return jax.vmap(one)(pairs)

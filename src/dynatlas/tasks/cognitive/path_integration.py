"""Path integration on a ring: add up angular velocity to the heading."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field, model_validator

from dynatlas.tasks.cognitive.memory_angle import even_angles
from dynatlas.tasks.task import Task, Trial


class PathIntegration(Task):
    """Path integration: report the heading, given the first heading and the angular velocity.

    For ``cue`` steps the inputs hold cos θ₀ and sin θ₀, with θ₀ ~ U(−π, π), and the velocity is 0. After that these two
    inputs are 0, and the third is the angular velocity v in radians per step, with vₜ = m vₜ₋₁ + √(1 − m²) s N(0, 1),
    m = ``momentum``, s = ``speed``, the standard deviation of v, from the first step of movement on. The outputs are
    cos θₜ and sin θₜ, with θₜ = θ₀ + v₁ + … + vₜ.

    The probe has ``probe_headings`` first headings, evenly spaced, each at the constant velocities −s, 0 and s. The
    only condition is no velocity.

    Example:
        >>> task = PathIntegration(steps=20)
        >>> task.n_inputs, task.n_outputs, task.condition_names()
        (3, 2, ('no velocity',))
        >>> inputs, targets = task.trial(jax.random.key(0))
        >>> bool((inputs[0, :2] == targets[0]).all()), bool((inputs[1:, :2] == 0).all())
        (True, True)

    Source: Cueva et al. 2020 (angular velocity with momentum, cosine and sine of the first and of the current heading);
    the ring of fixed points is that of models of head direction (Zhang 1996). The numbers, the length and the probe are
    choices of dynatlas.
    """

    kind: Literal["path_integration"] = "path_integration"
    steps: Annotated[int, Field(ge=2, le=100_000)] = 50
    cue: Annotated[int, Field(ge=1, le=100_000)] = 1
    speed: Annotated[float, Field(gt=0, le=np.pi)] = 0.15
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.8
    probe_headings: Annotated[int, Field(ge=2, le=1_000)] = 16

    title: ClassVar[str] = "path integration"
    comparison_settings: ClassVar[frozenset[str]] = frozenset({"probe_headings"})
    probe_words: ClassVar[str] = "the first heading, a constant angular velocity, the heading"

    @model_validator(mode="after")
    def _moves(self) -> "PathIntegration":
        if self.cue >= self.steps:
            raise ValueError(f"cue is {self.cue}, and a trial has {self.steps} steps; expected fewer")
        return self

    @property
    def summary(self) -> str:
        """Description of the task and of its usual solution."""
        return (
            "The network is told its heading once, and then keeps track of it by adding up its angular velocity. The "
            "usual solution is a ring of fixed or slow points without velocity, one for each heading, along which the "
            "velocity moves the state."
        )

    @property
    def n_inputs(self) -> int:
        """Cosine and sine of the first heading, and the angular velocity."""
        return 3

    @property
    def n_outputs(self) -> int:
        """Cosine and sine of the heading."""
        return 2

    @property
    def variations(self) -> Mapping[str, Mapping[str, Any]]:  # type: ignore[override]
        """Trials of twice the length, twice the speed, and noise."""
        return {
            "twice as long": {"steps": min(2 * self.steps, 100_000)},
            "twice the speed": {"speed": min(2 * self.speed, float(np.pi))},
            "noisy inputs": {"input_noise": 0.05},
        }

    def trial(self, key: PRNGKeyArray) -> Trial:
        """Draw a random trial."""
        heading_key, velocity_key = jax.random.split(key)
        heading = jax.random.uniform(heading_key, (), jnp.float32, -jnp.pi, jnp.pi)
        drawn = jax.random.normal(velocity_key, (self.steps - self.cue,), jnp.float32)
        fresh = (drawn * np.float32(np.sqrt(1 - self.momentum**2))).at[0].set(drawn[0])
        moving = self.speed * jax.lax.scan(_slow_down, (jnp.float32(0), jnp.float32(self.momentum)), fresh)[1]
        return self._move(heading, moving)

    def probe(self) -> Trial:
        """Return the first headings at each constant velocity: all headings at −s, then at 0, then at s."""
        headings = jnp.tile(even_angles(self.probe_headings), 3)
        velocities = jnp.repeat(self.speed * jnp.asarray([-1.0, 0.0, 1.0], jnp.float32), self.probe_headings)
        constant = jnp.broadcast_to(velocities[:, None], (len(headings), self.steps - self.cue))
        return jax.vmap(self._move)(headings, constant)

    def conditions(self) -> Float[Array, "1 3"]:
        """Return the only static input: none, at which the heading stays."""
        return jnp.zeros((1, 3), jnp.float32)

    @property
    def n_conditions(self) -> int:
        """One condition: no velocity."""
        return 1

    def condition_names(self) -> tuple[str, ...]:
        """Return the name of the only condition."""
        return ("no velocity",)

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """Return 0, the only condition, for each probe trial."""
        return np.zeros(3 * self.probe_headings, int)

    def _move(self, heading: Float[Array, ""], moving: Float[Array, " moving"]) -> Trial:
        velocity = jnp.concatenate([jnp.zeros(self.cue, jnp.float32), moving])
        headings = heading + jnp.cumsum(velocity)
        is_cue = (jnp.arange(self.steps) < self.cue).astype(jnp.float32)
        first = jnp.stack([jnp.cos(heading), jnp.sin(heading)]) * is_cue[:, None]
        return Trial(
            jnp.concatenate([first, velocity[:, None]], axis=1),
            jnp.stack([jnp.cos(headings), jnp.sin(headings)], axis=1),
        )


# A module-level function: JAX recompiles a scan for every new function object.
def _slow_down(carry: tuple[Array, Array], fresh: Array) -> tuple[tuple[Array, Array], Array]:
    velocity, momentum = carry
    velocity = momentum * velocity + fresh
    return (velocity, momentum), velocity

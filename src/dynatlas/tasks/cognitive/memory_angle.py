"""Memory-guided angle: report a cued direction after a delay."""

from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from dynatlas.tasks.cognitive.periods import DelayTask, Duration, Noise
from dynatlas.tasks.task import Trial


class MemoryAngle(DelayTask):
    """Memory-guided angle: report the direction of a cue after a delay.

    A trial is fixation, cue, delay, response. Inputs are the fixation cue and, during the cue, cos θ and sin θ, each
    plus N(0, noise²), with θ ~ U(−π, π). Outputs are cos θ and sin θ during the response, and 0 before it.

    The probe is an even grid of ``probe_angles`` directions, without noise and with the shortest delay.

    Example:
        >>> task = MemoryAngle(probe_angles=4)
        >>> task.steps, task.n_inputs, task.n_outputs
        (40, 3, 2)
        >>> task.probe().targets[:, -1].round().astype(int).tolist()
        [[-1, 0], [0, -1], [1, 0], [0, 1]]

    Source: Funahashi, Bruce & Goldman-Rakic 1989 (the oculomotor delayed response); Compte et al. 2000 (a ring of
    memories as its model). Inputs and outputs as cosine and sine instead of a ring of channels, the durations in steps,
    the noise and the probe are choices of dynatlas.
    """

    kind: Literal["memory_angle"] = "memory_angle"
    fixation: Duration = 5
    cue: Duration = 5
    response: Duration = 10
    noise: Noise = 0.1
    probe_angles: Annotated[int, Field(ge=2, le=10_000)] = 32

    title: ClassVar[str] = "memory-guided angle"
    comparison_settings: ClassVar[frozenset[str]] = frozenset({"probe_angles"})
    periods: ClassVar[dict[str, str]] = {name: name for name in ("fixation", "cue", "delay", "response")}
    probe_words: ClassVar[str] = "the fixation cue, a cued angle without noise, its cosine and sine"

    @property
    def summary(self) -> str:
        """Description of the task and of its usual solution."""
        return (
            "The network keeps the direction of a cue in mind during a delay, and then reports it. The usual solution "
            "is a ring of fixed or slow points during the delay, one for each direction."
        )

    @property
    def n_inputs(self) -> int:
        """The fixation cue, and cosine and sine of the cue."""
        return 3

    @property
    def n_outputs(self) -> int:
        """Cosine and sine of the report."""
        return 2

    def trial(self, key: PRNGKeyArray) -> Trial:
        """Draw a random trial."""
        angle_key, noise_key, delay_key = jax.random.split(key, 3)
        angle = jax.random.uniform(angle_key, (), jnp.float32, -jnp.pi, jnp.pi)
        noise = self.noise * jax.random.normal(noise_key, (self.steps, 2), jnp.float32)
        return self._remember(angle, noise, self.drawn_jitter(delay_key))

    def probe(self) -> Trial:
        """Return a trial for each direction of the grid, from −π on."""
        silence = jnp.zeros((self.steps, 2), jnp.float32)
        return jax.vmap(lambda angle: self._remember(angle, silence, 0))(even_angles(self.probe_angles))

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """Return 0, the only condition, for each probe trial."""
        return np.zeros(self.probe_angles, int)

    def _remember(self, angle: Float[Array, ""], noise: Float[Array, "steps 2"], later: Int[Array, ""] | int) -> Trial:
        direction = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        return self.fixated(self.within("cue", later)[:, None] * (direction + noise), direction, later)


def even_angles(count: int) -> Float[Array, " count"]:
    """Return evenly spaced angles from −π up to, but without, π."""
    return jnp.asarray((-np.pi + 2 * np.pi * np.arange(count) / count).astype(np.float32))

"""Context-dependent integration: accumulate the cued input stream."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from dynatlas.tasks.task import Task, Trial, even_grid


class ContextIntegration(Task):
    """Context-dependent integration: output the running sum of the cued one of K noisy input streams.

    Stream k is N(μ_k, 1) at each step, with μ_k ~ U(−1, 1) fixed over the trial. K further one-hot inputs, static over
    the trial, cue one stream. The target is the cumulative sum of that stream, without a dt.

    The probe has no noise: the cued stream is constant at each of ``probe_levels`` levels in [−1, 1], the other
    streams are 0, in each context.

    Example:
        >>> task = ContextIntegration()
        >>> task.n_inputs, task.n_outputs, task.conditions().shape
        (4, 1, (2, 4))

    Source: Mante et al. 2013 in the form of Maheswaranathan et al. 2019 (K = 2). The probe is a choice of dynatlas.
    """

    kind: Literal["context_integration"] = "context_integration"
    steps: Annotated[int, Field(ge=2, le=100_000)] = 30
    streams: Annotated[int, Field(ge=1, le=16)] = 2
    probe_levels: Annotated[int, Field(ge=2, le=1_000)] = 20

    title: ClassVar[str] = "context-dependent integration"
    comparison_settings: ClassVar[frozenset[str]] = frozenset({"probe_levels"})
    topology: ClassVar[tuple[str, ...]] = ("neighbor_graph", "spectrum")
    threshold: ClassVar[tuple[Literal["mse", "r2"], float]] = ("r2", 0.97)
    probe_words: ClassVar[str] = "constant levels of the cued stream without noise"
    paper_settings: ClassVar[tuple[str, ...]] = ("steps",)

    @property
    def summary(self) -> str:
        """Description of the task and of its usual solution."""
        return (
            "The network adds up one of its noisy inputs, the one that a context signal names, and ignores the others. "
            "The usual solution is, for each context, a line of fixed or slow points along which the sum is kept."
        )

    @property
    def n_inputs(self) -> int:
        """Number of streams, plus that of contexts."""
        return 2 * self.streams

    @property
    def n_outputs(self) -> int:
        """One output: the integral."""
        return 1

    @property
    def variations(self) -> Mapping[str, Mapping[str, Any]]:  # type: ignore[override]
        """Trials of twice the length, and noise on all inputs."""
        return {"twice as long": {"steps": min(2 * self.steps, 100_000)}, "noisy inputs": {"input_noise": 0.5}}

    def trial(self, key: PRNGKeyArray) -> Trial:
        """Draw a random trial."""
        context_key, mean_key, noise_key = jax.random.split(key, 3)
        context = jax.random.randint(context_key, (), 0, self.streams, jnp.int32)
        means = jax.random.uniform(mean_key, (self.streams,), jnp.float32, -1, 1)
        noise = jax.random.normal(noise_key, (self.steps, self.streams), jnp.float32)
        return self._integrate(means + noise, context)

    def probe(self) -> Trial:
        """Return trials with constant evidence at every level, in every context."""
        levels = even_grid(-1.0, 1.0, self.probe_levels)

        def constant(context: Array, level: Array) -> Trial:
            evidence = level * jax.nn.one_hot(context, self.streams, dtype=jnp.float32)
            return self._integrate(jnp.broadcast_to(evidence, (self.steps, self.streams)), context)

        contexts, levels = jnp.meshgrid(jnp.arange(self.streams), levels, indexing="ij")
        return jax.vmap(constant)(contexts.ravel(), levels.ravel())

    def conditions(self) -> Float[Array, "conditions inputs"]:
        """Return one static input per context, with the streams at 0."""
        return jnp.concatenate([jnp.zeros((self.streams, self.streams)), jnp.eye(self.streams)], axis=1).astype(
            jnp.float32
        )

    @property
    def n_conditions(self) -> int:
        """Number of contexts."""
        return self.streams

    def condition_names(self) -> tuple[str, ...]:
        """Return the names of the contexts, counted from 1."""
        return tuple(f"context {context + 1}" for context in range(self.streams))

    def integrated_inputs(self) -> tuple[int, ...]:
        """Return the cued stream of each context."""
        return tuple(range(self.streams))

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """Return the context of each probe trial: all levels of one context, then of the next."""
        return np.repeat(np.arange(self.streams), self.probe_levels)

    def _integrate(self, streams: Float[Array, "steps streams"], context: Array) -> Trial:
        one_hot = jax.nn.one_hot(context, self.streams, dtype=jnp.float32)
        cue = jnp.broadcast_to(one_hot, (self.steps, self.streams))
        return Trial(jnp.concatenate([streams, cue], axis=1), jnp.cumsum(streams @ one_hot)[:, None])

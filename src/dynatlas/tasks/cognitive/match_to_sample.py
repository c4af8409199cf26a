"""Delayed match to sample: whether a test is the same as a sample shown before a delay."""

from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from dynatlas.tasks.cognitive.periods import HALF, DelayTask, Duration, Noise
from dynatlas.tasks.task import Trial


class MatchToSample(DelayTask):
    """Delayed match to sample: tell whether the test after a delay is the sample shown before it.

    A trial is fixation, sample, delay, test, response. Inputs are the fixation cue and, during sample and test, their
    one-hot identity plus N(0, noise²) on each of ``samples`` channels. Half of the trials are matches; in the others
    the test is one of the other samples, each as likely. The output is 1 for a match and −1 for none during the
    response, and 0 before it.

    The probe is every sample with every test, without noise and with the shortest delay.

    Example:
        >>> task = MatchToSample(samples=3)
        >>> task.steps, task.n_inputs, task.n_outputs, task.probe().targets[:3, -1, 0].tolist()
        (45, 4, 1, [1.0, -1.0, -1.0])

    Source: Miller, Erickson & Desimone 1996, in the form of NeuroGym's DelayMatchSample (two samples, noise of 0.1 at
    100 ms a step). More than two samples as one-hot channels, the durations in steps, one output of ±1 instead of an
    output per choice, and the probe are choices of dynatlas.
    """

    kind: Literal["match_to_sample"] = "match_to_sample"
    fixation: Duration = 5
    stimulus: Duration = 5
    response: Duration = 10
    samples: Annotated[int, Field(ge=2, le=32)] = 2
    noise: Noise = 0.1

    title: ClassVar[str] = "delayed match to sample"
    periods: ClassVar[dict[str, str]] = {
        "fixation": "fixation",
        "sample": "stimulus",
        "delay": "delay",
        "test": "stimulus",
        "response": "response",
    }
    probe_words: ClassVar[str] = "the fixation cue, sample and test without noise, whether they match"

    @property
    def summary(self) -> str:
        """Description of the task and of its usual solution."""
        return (
            f"The network keeps one of {self.samples} samples in mind during a delay, and then tells whether a test is "
            "the same. The usual solution is a stable fixed point for each sample during the delay."
        )

    @property
    def n_inputs(self) -> int:
        """The fixation cue, and a channel for each sample."""
        return 1 + self.samples

    @property
    def n_outputs(self) -> int:
        """One output: match or not."""
        return 1

    def trial(self, key: PRNGKeyArray) -> Trial:
        """Draw a random trial."""
        sample_key, match_key, other_key, noise_key, delay_key = jax.random.split(key, 5)
        sample = jax.random.randint(sample_key, (), 0, self.samples, jnp.int32)
        other = (sample + jax.random.randint(other_key, (), 1, self.samples, jnp.int32)) % self.samples
        test = jnp.where(jax.random.bernoulli(match_key, HALF), sample, other)
        noise = self.noise * jax.random.normal(noise_key, (self.steps, self.samples), jnp.float32)
        return self._show(sample, test, noise, self.drawn_jitter(delay_key))

    def probe(self) -> Trial:
        """Return every sample with every test: all tests of the first sample, then of the next."""
        samples, tests = jnp.meshgrid(jnp.arange(self.samples), jnp.arange(self.samples), indexing="ij")
        silence = jnp.zeros((self.steps, self.samples), jnp.float32)
        return jax.vmap(lambda sample, test: self._show(sample, test, silence, 0))(samples.ravel(), tests.ravel())

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """Return 0, the only condition, for each probe trial."""
        return np.zeros(self.samples**2, int)

    def _show(
        self, sample: Array, test: Array, noise: Float[Array, "steps samples"], later: Int[Array, ""] | int
    ) -> Trial:
        before, after = self.within("sample", later)[:, None], self.within("test", later)[:, None]
        first, second = (jax.nn.one_hot(identity, self.samples, dtype=jnp.float32) for identity in (sample, test))
        answer = jnp.where(sample == test, 1.0, -1.0).astype(jnp.float32)
        return self.fixated(before * first + after * second + (before + after) * noise, answer[None], later)

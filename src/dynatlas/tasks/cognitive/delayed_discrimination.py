"""Delayed discrimination: which of two vibrations, separated by a delay, had the higher frequency."""

from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field, model_validator

from dynatlas.tasks.cognitive.periods import HALF, DelayTask, Duration, Noise
from dynatlas.tasks.task import Trial

Frequency = Annotated[float, Field(gt=0, le=1e6)]


class DelayedDiscrimination(DelayTask):
    """Delayed discrimination: compare the frequencies of two stimuli, f₁ before a delay and f₂ after it.

    A trial is fixation, f₁, delay, f₂, response. One of the ``pairs`` is drawn, and its order. Inputs are the fixation
    cue and, during the stimuli, (1 + s)/2 plus N(0, noise²), with s the frequency scaled to [0, 1]. The output is the
    sign of f₁ − f₂ during the response, and 0 before it.

    The probe is each pair in each order, without noise and with the shortest delay.

    Example:
        >>> task = DelayedDiscrimination(delay=40)
        >>> task.steps, task.n_inputs, task.n_outputs
        (65, 2, 1)
        >>> inputs, targets = task.trial(jax.random.key(0))
        >>> float(abs(targets[-1, 0])), float(inputs[0, 0]), float(inputs[-1, 0])
        (1.0, 1.0, 0.0)

    Source: Romo et al. 1999 (frequencies in Hz of a vibration on the fingertip). The pairs and the input (1 + s)/2 are
    those of NeuroGym's DelayComparison. The durations in steps, one output of sign ±1 instead of an output per choice,
    and the probe are choices of dynatlas.
    """

    kind: Literal["delayed_discrimination"] = "delayed_discrimination"
    fixation: Duration = 5
    stimulus: Duration = 5
    response: Duration = 10
    pairs: Annotated[tuple[tuple[Frequency, Frequency], ...], Field(min_length=1, max_length=1_000)] = (
        (18, 10),
        (22, 14),
        (26, 18),
        (30, 22),
        (34, 26),
    )
    noise: Noise = 0.1

    title: ClassVar[str] = "delayed discrimination"
    periods: ClassVar[dict[str, str]] = {
        "fixation": "fixation",
        "first": "stimulus",
        "delay": "delay",
        "second": "stimulus",
        "response": "response",
    }
    probe_words: ClassVar[str] = "the fixation cue, two stimuli without noise, the sign of their difference"

    @model_validator(mode="after")
    def _frequencies_differ(self) -> "DelayedDiscrimination":
        if same := [pair for pair in self.pairs if pair[0] == pair[1]]:
            raise ValueError(f"pairs holds {same[0]}; expected two frequencies that differ")
        return self

    @property
    def summary(self) -> str:
        """Description of the task and of its usual solution."""
        return (
            "The network keeps the frequency of a stimulus in mind during a delay, and then tells whether it was "
            "higher than that of a second one. The usual solution is a line of fixed or slow points during the delay, "
            "along which the first frequency is kept."
        )

    @property
    def n_inputs(self) -> int:
        """The fixation cue and the stimulus."""
        return 2

    @property
    def n_outputs(self) -> int:
        """One output: the sign of the difference."""
        return 1

    def trial(self, key: PRNGKeyArray) -> Trial:
        """Draw a random trial."""
        pair_key, order_key, noise_key, delay_key = jax.random.split(key, 4)
        pair = jax.random.randint(pair_key, (), 0, len(self.pairs), jnp.int32)
        swapped = jax.random.bernoulli(order_key, HALF)
        noise = self.noise * jax.random.normal(noise_key, (self.steps,), jnp.float32)
        return self._compare(pair, swapped, noise, self.drawn_jitter(delay_key))

    def probe(self) -> Trial:
        """Return each pair in its order, then each in the other order."""
        pair = jnp.tile(jnp.arange(len(self.pairs)), 2)
        swapped = jnp.repeat(jnp.asarray([False, True]), len(self.pairs))
        silence = jnp.zeros(self.steps, jnp.float32)
        return jax.vmap(lambda pair, swapped: self._compare(pair, swapped, silence, 0))(pair, swapped)

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """Return 0, the only condition, for each probe trial."""
        return np.zeros(2 * len(self.pairs), int)

    def _compare(
        self, pair: Array, swapped: Array, noise: Float[Array, " steps"], later: Int[Array, ""] | int
    ) -> Trial:
        values = np.asarray(self.pairs, np.float64)
        low, high = values.min(), values.max()  # high > low, as the frequencies of a pair differ
        inputs = jnp.asarray(((1 + (values - low) / (high - low)) / 2).astype(np.float32))
        signs = jnp.asarray(np.sign(values[:, 0] - values[:, 1]).astype(np.float32))
        first, second = jnp.where(swapped, inputs[pair, ::-1], inputs[pair])
        one, other = self.within("first", later), self.within("second", later)
        stimulus = first * one + second * other + noise * (one + other)
        return self.fixated(stimulus[:, None], jnp.where(swapped, -signs[pair], signs[pair])[None], later)

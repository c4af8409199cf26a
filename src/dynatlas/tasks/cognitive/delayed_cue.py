"""Delayed-cue discrimination: which of several cues was shown before a delay."""

from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from dynatlas.tasks.cognitive.periods import MOST_STEPS, Duration, Noise, PeriodTask
from dynatlas.tasks.task import Trial


class DelayedCue(PeriodTask):
    """Delayed-cue discrimination: tell which cue began the trial, after a delay and without a signal to respond.

    A trial is cue, delay, response, after. Inputs are one channel per cue: 1 on the channel of the cue while it lasts,
    plus N(0, noise²), and 0 after it. Outputs are one channel per cue: 1 on the channel of the cue during the response,
    and 0 elsewhere, so that with ``after`` above 0 the network has to return to 0. With R the steps of the response and
    of the period after it, among T, the loss has the weight 1 − R/T at these R steps and R/T at the steps before them.

    The probe is each cue without noise; the only condition is no input.

    Example:
        >>> task = DelayedCue(delay=20)
        >>> task.steps, task.n_inputs, task.n_outputs, task.n_conditions
        (36, 2, 2, 1)
        >>> task.probe().targets[:, 30].tolist()
        [[1.0, 0.0], [0.0, 1.0]]

    Source: Kurtkaya et al. 2025, as in the authors' published code: two cues of 6 steps, delays of 0 to 80, a response
    of 10 and 0 or 6 steps after it, at 5 ms a step; no noise on the inputs (theirs is within the network). Their task
    holds the two possible trials equally often, here each is as likely. More than two cues, and noise, are choices of
    dynatlas.
    """

    kind: Literal["delayed_cue"] = "delayed_cue"
    cue: Duration = 6
    delay: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 20
    response: Duration = 10
    after: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 0
    cues: Annotated[int, Field(ge=2, le=32)] = 2
    noise: Noise = 0.0

    title: ClassVar[str] = "delayed-cue discrimination"
    periods: ClassVar[dict[str, str]] = {name: name for name in ("cue", "delay", "response", "after")}
    probe_words: ClassVar[str] = "a cue without noise, the cue's channel during the response"

    @property
    def summary(self) -> str:
        """Description of the task and of its usual solution."""
        return (
            f"The network is shown one of {self.cues} cues, and reports it after a delay that nothing signals the end "
            "of. The known solutions are slow points along which activity drifts until the response, and limit cycles."
        )

    @property
    def n_inputs(self) -> int:
        """One channel per cue."""
        return self.cues

    @property
    def n_outputs(self) -> int:
        """One channel per cue."""
        return self.cues

    def trial(self, key: PRNGKeyArray) -> Trial:
        """Draw a random trial."""
        cue_key, noise_key = jax.random.split(key)
        cue = jax.random.randint(cue_key, (), 0, self.cues, jnp.int32)
        return self._show(cue, self.noise * jax.random.normal(noise_key, (self.steps, self.cues), jnp.float32))

    def probe(self) -> Trial:
        """Return a trial for each cue."""
        silence = jnp.zeros((self.steps, self.cues), jnp.float32)
        return jax.vmap(lambda cue: self._show(cue, silence))(jnp.arange(self.cues))

    def _show(self, cue: Array, noise: Float[Array, "steps cues"]) -> Trial:
        shown, response = self.within("cue")[:, None], self.within("response")[:, None]
        identity = jax.nn.one_hot(cue, self.cues, dtype=jnp.float32)
        late = (self.response + self.after) / self.steps
        weights = jnp.where(jnp.arange(self.steps) < self.cue + self.delay, late, 1 - late).astype(jnp.float32)
        return Trial(
            shown * (identity + noise),
            response * identity,
            jnp.broadcast_to(weights[:, None], (self.steps, self.cues)),
        )

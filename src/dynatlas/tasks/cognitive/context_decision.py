"""Context-dependent decision: report the direction of the cued one of two stimuli."""

import itertools
from typing import Annotated, ClassVar, Final, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from dynatlas.tasks.cognitive.periods import Duration, Noise, PeriodTask, signed
from dynatlas.tasks.task import Trial

CONTEXTS: Final = 2


class ContextDecision(PeriodTask):
    """Context-dependent decision: choose the direction of the cued one of two stimuli, and ignore the other.

    A trial is fixation, stimulus, response. Inputs are the one-hot context cue, on throughout, and for each of the two
    stimuli, from the stimulus on, (1 + c)/2 and (1 − c)/2 plus N(0, noise²). The signed coherence c of each is drawn
    from ``coherences`` with a fair sign. Outputs are one per direction: 1 on that of the cued stimulus during the
    response, and 0 before it. The loss has the weight 1 during fixation and response, and 0 during the stimulus.

    The probe has every pair of signed coherences in each context, without noise. Conditions are the contexts, both
    stimuli of coherence 0.

    Example:
        >>> task = ContextDecision(coherences=(0.5,))
        >>> task.steps, task.n_inputs, task.n_outputs, task.condition_names()
        (60, 6, 2, ('context 1', 'context 2'))
        >>> len(task.probe().inputs)
        8

    Source: Mante et al. 2013 in the form of Tolmachev & Engel 2025 as their published package has it (100 ms each of
    fixation, stimulus and response, coherences of powers of 2; the loss leaves out the stimulus). Steps of 5 ms, no
    coherence of 0, which has no right answer, and the coherences below 1/16 left out are choices of dynatlas.
    """

    kind: Literal["context_decision"] = "context_decision"
    fixation: Duration = 20
    stimulus: Duration = 20
    response: Duration = 20
    coherences: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1, max_length=20)] = (
        0.0625,
        0.125,
        0.25,
        0.5,
        1.0,
    )
    noise: Noise = 0.0

    title: ClassVar[str] = "context-dependent decision"
    threshold: ClassVar[tuple[Literal["mse", "r2"], float]] = ("r2", 0.8)
    periods: ClassVar[dict[str, str]] = {name: name for name in ("fixation", "stimulus", "response")}
    probe_words: ClassVar[str] = "the context, two stimuli without noise, the direction of the cued one"

    @property
    def summary(self) -> str:
        """Description of the task and of its usual solutions."""
        return (
            "The network is shown two stimuli, and reports the direction of the one that a context signal names. "
            "Solutions suppress the other stimulus at the input, or select the cued one by the dynamics of a context."
        )

    @property
    def n_inputs(self) -> int:
        """Two contexts, and two channels for each stimulus."""
        return 3 * CONTEXTS

    @property
    def n_outputs(self) -> int:
        """One output per direction."""
        return 2

    def trial(self, key: PRNGKeyArray) -> Trial:
        """Draw a random trial."""
        context_key, coherence_key, noise_key = jax.random.split(key, 3)
        both = jnp.asarray(signed(self.coherences))
        context = jax.random.randint(context_key, (), 0, CONTEXTS, jnp.int32)
        coherences = both[jax.random.randint(coherence_key, (CONTEXTS,), 0, len(both), jnp.int32)]
        noise = jax.random.normal(noise_key, (self.steps, 2 * CONTEXTS), jnp.float32)
        return self._show(context, coherences, self.noise * noise)

    def probe(self) -> Trial:
        """Return a trial for each context and pair of signed coherences."""
        pairs = np.array(list(itertools.product(signed(self.coherences), repeat=CONTEXTS)), np.float32)
        silence = jnp.zeros((self.steps, 2 * CONTEXTS), jnp.float32)

        def show(context: Int[Array, ""], coherences: Float[Array, " contexts"]) -> Trial:
            return self._show(context, coherences, silence)

        return jax.vmap(show)(jnp.asarray(self.probe_conditions()), jnp.asarray(np.tile(pairs, (CONTEXTS, 1))))

    def conditions(self) -> Float[Array, "conditions 6"]:
        """Return the inputs of each context with both stimuli of coherence 0."""
        return jnp.asarray(np.hstack([np.eye(CONTEXTS), np.full((CONTEXTS, 2 * CONTEXTS), 0.5)]).astype(np.float32))

    @property
    def n_conditions(self) -> int:
        """Number of contexts."""
        return CONTEXTS

    def condition_names(self) -> tuple[str, ...]:
        """Return the name of each context."""
        return tuple(f"context {number + 1}" for number in range(CONTEXTS))

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """Return the context of each probe trial."""
        return np.repeat(np.arange(CONTEXTS), (2 * len(self.coherences)) ** CONTEXTS)

    def _show(
        self, context: Int[Array, ""], coherences: Float[Array, " contexts"], noise: Float[Array, "steps channels"]
    ) -> Trial:
        evidence = (jnp.stack([1 + coherences, 1 - coherences], axis=1) / 2).reshape(-1)
        cue = jnp.broadcast_to(jax.nn.one_hot(context, CONTEXTS, dtype=jnp.float32), (self.steps, CONTEXTS))
        shown, response = 1 - self.within("fixation")[:, None], self.within("response")[:, None]
        cued = coherences[context]
        directions = jnp.stack([cued > 0, cued < 0]).astype(jnp.float32)
        weights = jnp.broadcast_to(1 - self.within("stimulus")[:, None], (self.steps, 2))
        return Trial(jnp.concatenate([cue, shown * (evidence + noise)], axis=1), response * directions, weights)

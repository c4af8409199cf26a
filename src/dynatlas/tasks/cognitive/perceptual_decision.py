"""Perceptual decision: the direction of noisy motion, with a fixation cue."""

from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field, field_validator

from dynatlas.tasks.cognitive.periods import Duration, FixationTask, Noise, signed
from dynatlas.tasks.task import Trial


class PerceptualDecision(FixationTask):
    """Perceptual decision: tell which of two noisy inputs is stronger on average, when the fixation cue goes off.

    A trial is fixation, stimulus, delay, response. Inputs are the fixation cue and, during the stimulus, the evidence
    (1 + c)/2 and (1 − c)/2 for the two directions, each plus N(0, noise²) at every step. The signed coherence is ±c,
    with c drawn from ``coherences`` and a fair sign. The first output is 1 until the response and 0 during it. The
    second is the sign of the coherence during the response, and 0 before it.

    Conditions are the signed coherences, with the fixation cue on. The probe is a trial without noise for each. At the
    default settings an observer that adds up all evidence errs in 4 % of trials, and reaches R² = 0.93.

    Example:
        >>> task = PerceptualDecision(coherences=(0.1, 0.5))
        >>> task.steps, task.n_inputs, task.n_outputs
        (35, 3, 2)
        >>> task.condition_names()
        ('coherence −0.5', 'coherence −0.1', 'coherence 0.1', 'coherence 0.5')

    Source: Britten et al. 1992; coherences of Roitman & Shadlen 2002 without 0, which has no right answer; inputs and
    noise (0.1 at 100 ms a step) of NeuroGym's PerceptualDecisionMaking; the fixation output, the grace period and the
    weights of Yang et al. 2019, but for its doubled weight of the fixation output; two attractors and a saddle as in
    Wong & Wang 2006. The durations in steps, one output of sign ±1 instead of an output per choice, and the probe are
    choices of dynatlas.
    """

    kind: Literal["perceptual_decision"] = "perceptual_decision"
    fixation: Duration = 5
    stimulus: Duration = 20
    delay: Annotated[int, Field(ge=0, le=100_000)] = 0
    response: Duration = 10
    coherences: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1, max_length=500)] = (
        0.032,
        0.064,
        0.128,
        0.256,
        0.512,
    )
    noise: Noise = 0.1

    title: ClassVar[str] = "perceptual decision"
    threshold: ClassVar[tuple[Literal["mse", "r2"], float]] = ("r2", 0.8)
    periods: ClassVar[dict[str, str]] = {name: name for name in ("fixation", "stimulus", "delay", "response")}
    probe_words: ClassVar[str] = "the fixation cue, evidence without noise, fixation and choice"

    @field_validator("coherences")
    @classmethod
    def _no_repeats(cls, coherences: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(coherences)) < len(coherences):
            raise ValueError(f"{list(coherences)} names a coherence twice; each may stand once")
        return coherences

    @property
    def summary(self) -> str:
        """Description of the task and of its usual solution."""
        return (
            "The network watches noisy motion while a fixation cue is on, and reports its direction when the cue goes "
            "off. Known solutions are two stable fixed points, one per choice, with a saddle between them under weak "
            "evidence, and a line of slow points along which evidence is added up."
        )

    @property
    def n_inputs(self) -> int:
        """The fixation cue, and evidence for each direction."""
        return 3

    @property
    def n_outputs(self) -> int:
        """Fixation and choice."""
        return 2

    def trial(self, key: PRNGKeyArray) -> Trial:
        """Draw a random trial."""
        coherence_key, noise_key = jax.random.split(key)
        both = jnp.asarray(signed(self.coherences))
        coherence = both[jax.random.randint(coherence_key, (), 0, len(both), jnp.int32)]
        return self._watch(coherence, self.noise * jax.random.normal(noise_key, (self.steps, 2), jnp.float32))

    def probe(self) -> Trial:
        """Return a trial for each signed coherence, from low to high."""
        silence = jnp.zeros((self.steps, 2), jnp.float32)
        return jax.vmap(lambda coherence: self._watch(coherence, silence))(jnp.asarray(signed(self.coherences)))

    def conditions(self) -> Float[Array, "conditions 3"]:
        """Return the inputs during the stimulus, without noise, for each signed coherence."""
        both = signed(self.coherences)
        return jnp.asarray(np.stack([np.ones_like(both), (1 + both) / 2, (1 - both) / 2], axis=1))

    @property
    def n_conditions(self) -> int:
        """Number of signed coherences."""
        return 2 * len(self.coherences)

    def condition_names(self) -> tuple[str, ...]:
        """Return a name with each signed coherence."""
        names = (f"coherence {value:g}" for value in signed(self.coherences))
        return tuple(name.replace("-", "−") for name in names)

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """Return the coherence of each probe trial: each occurs once."""
        return np.arange(self.n_conditions)

    def _watch(self, coherence: Float[Array, ""], noise: Float[Array, "steps 2"]) -> Trial:
        evidence = jnp.stack([1 + coherence, 1 - coherence]) / 2
        choice = self.fixated(
            self.within("stimulus")[:, None] * (evidence + noise),
            jnp.stack([jnp.zeros_like(coherence), jnp.sign(coherence)]),
        )
        return Trial(choice.inputs, choice.targets.at[:, 0].set(choice.inputs[:, 0]), choice.weights)

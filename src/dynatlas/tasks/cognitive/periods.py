"""Trials that are sequences of periods, such as a stimulus, a delay and a response."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field, model_validator

from dynatlas.tasks.task import Task, Trial

MOST_STEPS: Final = 100_000  # of any task
HALF: Final = np.float32(0.5)  # of a Python float, JAX draws other numbers in double precision

Duration = Annotated[int, Field(ge=1, le=MOST_STEPS)]
Noise = Annotated[float, Field(ge=0, le=1e6)]  # standard deviation at each step
Weight = Annotated[float, Field(ge=0, le=1e6)]


def signed(coherences: Iterable[float]) -> Float[np.ndarray, " signed"]:
    """Return coherences of both signs, from low to high.

    Example:
        >>> signed((0.5, 0.25)).tolist()
        [-0.5, -0.25, 0.25, 0.5]
    """
    given = list(coherences)
    return np.sort([*given, *(-coherence for coherence in given)]).astype(np.float32)


class PeriodTask(Task):
    """Base class of tasks whose trials are sequences of periods, each as long as a setting says.

    ``steps`` is the sum of the durations. It need not be given, and is not stored.
    """

    # 0 until the durations are known.
    steps: Annotated[int, Field(ge=2, le=MOST_STEPS, exclude=True, description="sum of the durations")] = 0

    # Name of each period, in order → setting with its duration.
    periods: ClassVar[Mapping[str, str]]
    topology: ClassVar[tuple[str, ...]] = ("spectrum",)

    @model_validator(mode="after")
    def _sum_durations(self) -> Any:
        total = self._longest()
        if "steps" in self.model_fields_set and self.steps != total:
            raise ValueError(f"steps is {self.steps}, and the periods take {total} steps; leave steps out")
        if total > MOST_STEPS:
            raise ValueError(f"the periods take {total} steps; expected at most {MOST_STEPS}")
        # The model is frozen, and still under construction here.
        object.__setattr__(self, "steps", total)
        return self

    def _longest(self) -> int:
        """Return the number of steps of every trial."""
        return sum(self._durations().values())

    def _durations(self) -> dict[str, int]:
        return {period: getattr(self, setting) for period, setting in self.periods.items()}

    @property
    def variations(self) -> Mapping[str, Mapping[str, Any]]:  # type: ignore[override]
        """The delay, or without one the stimulus, twice and half as long; and more noise."""
        lengths = self._durations()
        period = next((name for name in ("delay", "stimulus", "cue") if lengths.get(name)), next(iter(lengths)))
        setting, length = self.periods[period], lengths[period]
        noise = getattr(self, "noise", 0.0)
        varied: dict[str, Mapping[str, Any]] = {}
        if self.steps + length <= MOST_STEPS:
            varied[f"twice the {period}"] = {setting: 2 * length}
        if length > 1:
            varied[f"half the {period}"] = {setting: length // 2}
        return varied | ({"twice the noise": {"noise": 2 * noise}} if noise else {"noisy inputs": {"input_noise": 0.1}})

    def within(self, period: str, later: Int[Array, ""] | int = 0) -> Float[Array, " steps"]:
        """Return 1 at the steps of a period, and 0 elsewhere. The last period extends to the end of the trial.

        Args:
            period: name of the period.
            later: steps by which the delay is longer than its setting.
        """
        names, durations = list(self.periods), list(self._durations().values())
        place = names.index(period)
        delay = names.index("delay") if "delay" in names else len(names)
        start = sum(durations[:place]) + later * (place > delay)
        end = sum(durations[: place + 1]) + later * (place >= delay)
        if place == len(names) - 1:
            end = self.steps
        time = jnp.arange(self.steps)
        return ((time >= start) & (time < end)).astype(jnp.float32)


class FixationTask(PeriodTask):
    """Base class of tasks with a fixation cue that goes off when the network has to respond.

    The first input is 1 until the response, and 0 during it. Targets are 0 until the response. The loss has the weight
    ``fixation_weight`` until the response, 0 for the ``grace`` steps that follow, and then ``response_weight``. The
    default weights are those of Yang et al. 2019.
    """

    grace: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 2
    fixation_weight: Weight = 1.0
    response_weight: Annotated[Weight, Field(gt=0)] = 5.0

    @model_validator(mode="after")
    def _response_counts(self) -> Any:
        response = self._durations()["response"]
        if self.grace >= response:
            raise ValueError(f"grace is {self.grace}, and the response takes {response} steps; expected fewer")
        return self

    def fixated(
        self,
        stimuli: Float[Array, "steps stimuli"],
        answer: Float[Array, " outputs"],
        later: Int[Array, ""] | int = 0,
    ) -> Trial:
        """Return the trial with these stimuli, beside the fixation cue, and this answer during the response."""
        response = self.within("response", later)[:, None]
        # The response without its first steps: both are shifted by the same delay.
        counted = response * jnp.roll(response, self.grace, axis=0).at[: self.grace].set(0)
        weights = self.fixation_weight * (1 - response) + self.response_weight * counted
        targets = response * answer
        return Trial(
            jnp.concatenate([1 - response, stimuli], axis=1), targets, jnp.broadcast_to(weights, targets.shape)
        )

    def conditions(self) -> Float[Array, "1 inputs"]:
        """Return the only static input: that of the delay, the fixation cue alone."""
        return jnp.eye(1, self.n_inputs, dtype=jnp.float32)

    @property
    def n_conditions(self) -> int:
        """One condition: the delay."""
        return 1

    def condition_names(self) -> tuple[str, ...]:
        """Return the name of the only condition."""
        return ("delay",)


class DelayTask(FixationTask):
    """Base class of tasks with a fixation cue and a memory delay.

    The delay takes ``delay`` steps, and up to ``jitter`` more: their number is uniform and differs between trials. A
    fixed delay can be bridged by transient activity; one that varies favours persistent activity (Orhan & Ma 2019).
    """

    delay: Duration = 20
    jitter: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 0

    def _longest(self) -> int:
        return super()._longest() + self.jitter

    def drawn_jitter(self, key: PRNGKeyArray) -> Int[Array, ""]:
        """Draw the number of steps by which a delay is longer."""
        return jax.random.randint(key, (), 0, self.jitter + 1, jnp.int32)

"""The tables of a study file, but for its tasks: what may stand in each, and how a mistake is told.

Every setting is checked when a file is read, and none can be changed afterwards.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dynatlas.measures.measure import Measure
from dynatlas.measures.registry import MEASURES, measure_of

# Which of these there are, a study says (see ``study``): some may be its user's own.
Name = Annotated[str, Field(min_length=1)]


ActivationName = Literal["tanh", "relu"]


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Training(Settings):
    """How one network is fitted. The learning rate at step s is ``learning_rate · decay_rate^(s/decay_steps)``."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    iterations: Annotated[int, Field(ge=1, le=10_000_000)] = 20_000
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.01
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    decay_steps: Annotated[int, Field(ge=1)] = 1000
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    validation_trials: Annotated[int, Field(ge=2, le=100_000)] = 256
    validation_interval: Annotated[int, Field(ge=1)] = 100


class Override(Settings):
    """Training settings for the members that match every factor given."""

    task: Name | None = None
    architecture: Name | None = None
    activation: ActivationName | None = None
    units: int | None = None
    l2: float | None = None
    training: dict[str, Any]

    @field_validator("training")
    @classmethod
    def _known_settings(cls, changes: dict[str, Any]) -> dict[str, Any]:
        Training.model_validate(changes)
        return changes

    def matches(self, factors: Mapping[str, Any]) -> bool:
        """Whether a member with these factors is meant."""
        wanted = self.model_dump(exclude={"training"}, exclude_none=True)
        return all(factors[name] == value for name, value in wanted.items())


Range = tuple[float, float]


# What a search draws for each sample.
SEARCHED = ("learning_rate", "decay_rate", "momentum", "clip_norm")


class Search(Settings):
    """Random search over each configuration's hyperparameters; the best validation error wins.

    ``random`` trains every sample for all of the training's iterations. ``halving`` trains the same samples for a share
    of them, keeps the best 1/``factor``, trains those ``factor`` times as long, and so on, until one is left.
    """

    method: Literal["random", "halving"] = "halving"
    samples: Annotated[int, Field(ge=2, le=100_000)] = 16
    factor: Annotated[int, Field(ge=2, le=100)] = 4
    # The range of each: the rate and the clip are drawn uniformly in their logarithm, the others uniformly.
    learning_rate: Range = (1e-5, 0.1)
    decay_rate: Range = (0.1, 0.9)
    momentum: Range = (0.0, 1.0)
    clip_norm: Range = (0.1, 10.0)

    @model_validator(mode="after")
    def _ranges(self) -> "Search":
        limits = {
            "learning_rate": (1e-12, 10),
            "decay_rate": (1e-12, 1),
            "momentum": (0, 1),
            "clip_norm": (1e-12, 1e12),
        }
        for name, (lowest, highest) in limits.items():
            low, high = getattr(self, name)
            if not lowest <= low <= high <= highest:
                raise ValueError(
                    f"{name} is [{low:g}, {high:g}]; expected [low, high] within [{lowest:g}, {highest:g}]"
                )
        return self

    def rungs(self, iterations: int) -> tuple[tuple[int, int], ...]:
        """(samples trained, iterations each has then done) of each rung; the last one's are ``iterations``."""
        if self.method == "random":
            return ((self.samples, iterations),)
        counts = [self.samples]
        while counts[-1] > 1:
            counts.append(max(1, counts[-1] // self.factor))
        return tuple(
            (count, max(1, iterations // self.factor ** (len(counts) - 1 - rung))) for rung, count in enumerate(counts)
        )


class Execution(Settings):
    """How the training is cut into pieces. No network's result depends on it."""

    # A block is as many members of one shape as need at most this much memory, and this long at 10 GFLOP/s.
    block_memory_gb: Annotated[float, Field(gt=0)] = 2.0
    block_hours: Annotated[float, Field(gt=0)] = 1.0
    # What a killed worker loses at most.
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 2.0


class Population(Settings):
    """The factors that are crossed: every combination is trained with every seed."""

    architectures: Annotated[tuple[Name, ...], Field(min_length=1)] = ("vanilla", "ugrnn", "gru", "lstm")
    activations: Annotated[tuple[ActivationName, ...], Field(min_length=1)] = ("tanh", "relu")
    units: Annotated[tuple[Annotated[int, Field(ge=1, le=16_384)], ...], Field(min_length=1)] = (64, 128, 256)
    l2: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (1e-5, 1e-4, 1e-3, 1e-2)
    seeds: Annotated[int, Field(ge=1, le=100_000)] = 30
    untrained_controls: bool = False  # keep every network's initial weights beside the trained ones

    @field_validator("architectures", "activations", "units", "l2")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"{list(values)} names a value twice; each may stand once")
        return values


class Analysis(Settings):
    """How the trained networks are analysed. Changing any of this never retrains a network."""

    measures: Annotated[tuple[str, ...], Field(min_length=1)] = ("svcca", "cka")
    measure_options: dict[str, dict[str, Any]] = {}  # measure → its own options
    svcca_variance: Annotated[float, Field(gt=0, le=1)] = 0.95
    svcca_components: Annotated[int, Field(ge=1)] | None = None  # a fixed number, instead of a share of the variance
    fixed_point_starts: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    fixed_point_noise: Annotated[float, Field(ge=0)] = 0.5
    fixed_point_tolerance: Annotated[float, Field(gt=0, le=1e-6)] = 1e-20
    slow_point_tolerance: Annotated[float, Field(gt=0, le=1)] = 1e-8
    fixed_point_max_starts: Annotated[int, Field(ge=1, le=100_000_000)] = 16_384
    transition_trials: Annotated[int, Field(ge=1, le=100_000)] = 100
    transition_scale: Annotated[float, Field(gt=0, lt=0.5)] = 0.02
    # Displacements at which the transition graph is made again, to see how much depends on it.
    sensitivity_scales: tuple[Annotated[float, Field(gt=0, lt=0.5)], ...] = (0.005, 0.08)
    attractor_steps: Annotated[int, Field(ge=1, le=100_000_000)] = 32_768
    manifold_points: Annotated[int, Field(ge=3, le=1_000)] = 20  # along the line that holds the integral
    neighbors: Annotated[int, Field(ge=1, le=100)] = 2  # of each point in a neighbour graph
    permutations: Annotated[int, Field(ge=1, le=1_000_000)] = 999
    bootstraps: Annotated[int, Field(ge=2, le=1_000_000)] = 999
    control_networks: Annotated[int, Field(ge=4, le=10_000)] = 128  # a task's, that the controls are made with

    @model_validator(mode="after")
    def _measures_agree(self) -> "Analysis":
        if len(set(self.measures)) < len(self.measures):
            raise ValueError(f"measures {list(self.measures)} names one twice; each may stand once")
        unused = sorted(set(self.measure_options) - set(self.measures))
        if unused:
            raise ValueError(f"measure_options has options for {unused[0]!r}, which is not among the measures")
        return self

    def measure(self, name: str) -> Measure:
        """One of the measures, with its options."""
        default = dict(MEASURES[name].study_options) if name in MEASURES else {}
        if name == "svcca":
            default = {"variance": self.svcca_variance, "components": self.svcca_components}
        return measure_of(name, default | self.measure_options.get(name, {}))

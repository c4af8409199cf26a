"""Settings of a study file, except its tasks: one class per table.

Settings are validated when a file is read, and frozen afterwards.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dynatlas.measures.findings import OF_STUDIES
from dynatlas.measures.measure import Measure
from dynatlas.measures.registry import BUILT_IN, MEASURES, measure_of

# Name of a task or cell; ``study`` checks it, since users can register further ones.
Name = Annotated[str, Field(min_length=1)]


class Settings(BaseModel):
    """Base class of frozen settings that refuse unknown keys."""

    # Neither NaN nor infinity: JSON, by whose hash a study is known, has no such numbers.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Settings that later versions have added, and what earlier versions did instead. At these values they do not count
    # in hashes, so that studies and networks of earlier versions keep theirs.
    before: ClassVar[Mapping[str, Any]] = {}

    def content(self) -> dict[str, Any]:
        """Return what identifies these settings, for hashes."""
        unchanged = {name for name, value in self.before.items() if getattr(self, name) == value}
        return self.model_dump(mode="json", exclude=unchanged)


class Training(Settings):
    """Training of one network. The learning rate at step s is ``learning_rate · decay_rate^(s/decay_steps)``.

    Noise is Gaussian, new at every step of every training trial, and absent otherwise: of the standard deviation
    ``input_noise`` on each input, and on each sum that enters the activation function of a hidden unit such that an
    isolated linear unit has the standard deviation ``recurrent_noise``. The penalties multiply the mean square of the
    rates of the hidden units, and of their change from step to step.
    """

    before = MappingProxyType(
        {"input_noise": 0.0, "recurrent_noise": 0.0, "rate_penalty": 0.0, "rate_change_penalty": 0.0}
    )

    optimizer: Literal["sgd", "adam"] = "sgd"
    iterations: Annotated[int, Field(ge=1, le=10_000_000)] = 20_000
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.01
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    decay_steps: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1000
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    clip_norm: Annotated[float, Field(gt=0, le=1e30)] = 1.0
    validation_trials: Annotated[int, Field(ge=2, le=100_000)] = 256
    validation_interval: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100
    input_noise: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    recurrent_noise: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    rate_penalty: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    rate_change_penalty: Annotated[float, Field(ge=0, le=1e6)] = 0.0


class Selection(Settings):
    """Members that match all given factors of the study; without any, all members."""

    model_config = ConfigDict(extra="allow")  # factors under ``[factors]``, which ``study`` checks

    task: Name | None = None
    architecture: Name | None = None
    activation: Name | None = None
    units: int | None = None
    l2: float | None = None

    def matches(self, factors: Mapping[str, object]) -> bool:
        """Whether a member with these factors is one of them."""
        return all(factors.get(name) == value for name, value in self.selected.items())

    @property
    def selected(self) -> dict[str, Any]:
        """The factors that are given, with their levels."""
        given = {name: getattr(self, name) for name in Selection.model_fields} | self.further
        return {name: value for name, value in given.items() if value is not None}

    @property
    def further(self) -> dict[str, Any]:
        """Those of them that not every study has."""
        return self.model_extra or {}


class Override(Selection):
    """Training settings, or the number of seeds, of the selected members."""

    before = MappingProxyType({"seeds": None})

    seeds: Annotated[int, Field(ge=1, le=100_000)] | None = None  # instead of those of the population
    training: dict[str, Any] = {}

    @model_validator(mode="after")
    def _changes_something(self) -> "Override":
        if not self.model_fields_set & {"seeds", "training"}:
            raise ValueError("the override changes nothing; give it a training table, or a number of seeds")
        return self

    @field_validator("training")
    @classmethod
    def _known_settings(cls, changes: dict[str, Any]) -> dict[str, Any]:
        Training.model_validate(changes)
        return changes


Range = tuple[float, float]
# Hyperparameters that a search draws for each sample.
SEARCHED = ("learning_rate", "decay_rate", "momentum", "clip_norm")


class Search(Settings):
    """Random search over the hyperparameters of each configuration; it chooses the smallest validation error.

    ``random`` trains every sample for the full number of iterations. ``halving`` trains the same samples for a fraction
    of them, keeps the best 1/``factor``, trains those ``factor`` times as long, and repeats until one is left.
    """

    method: Literal["random", "halving"] = "halving"
    samples: Annotated[int, Field(ge=2, le=100_000)] = 16
    factor: Annotated[int, Field(ge=2, le=100)] = 4
    # Ranges; learning_rate and clip_norm are drawn log-uniformly, the others uniformly.
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
        """Return (samples, iterations completed per sample) of each rung; the last rung completes ``iterations``."""
        if self.method == "random":
            return ((self.samples, iterations),)
        counts = [self.samples]
        while counts[-1] > 1:
            counts.append(max(1, counts[-1] // self.factor))
        return tuple(
            (count, max(1, iterations // self.factor ** (len(counts) - 1 - rung))) for rung, count in enumerate(counts)
        )


FEWEST_SNAPSHOTS, MOST_SNAPSHOTS = 2, 1_000
EARLIEST: Final = 200  # the first snapshot after iteration 0 is at this fraction of the training


class Snapshots(Selection):
    """Iterations at which the weights of the selected networks are kept during training.

    A number of snapshots stands for iteration 0, before training, and iterations up to the last one whose logarithms
    have equal distances, the first of them at 1/200 of the training.
    """

    iterations: int | tuple[int, ...] = 12
    seeds: Annotated[int, Field(ge=1, le=100_000)] | None = None  # of each configuration, from the first; all if None

    @field_validator("iterations", mode="before")
    @classmethod
    def _number_or_iterations(cls, value: object) -> object:
        numbers: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
        if not numbers or not all(isinstance(each, int) and not isinstance(each, bool) for each in numbers):
            raise ValueError("expected a number of snapshots, or a list of iterations")
        if isinstance(value, list | tuple):
            if numbers != sorted(set(numbers)) or numbers[0] < 0:
                raise ValueError(f"iterations are {numbers}; expected each once, in ascending order from 0")
        elif not FEWEST_SNAPSHOTS <= numbers[0] <= MOST_SNAPSHOTS:
            raise ValueError(f"expected {FEWEST_SNAPSHOTS} to {MOST_SNAPSHOTS:,} snapshots, or a list of iterations")
        return value

    def of(self, total: int) -> tuple[int, ...]:
        """Return the iterations of snapshots in a training of ``total`` iterations.

        Example:
            >>> Snapshots(iterations=6).of(2000)
            (0, 10, 38, 141, 532, 2000)
            >>> Snapshots(iterations=(0, 100, 5000)).of(2000)
            (0, 100)
        """
        if isinstance(self.iterations, tuple):
            return tuple(iteration for iteration in self.iterations if iteration <= total)
        spaced = np.geomspace(max(1, total // EARLIEST), total, self.iterations - 1)[:-1]
        return tuple(sorted({0, *(round(iteration) for iteration in spaced), total}))


class Execution(Settings):
    """Division of the training into blocks. It does not affect the result of any network."""

    # Limits of a block: its memory, and its training time at 10 GFLOP/s.
    block_memory_gb: Annotated[float, Field(gt=0, le=1e6)] = 2.0
    block_hours: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    # Interval between checkpoints: the most that a killed worker loses.
    checkpoint_minutes: Annotated[float, Field(gt=0, le=1e6)] = 2.0


class Population(Settings):
    """Crossed factors: every combination is trained with every seed."""

    architectures: Annotated[tuple[Name, ...], Field(min_length=1)] = ("vanilla", "ugrnn", "gru", "lstm")
    activations: Annotated[tuple[Name, ...], Field(min_length=1)] = ("tanh", "relu")
    units: Annotated[tuple[Annotated[int, Field(ge=1, le=16_384)], ...], Field(min_length=1)] = (64, 128, 256)
    l2: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (1e-5, 1e-4, 1e-3, 1e-2)
    seeds: Annotated[int, Field(ge=1, le=100_000)] = 30
    untrained_controls: bool = False  # also store every network's initial weights

    @field_validator("architectures", "activations", "units", "l2")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"{list(values)} names a value twice; each may stand once")
        return values


class Analysis(Settings):
    """Analysis of the trained networks. Changing these settings never retrains a network."""

    before = MappingProxyType(
        {
            "fixed_point_max_seconds": 120.0,
            "fixed_point_max_regions": None,
            "svcca_per_network": True,
            "variations": {},
        }
    )

    measures: Annotated[tuple[str, ...], Field(min_length=1)] = ("svcca", "cka")
    measure_options: dict[str, dict[str, Any]] = {}  # measure → options
    svcca_variance: Annotated[float, Field(gt=0, le=1)] = 0.95
    svcca_components: Annotated[int, Field(ge=1, le=1_000_000)] | None = None  # instead of a share of the variance
    svcca_per_network: bool = False  # each network keeps its own share, as google/svcca does: no measure of difference
    fixed_point_starts: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    fixed_point_noise: Annotated[float, Field(ge=0, le=1e6)] = 0.5  # standard deviation, around visited states
    fixed_point_tolerance: Annotated[float, Field(gt=0, le=1e-6)] = 1e-20
    slow_point_tolerance: Annotated[float, Field(gt=0, le=1)] = 1e-8
    fixed_point_max_starts: Annotated[int, Field(ge=1, le=100_000_000)] = 16_384
    fixed_point_max_seconds: Annotated[float, Field(gt=0, le=1e6)] = 120.0  # processor time of one search
    # Groups of linear regions of a relu network; by default 1,024 up to 16 units, and 0 beyond.
    fixed_point_max_regions: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    transition_trials: Annotated[int, Field(ge=1, le=100_000)] = 100  # random directions per fixed point
    transition_scale: Annotated[float, Field(gt=0, lt=0.5)] = 0.02  # displacement, of the nearest distance
    # Further displacements at which transition graphs are computed, to measure their sensitivity.
    sensitivity_scales: tuple[Annotated[float, Field(gt=0, lt=0.5)], ...] = (0.005, 0.08)
    attractor_steps: Annotated[int, Field(ge=1, le=100_000_000)] = 32_768
    manifold_points: Annotated[int, Field(ge=3, le=1_000)] = 20  # along a line attractor
    neighbors: Annotated[int, Field(ge=1, le=100)] = 2  # of each point in a neighbour graph
    permutations: Annotated[int, Field(ge=1, le=1_000_000)] = 999  # of each test; ten times as many where p < 0.05
    bootstraps: Annotated[int, Field(ge=2, le=1_000_000)] = 999
    control_networks: Annotated[int, Field(ge=4, le=10_000)] = 128  # networks per task used for the controls
    # Task → name → settings and noise with which its trained networks are tested, instead of what the task proposes.
    variations: dict[str, dict[str, dict[str, Any]]] = {}

    @model_validator(mode="after")
    def _measures_agree(self) -> "Analysis":
        if len(set(self.measures)) < len(self.measures):
            raise ValueError(f"measures {list(self.measures)} names one twice; each may stand once")
        if not self.activity_measures:
            raise ValueError(
                f"measures {list(self.measures)} names none of activity, which figures show first; add one, such as "
                '"svcca"'
            )
        unused = sorted(set(self.measure_options) - set(self.measures))
        if unused:
            raise ValueError(f"measure_options has options for {unused[0]!r}, which is not among the measures")
        if wrong := sorted(set(self.measure_options) & OF_STUDIES.keys()):
            raise ValueError(f"measure_options has options for {wrong[0]!r}, which has none")
        return self

    def measure(self, name: str) -> Measure:
        """Return a measure with its options in this study."""
        default = dict(MEASURES[name].study_options) if name in MEASURES else {}
        if name == "svcca":
            default = {"variance": self.svcca_variance, "components": self.svcca_components}
            # A fixed number is the same for all networks.
            default["per_network"] = self.svcca_per_network and self.svcca_components is None
        return measure_of(name, default | self.measure_options.get(name, {}))

    @property
    def activity_measures(self) -> tuple[str, ...]:
        """Measures that compare activity; the others compare findings."""
        return tuple(name for name in self.measures if name not in OF_STUDIES)

    @property
    def compares_robustness(self) -> bool:
        """Whether basins and smallest perturbations are computed: for the measure that compares them."""
        return "robustness" in self.measures

    @property
    def agreeing(self) -> tuple[str, ...]:
        """Measures by which all networks of a task are reduced to the same number of components."""
        return tuple(name for name in self.activity_measures if name in BUILT_IN and self.measure(name).needs_agreement)

"""A study file becomes a validated, frozen ``Study``, and that an ordered list of members.

A *member* is one network to train: everything that decides its weights, and nothing else, makes its content hash,
and that hash is its id and the source of its random keys. So adding a configuration, or changing an analysis,
never changes another member. Members of one *shape* share a compiled program; a *block* is as many of them as one
worker trains together.
"""

import difflib
import hashlib
import itertools
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import tomli_w
from jaxtyping import PRNGKeyArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dynatlas import costs
from dynatlas.cells import CELLS, Cell
from dynatlas.errors import StudyError
from dynatlas.tasks import TASKS, AnyTask
from dynatlas.tuned import read_overrides

Architecture = Literal["vanilla", "ugrnn", "gru", "lstm"]
ActivationName = Literal["tanh", "relu"]


# The speed that a block's stated time counts on: a modest core. Blocks depend on the study alone, never on a machine.
BLOCK_FLOPS_PER_SECOND = 1e10


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

    task: Literal["flip_flop", "sine_wave", "context_integration"] | None = None
    architecture: Architecture | None = None
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

    architectures: Annotated[tuple[Architecture, ...], Field(min_length=1)] = ("vanilla", "ugrnn", "gru", "lstm")
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

    measures: Annotated[tuple[Literal["svcca", "cka", "pwcca", "procrustes"], ...], Field(min_length=1)] = (
        "svcca",
        "cka",
    )
    svcca_variance: Annotated[float, Field(gt=0, le=1)] = 0.95
    svcca_components: Annotated[int, Field(ge=1)] | None = None  # a fixed number, instead of a share of the variance
    fixed_point_starts: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    fixed_point_noise: Annotated[float, Field(ge=0)] = 0.5
    fixed_point_tolerance: Annotated[float, Field(gt=0, le=1e-6)] = 1e-20
    slow_point_tolerance: Annotated[float, Field(gt=0, le=1)] = 1e-8
    fixed_point_max_starts: Annotated[int, Field(ge=1, le=100_000_000)] = 16_384
    transition_trials: Annotated[int, Field(ge=1, le=100_000)] = 100
    transition_scale: Annotated[float, Field(gt=0, lt=0.5)] = 0.02


class Shape(NamedTuple):
    """What decides a compiled program."""

    task: str
    architecture: str
    activation: str
    units: int

    @property
    def name(self) -> str:
        """A name fit for a file."""
        return f"{self.task}-{self.architecture}-{self.activation}-{self.units}"


class Block(NamedTuple):
    """Members of one shape that one worker trains together: the ``part``-th of them."""

    task: str
    architecture: str
    activation: str
    units: int
    part: int = 0

    @property
    def shape(self) -> Shape:
        """The shape of its members."""
        return Shape(*self[:4])

    @property
    def name(self) -> str:
        """A name fit for a file."""
        return f"{self.shape.name}-part{self.part}" if self.part else self.shape.name


class Configuration(NamedTuple):
    """What the seeds of one configuration share, and what a search tunes for."""

    task: str
    architecture: str
    activation: str
    units: int
    l2: float

    @property
    def name(self) -> str:
        """A name fit for a file."""
        return f"{Shape(*self[:4]).name}-l2_{self.l2!r}"


class Member(NamedTuple):
    """One network to train."""

    id: str
    task: str
    architecture: str
    activation: str
    units: int
    l2: float
    seed: int
    training: Training

    @property
    def shape(self) -> Shape:
        """The shape whose compiled program trains it."""
        return Shape(self.task, self.architecture, self.activation, self.units)

    @property
    def configuration(self) -> Configuration:
        """What it shares with its other seeds."""
        return Configuration(*self.shape, self.l2)

    @property
    def name(self) -> str:
        """A name for people; the id is for machines."""
        return f"{self.shape.name}-l2_{self.l2:g}-seed{self.seed}"

    def key(self, purpose: Literal["weights", "trials", "analysis"]) -> PRNGKeyArray:
        """The random key for one purpose, from the id alone."""
        return key_from(f"{self.id}/{purpose}")


def key_from(text: str) -> PRNGKeyArray:
    """A random key from a text, the same on every machine."""
    digest = hashlib.sha256(text.encode()).digest()
    return jax.random.key(int.from_bytes(digest[:4], "big"), impl="threefry2x32")


class Study(Settings):
    """A study: tasks × population × training × analysis.

    Example:
        >>> study = Study.load("demo")
        >>> len(study.members), len(study.blocks)
        (72, 24)
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    description: str = ""
    tasks: Annotated[tuple[AnyTask, ...], Field(min_length=1)]
    population: Population = Population()
    training: Training = Training()
    overrides: tuple[Override, ...] = ()
    search: Search | None = None
    execution: Execution = Execution()
    analysis: Analysis = Analysis()

    @model_validator(mode="after")
    def _tasks_differ(self) -> "Study":
        kinds = [task.kind for task in self.tasks]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"tasks {kinds} names a kind twice; each may stand once")
        return self

    @classmethod
    def load(cls, source: str | Path) -> "Study":
        """Read a study file, or a built-in study by its name.

        Raises:
            StudyError: no such file or built-in study, not TOML, an unknown key (the nearest valid one is named),
                a value of the wrong type or out of range.
        """
        path = Path(source)
        if str(source) in builtin_studies() and not path.exists():
            text = builtin_study_text(str(source))
        else:
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or error
                raise StudyError(
                    f"cannot read the study file {str(source)!r}: {reason}. Give the path of a TOML file, or one of "
                    f"the built-in studies: {', '.join(builtin_studies())}"
                ) from None
        return cls.parse(text, str(source), path.parent)

    @classmethod
    def parse(cls, text: str, source: str = "study", folder: Path = Path()) -> "Study":
        """Validate the text of a study file; ``source`` names it in errors, ``folder`` is where it lies."""
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise StudyError(f"{source} is not valid TOML: {error}") from None
        if "tuned" in data:
            # The study holds the settings themselves, so that its atlas does not depend on another file.
            tuned = data.pop("tuned")
            if not isinstance(tuned, str):
                raise StudyError(f"{source}: tuned is {tuned!r}; expected the name of a table")
            data["overrides"] = [*read_overrides(tuned, folder), *data.get("overrides", [])]
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            errors = error.errors()
            # A list whose items are wrong is reported as too short as well; the items say it better.
            inner = {item["loc"][0] for item in errors if len(item["loc"]) > 1}
            lines = [
                _explain(item, cls)
                for item in errors
                if item["type"] != "too_short" or item["input"] in ([], ()) or item["loc"][0] not in inner
            ]
            raise StudyError(f"{source} is not a valid study:\n  " + "\n  ".join(lines)) from None

    def to_toml(self) -> str:
        """The resolved study: every setting written out."""
        return tomli_w.dumps(_without_none(self.model_dump(mode="json")))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Study":
        """A changed copy, without what the original has cached of itself (which pydantic would copy along)."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    @cached_property
    def hash(self) -> str:
        """A hash of everything in the study but its name and description."""
        return _content_hash(self.model_dump(mode="json", exclude={"name", "description"}))

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Every network of the study, in the order of the file."""
        return tuple(self._members())

    @cached_property
    def shapes(self) -> dict[Shape, tuple[Member, ...]]:
        """The members, grouped by their compiled program."""
        shapes: dict[Shape, list[Member]] = {}
        for member in self.members:
            shapes.setdefault(member.shape, []).append(member)
        return {shape: tuple(members) for shape, members in shapes.items()}

    @cached_property
    def blocks(self) -> dict[Block, tuple[Member, ...]]:
        """The members, grouped by what one worker trains together."""
        blocks: dict[Block, tuple[Member, ...]] = {}
        for shape, members in self.shapes.items():
            parts = math.ceil(len(members) / self._members_per_block(shape, members))
            ends = [len(members) * part // parts for part in range(parts + 1)]
            for part, (start, end) in enumerate(itertools.pairwise(ends)):
                blocks[Block(*shape, part)] = members[start:end]
        return blocks

    @cached_property
    def configurations(self) -> dict[Configuration, tuple[Member, ...]]:
        """The members, grouped by all but their seeds."""
        configurations: dict[Configuration, list[Member]] = {}
        for member in self.members:
            configurations.setdefault(member.configuration, []).append(member)
        return {configuration: tuple(members) for configuration, members in configurations.items()}

    def block_of(self, member: Member) -> Block:
        """The block that a member is trained in."""
        return self._block_of[member.id]

    @cached_property
    def _block_of(self) -> dict[str, Block]:
        return {member.id: block for block, members in self.blocks.items() for member in members}

    def size(self, member: Member) -> costs.Size:
        """The numbers that decide what an iteration of this member costs."""
        task = self.task(member.task)
        batch_size = member.training.batch_size
        return costs.Size(member.architecture, member.units, task.n_inputs, task.n_outputs, task.steps, batch_size)

    def _members_per_block(self, shape: Shape, members: tuple[Member, ...]) -> int:
        size = self.size(members[0])
        seconds = size.flops * members[0].training.iterations / BLOCK_FLOPS_PER_SECOND
        by_time = self.execution.block_hours * 3600 / seconds
        by_memory = (self.execution.block_memory_gb * 1e9 - size.iteration_bytes) / size.network_bytes
        return max(1, int(min(by_time, by_memory)))

    def task(self, kind: str) -> AnyTask:
        """The task of this kind."""
        return next(task for task in self.tasks if task.kind == kind)

    def cell(self, block: Block | Shape, key: PRNGKeyArray) -> Cell:
        """A new network of this shape."""
        task = self.task(block.task)
        return CELLS[block.architecture](
            task.n_inputs,
            block.units,
            task.n_outputs,
            block.activation,  # type: ignore[arg-type]
            key=key,
        )

    def _members(self) -> Iterator[Member]:
        factors = self.population
        for task, architecture, activation, units, l2, seed in itertools.product(
            self.tasks,
            factors.architectures,
            factors.activations,
            factors.units,
            factors.l2,
            range(factors.seeds),
        ):
            labels = {
                "task": task.kind,
                "architecture": architecture,
                "activation": activation,
                "units": units,
                "l2": l2,
            }
            training = self._training(labels)
            content = labels | {
                "task": task.model_dump(mode="json", exclude=set(task.comparison_settings)),
                "seed": seed,
                "training": training.model_dump(mode="json"),
            }
            if self.search:
                # What the search will choose follows from its settings, so these stand for it.
                content["search"] = self.search.model_dump(mode="json")
            yield Member(_content_hash(content)[:16], task.kind, architecture, activation, units, l2, seed, training)

    def _training(self, labels: Mapping[str, Any]) -> Training:
        """The study's training settings with every matching override applied, later ones last."""
        settings = self.training.model_dump()
        for override in self.overrides:
            if override.matches(labels):
                settings |= override.training
        return Training.model_validate(settings)


def builtin_studies() -> list[str]:
    """The names of the studies that come with the package."""
    return sorted(file.name.removesuffix(".toml") for file in _studies().iterdir() if file.name.endswith(".toml"))


def builtin_study_text(name: str) -> str:
    """The commented file of a built-in study."""
    return (_studies() / f"{name}.toml").read_text(encoding="utf-8")


def _studies() -> Any:
    return resources.files("dynatlas") / "studies"


def _content_hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_none(value: Any) -> Any:
    """TOML has no null: a setting that is None is left out."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value


def _explain(error: Any, model: type[BaseModel]) -> str:
    """One validation error as a sentence: where, what was seen, what was expected."""
    location = list(error["loc"])
    where = ".".join(str(part) for part in location if part not in TASKS) or "study"
    if error["type"] == "extra_forbidden":
        valid = _valid_keys(location[:-1], model)
        near = difflib.get_close_matches(str(location[-1]), valid, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"valid keys: {', '.join(sorted(valid))}"
        return f"{where}: unknown key {location[-1]!r}; {hint}"
    if error["type"] == "missing":
        return f"{where}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    seen = "" if isinstance(error["input"], dict | list) else f", but it is {error['input']!r}"
    return f"{where}: {message[0].lower() + message[1:]}{seen}"


def _valid_keys(location: list[Any], model: type[BaseModel]) -> list[str]:
    """The keys that the table at ``location`` may have."""
    if location and location[0] == "tasks":
        return list(TASKS[location[2]].model_fields) if len(location) > 2 else list(TASKS)
    if location and location[0] == "overrides":
        return list((Training if "training" in location else Override).model_fields)
    if not location:
        return [*model.model_fields, "tuned"]
    tables: dict[str, type[BaseModel]] = {
        "population": Population,
        "training": Training,
        "search": Search,
        "execution": Execution,
        "analysis": Analysis,
    }
    return list(tables[location[0]].model_fields)

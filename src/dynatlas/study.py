"""A study file becomes a validated, frozen ``Study``, and that an ordered list of members.

A *member* is one network to train: everything that decides its weights, and nothing else, makes its content hash,
and that hash is its id and the source of its random keys. So adding a configuration, or changing an analysis,
never changes another member. A *block* is the members that share all shapes, and are trained together.
"""

import difflib
import hashlib
import itertools
import json
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

from dynatlas.cells import CELLS, Cell
from dynatlas.errors import StudyError
from dynatlas.tasks import TASKS, AnyTask

Architecture = Literal["vanilla", "ugrnn", "gru", "lstm"]
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

    task: Literal["flip_flop", "sine_wave", "context_integration"] | None = None
    architecture: Architecture | None = None
    activation: ActivationName | None = None
    units: int | None = None
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


class Population(Settings):
    """The factors that are crossed: every combination is trained with every seed."""

    architectures: Annotated[tuple[Architecture, ...], Field(min_length=1)] = ("vanilla", "ugrnn", "gru", "lstm")
    activations: Annotated[tuple[ActivationName, ...], Field(min_length=1)] = ("tanh", "relu")
    units: Annotated[tuple[Annotated[int, Field(ge=1, le=16_384)], ...], Field(min_length=1)] = (64, 128, 256)
    l2: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (1e-5, 1e-4, 1e-3, 1e-2)
    seeds: Annotated[int, Field(ge=1, le=100_000)] = 30

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


class Block(NamedTuple):
    """What decides the shape of a compiled program: members of one block are trained together."""

    task: str
    architecture: str
    activation: str
    units: int

    @property
    def name(self) -> str:
        """A name fit for a file."""
        return f"{self.task}-{self.architecture}-{self.activation}-{self.units}"


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
    def block(self) -> Block:
        """The block it is trained in."""
        return Block(self.task, self.architecture, self.activation, self.units)

    @property
    def name(self) -> str:
        """A name for people; the id is for machines."""
        return f"{self.block.name}-l2_{self.l2:g}-seed{self.seed}"

    def key(self, purpose: Literal["weights", "trials", "analysis"]) -> PRNGKeyArray:
        """The random key for one purpose, from the id alone."""
        digest = hashlib.sha256(f"{self.id}/{purpose}".encode()).digest()
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
        return cls.parse(text, str(source))

    @classmethod
    def parse(cls, text: str, source: str = "study") -> "Study":
        """Validate the text of a study file; ``source`` names it in errors."""
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise StudyError(f"{source} is not valid TOML: {error}") from None
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

    @cached_property
    def hash(self) -> str:
        """A hash of everything in the study but its name and description."""
        return _content_hash(self.model_dump(mode="json", exclude={"name", "description"}))

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Every network of the study, in the order of the file."""
        return tuple(self._members())

    @cached_property
    def blocks(self) -> dict[Block, tuple[Member, ...]]:
        """The members, grouped by what is compiled and trained together."""
        blocks: dict[Block, list[Member]] = {}
        for member in self.members:
            blocks.setdefault(member.block, []).append(member)
        return {block: tuple(members) for block, members in blocks.items()}

    def task(self, kind: str) -> AnyTask:
        """The task of this kind."""
        return next(task for task in self.tasks if task.kind == kind)

    def cell(self, block: Block, key: PRNGKeyArray) -> Cell:
        """A new network of this block."""
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
            }
            training = self._training(labels)
            content = labels | {
                "task": task.model_dump(mode="json", exclude=set(task.comparison_settings)),
                "l2": l2,
                "seed": seed,
                "training": training.model_dump(mode="json"),
            }
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
    tables: dict[str, type[BaseModel]] = {"population": Population, "training": Training, "analysis": Analysis}
    return list((tables[location[0]] if location else model).model_fields)

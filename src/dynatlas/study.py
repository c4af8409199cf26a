"""A study file becomes a validated, frozen ``Study``, and that an ordered list of members.

A *member* is one network to train: everything that decides its weights, and nothing else, makes its content hash,
and that hash is its id and the source of its random keys. So adding a configuration, or changing an analysis,
never changes another member. Members of one *shape* share a compiled program; a *block* is as many of them as one
worker trains together.
"""

import hashlib
import itertools
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import tomli_w
from jaxtyping import PRNGKeyArray
from pydantic import Field, ValidationError, model_validator

from dynatlas import costs
from dynatlas.cards import Card, Shown
from dynatlas.cells import CELLS, Cell
from dynatlas.errors import StudyError
from dynatlas.settings import Analysis, Execution, Override, Population, Search, Settings, Training, explain
from dynatlas.tasks import TASKS, AnyTask
from dynatlas.tuned import read_overrides

# The speed that a block's stated time counts on: a modest core. Blocks depend on the study alone, never on a machine.
BLOCK_FLOPS_PER_SECOND = 1e10


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


class Matrix(NamedTuple):
    """The distances between all networks of a task by one measure."""

    task: str
    measure: str

    @property
    def name(self) -> str:
        """A name fit for a file."""
        return f"{self.task}-{self.measure}"


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


class Study(Shown, Settings):
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
                explain(item, _valid_keys, "study", hidden=TASKS)
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

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """All matrices of distances: of each task those of geometry first."""
        return tuple(
            Matrix(task.kind, measure) for task in self.tasks for measure in (*self.analysis.measures, *task.topology)
        )

    def members_of(self, task: str) -> list[Member]:
        """A task's members, in order."""
        return [member for member in self.members if member.task == task]

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

    def _card(self) -> Card:
        of, training = self.population, self.training
        factors = {
            "architectures": of.architectures,
            "activations": of.activations,
            "units": of.units,
            "l2": [f"{value:g}" for value in of.l2],
        }
        rows = [("about", self.description)] if self.description else []
        rows += [("tasks", ", ".join(task.kind for task in self.tasks))]
        rows += [(name, ", ".join(map(str, levels))) for name, levels in factors.items()]
        rows += [("seeds", str(of.seeds))]
        rows += [
            (
                "training",
                f"{training.iterations:,} iterations of {training.optimizer}, batches of {training.batch_size}",
            )
        ]
        if self.search:
            rows += [("search", f"{self.search.method}, {self.search.samples} samples for each configuration")]
        rows += [("networks", f"{len(self.members):,} in {len(self.blocks):,} blocks")]
        return Card(f"Study {self.name!r}", tuple(rows), 'dynatlas.run(study, "FOLDER") gives its atlas')

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


def _valid_keys(location: Sequence[Any]) -> list[str]:
    """The keys that the table at ``location`` may have."""
    if location and location[0] == "tasks":
        return list(TASKS[location[2]].model_fields) if len(location) > 2 else list(TASKS)
    if location and location[0] == "overrides":
        return list((Training if "training" in location else Override).model_fields)
    if not location:
        return [*Study.model_fields, "tuned"]
    tables: dict[str, type[Settings]] = {
        "population": Population,
        "training": Training,
        "search": Search,
        "execution": Execution,
        "analysis": Analysis,
    }
    return list(tables[location[0]].model_fields)

"""``Study``: a validated, frozen study file, and its ordered members."""

import itertools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import tomli_w
from jaxtyping import PRNGKeyArray
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from dynatlas._io.atomic import open_regular
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas._util.messages import first_line
from dynatlas.cells.cell import Cell, CellSize, size_of
from dynatlas.cells.checks import check_cell
from dynatlas.cells.registry import BUILT_IN as BUILT_IN_CELLS
from dynatlas.cells.registry import CELLS
from dynatlas.errors import PluginError, StudyError
from dynatlas.measures.aspects import check_topology
from dynatlas.measures.measure import Measure
from dynatlas.measures.registry import BUILT_IN as BUILT_IN_MEASURES
from dynatlas.registry import Origin, origin_of, snapshot
from dynatlas.study import costs
from dynatlas.study.content import content_hash, each_member, task_content
from dynatlas.study.files import _tables, builtin_studies, builtin_study_text, explain, read_overrides
from dynatlas.study.members import Block, Configuration, Matrix, Member, Shape
from dynatlas.study.plugin_records import Known, Plugin, record
from dynatlas.study.plugins import GROUPS, Code, code_of, import_code
from dynatlas.study.settings import Analysis, Execution, Override, Population, Search, Settings, Training
from dynatlas.tasks.checks import check_task
from dynatlas.tasks.placeholder import code_is_missing
from dynatlas.tasks.registry import BUILT_IN as BUILT_IN_TASKS
from dynatlas.tasks.registry import TASKS, AnyTask
from dynatlas.tasks.task import Task, without_none

# Assumed speed of a modest core, for the duration of a block: blocks depend on the study only, not on the machine.
BLOCK_FLOPS_PER_SECOND = 1e10
LARGEST = 10_000_000  # bytes of a study file
LOADED = "loaded"  # key of the validation context: the code has been imported, check it


class Study(SummaryRepr, Settings):
    """A study: tasks × population × training × analysis.

    Example:
        >>> study = Study.load("demo")
        >>> len(study.members), len(study.blocks)
        (72, 24)
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    description: str = ""
    # Records of plug-ins; a study file names their files, relative to itself.
    plugins: tuple[Plugin, ...] = ()
    tasks: Annotated[tuple[AnyTask, ...], Field(min_length=1)]
    population: Population = Population()
    training: Training = Training()
    overrides: tuple[Override, ...] = ()
    search: Search | None = None
    execution: Execution = Execution()
    analysis: Analysis = Analysis()

    @field_validator("tasks", mode="before")
    @classmethod
    def _tasks_without_code(cls, value: object, info: Any) -> object:
        known = Known(info.data.get("plugins", ()))
        return [known.task(item) for item in value] if isinstance(value, list | tuple) else value

    @field_validator("population")
    @classmethod
    def _known_cells(cls, value: Population, info: Any) -> Population:
        known = Known(info.data.get("plugins", ()))
        _refuse_unknown("cell", known.cells, {("architectures", i): name for i, name in enumerate(value.architectures)})
        return value

    @field_validator("overrides")
    @classmethod
    def _known_factors(cls, value: tuple[Override, ...], info: Any) -> tuple[Override, ...]:
        known = Known(info.data.get("plugins", ()))
        _refuse_unknown("task", known.tasks, {(i, "task"): override.task for i, override in enumerate(value)})
        _refuse_unknown("cell", known.cells, {(i, "architecture"): item.architecture for i, item in enumerate(value)})
        return value

    @field_validator("analysis")
    @classmethod
    def _known_measures(cls, value: Analysis, info: Any) -> Analysis:
        known = Known(info.data.get("plugins", ()))
        for name in value.measures:
            if not known.without_code("measures", name):
                value.measure(name)
        return value

    @model_validator(mode="after")
    def _record_plugins(self, info: Any) -> "Study":
        """Keep the records of plug-ins whose code is not imported, and renew the others."""
        known = Known(self.plugins)
        kept: dict[Origin, Plugin] = {}
        used: dict[Origin, list[tuple[str, str]]] = {}
        for named in self._user_defined():
            if known.without_code(*named):
                kept[known.of[named].origin] = known.of[named]
                continue
            # Recorded tasks and cells were checked when the study was loaded; workers skip the check.
            if named not in known.of or (info.context or {}).get(LOADED):
                self._check(*named)
            if origin := origin_of(*named):
                used.setdefault(origin, []).append(named)
        found = [record(origin, *self._facts(names)) for origin, names in used.items()]
        plugins = (*kept.values(), *found)
        places = [plugin.file for plugin in plugins if plugin.file]
        if len(set(places)) < len(places):
            raise ValueError(f"plugins are {places}; their names must differ, whatever folders they are in")
        # The model is frozen, and still under construction here.
        object.__setattr__(self, "plugins", plugins)
        return self

    @model_validator(mode="after")
    def _tasks_differ(self) -> "Study":
        kinds = [task.kind for task in self.tasks]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"tasks {kinds} names a kind twice; each may stand once")
        return self

    @classmethod
    def load(cls, source: str | Path) -> "Study":
        """Read a study file, or a built-in study by its name.

        The files under ``plugins`` are imported, which runs them.

        Raises:
            StudyError: the file or built-in study does not exist, is not TOML, has an unknown key (the nearest valid
                one is named), or a value of the wrong type or out of range.
            PluginError: a file under ``plugins`` cannot be imported.
        """
        path = Path(source)
        if str(source) in builtin_studies() and not path.exists():
            text = builtin_study_text(str(source))
        else:
            try:
                with open_regular(path) as file:
                    text = file.read(LARGEST + 1).decode()
                if len(text) > LARGEST:
                    raise StudyError(f"{path} has more than {LARGEST:,} bytes; expected a study file")
            except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a zero byte in the path
                reason = getattr(error, "strerror", None) or error
                raise StudyError(
                    f"cannot read the study file {str(source)!r}: {reason}. Give the path of a TOML file, or one of "
                    f"the built-in studies: {', '.join(builtin_studies())}"
                ) from None
        # The study file of an atlas has every setting that the version that wrote it had.
        data = _resolved(_tables(text, str(source)), (path.parent / MANIFEST).exists())
        try:
            import_code(data, path.parent)
        except PluginError as error:
            raise PluginError(f"{source}: {error}") from None
        return cls._validated(data, str(source), path.parent, {LOADED: True})

    @classmethod
    def parse(cls, text: str, source: str = "study", folder: Path = Path(), *, is_resolved: bool = False) -> "Study":
        """Validate the text of a study file; ``source`` names it in errors, ``folder`` is its folder.

        A resolved text, as an atlas stores it, has every setting. Those that it lacks were added by a later version,
        and get the values by which earlier versions computed.

        No code is imported: user-defined tasks, cells and measures that are not registered in this process have no code
        in the study. The last few studies are cached, so that all jobs of a worker share a study and its members.
        """
        loaded = snapshot(registry for registry, _ in GROUPS.values())
        return _parsed(text, source, is_resolved, loaded) or cls._validated(_tables(text, source), source, folder)

    @classmethod
    def _validated(
        cls, data: dict[str, Any], source: str, folder: Path, context: dict[str, bool] | None = None
    ) -> "Study":
        if "tuned" in data:
            # The study stores the settings themselves, so that its atlas does not depend on the table.
            tuned = data.pop("tuned")
            if not isinstance(tuned, str):
                raise StudyError(f"{source}: tuned is {tuned!r}; expected the name of a table")
            data["overrides"] = [*read_overrides(tuned, folder), *data.get("overrides", [])]
        try:
            return cls.model_validate(data, context=context)
        except ValidationError as error:
            errors = error.errors()
            # pydantic also reports a list with invalid items as too short; the errors of the items are clearer.
            inner = {item["loc"][0] for item in errors if len(item["loc"]) > 1}
            lines = [
                explain(item, partial(_valid_keys, data), "study")
                for item in errors
                if item["type"] != "too_short" or item["input"] in ([], ()) or item["loc"][0] not in inner
            ]
            raise StudyError(f"{source} is not a valid study:\n  " + "\n  ".join(lines)) from None

    def to_toml(self) -> str:
        """Return the resolved study as TOML, with every setting."""
        return tomli_w.dumps(without_none(self.model_dump(mode="json", exclude=None if self.plugins else {"plugins"})))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Study":
        """Return a changed copy without the cached properties, which pydantic would copy."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    @cached_property
    def hash(self) -> str:
        """Hash of the study except its name and description; plug-ins contribute their versions."""
        content = self.model_dump(mode="json", exclude={"name", "description", "plugins", "tasks"})
        content["tasks"] = [task_content(task) for task in self.tasks]
        content["analysis"] = self.analysis.content()
        if self.plugins:
            content["plugins"] = sorted(plugin.identity for plugin in self.plugins)
        return content_hash(content)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """All networks of the study, in the order of the file."""
        return tuple(each_member(self))

    @cached_property
    def shapes(self) -> dict[Shape, tuple[Member, ...]]:
        """Members grouped by shape: each shape shares a compiled program."""
        shapes: dict[Shape, list[Member]] = {}
        for member in self.members:
            shapes.setdefault(member.shape, []).append(member)
        return {shape: tuple(members) for shape, members in shapes.items()}

    @cached_property
    def blocks(self) -> dict[Block, tuple[Member, ...]]:
        """Members grouped by block: one worker trains a block."""
        blocks: dict[Block, tuple[Member, ...]] = {}
        for shape, members in self.shapes.items():
            parts = math.ceil(len(members) / self._members_per_block(shape, members))
            ends = [len(members) * part // parts for part in range(parts + 1)]
            for part, (start, end) in enumerate(itertools.pairwise(ends)):
                blocks[Block(*shape, part)] = members[start:end]
        return blocks

    @cached_property
    def configurations(self) -> dict[Configuration, tuple[Member, ...]]:
        """Members grouped by configuration: all factors except the seed."""
        configurations: dict[Configuration, list[Member]] = {}
        for member in self.members:
            configurations.setdefault(member.configuration, []).append(member)
        return {configuration: tuple(members) for configuration, members in configurations.items()}

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """All distance matrices, task by task, geometry first."""
        return tuple(
            Matrix(task.kind, measure) for task in self.tasks for measure in (*self.analysis.measures, *task.topology)
        )

    def members_of(self, task: str) -> list[Member]:
        """Return the members of a task, in order."""
        return list(self._members_of.get(task, ()))

    @cached_property
    def _members_of(self) -> dict[str, list[Member]]:
        members: dict[str, list[Member]] = {}
        for member in self.members:
            members.setdefault(member.task, []).append(member)
        return members

    def members_named(self, label: str) -> list[Member]:
        """Return the members with this id or name."""
        return list(self._members_named.get(label, ()))

    @cached_property
    def _members_named(self) -> dict[str, list[Member]]:
        members: dict[str, list[Member]] = {}
        for member in self.members:
            for label in (member.id, member.name):
                members.setdefault(label, []).append(member)
        return members

    def block_of(self, member: Member) -> Block:
        """Return the block in which a member is trained."""
        return self._block_of[member.id]

    @cached_property
    def _block_of(self) -> dict[str, Block]:
        return {member.id: block for block, members in self.blocks.items() for member in members}

    def size(self, member: Member) -> costs.Size:
        """Return the sizes that determine the cost of an iteration of this member."""
        task = self.task(member.task)
        batch_size = member.training.batch_size
        channels = (task.n_inputs, task.n_outputs)
        own = None
        if member.architecture not in BUILT_IN_CELLS:
            own = self._cell_sizes.get((member.architecture, task.n_inputs, member.units, task.n_outputs))
            if own is None:
                raise StudyError(
                    f"the study's record of the cell {member.architecture!r} has no size for {task.n_inputs} inputs, "
                    f"{member.units} units and {task.n_outputs} outputs: it was changed by hand. Put it back; or start "
                    "from a study file that names the plugin's file"
                )
        return costs.Size(member.architecture, member.units, *channels, task.steps, batch_size, own)

    @cached_property
    def _cell_sizes(self) -> dict[tuple[str, int, int, int], CellSize]:
        """Sizes of user-defined cells: recorded, or computed from their code."""
        recorded = {name: sizes for plugin in self.plugins for name, sizes in plugin.cells.items()}
        names = [name for group, name in self._user_defined() if group == "cells"]
        return {
            (name, size.n_inputs, size.units, size.n_outputs): size
            for name in names
            for size in (recorded[name] if name in recorded else self._sizes(name))
        }

    def _members_per_block(self, shape: Shape, members: tuple[Member, ...]) -> int:
        size = self.size(members[0])
        seconds = size.flops * members[0].training.iterations / BLOCK_FLOPS_PER_SECOND
        by_time = self.execution.block_hours * 3600 / seconds
        by_memory = (self.execution.block_memory_gb * 1e9 - size.iteration_bytes) / size.network_bytes
        return max(1, int(min(by_time, by_memory)))

    def task(self, kind: str) -> Task:
        """Return the task of this kind."""
        return next(task for task in self.tasks if task.kind == kind)

    def cell(self, block: Block | Shape, key: PRNGKeyArray) -> Cell:
        """Initialise a network of this shape.

        Raises:
            PluginError: the cell is user-defined, and its code has not been imported.
        """
        task = self.task(block.task)
        return self._cell_class(block.architecture)(
            task.n_inputs, block.units, task.n_outputs, block.activation, key=key
        )

    def _cell_class(self, architecture: str) -> Callable[..., Cell]:
        if Known(self.plugins).without_code("cells", architecture):
            raise code_is_missing("cell", architecture)
        return CELLS[architecture]

    def measure(self, name: str) -> Measure:
        """Return a measure of geometry with its options.

        Raises:
            PluginError: the measure is user-defined, and its code has not been imported.
        """
        if Known(self.plugins).without_code("measures", name):
            raise code_is_missing("measure", name)
        return self.analysis.measure(name)

    def foreign_code(self) -> list[Code]:
        """Return the code of user-defined tasks, cells and measures, for workers.

        Raises:
            PluginError: some code has not been imported in this process, or cannot be imported by workers.
        """
        recorded = {named for plugin in self.plugins for named in plugin.names}
        for group, name in self._user_defined():
            if (group, name) not in recorded:
                raise PluginError(
                    f"the {group.removesuffix('s')} {name!r} was registered in this process alone, and the workers "
                    f'cannot find it; register it in a file, and name that in the study: plugins = ["my_{name}.py"]'
                )
        return [code_of(plugin.origin) for plugin in self.plugins]

    def _user_defined(self) -> Iterator[tuple[str, str]]:
        """Yield (group, name) of each task, cell and measure that is not built in."""
        yield from (("tasks", task.kind) for task in self.tasks if task.kind not in BUILT_IN_TASKS)
        yield from (("cells", name) for name in self.population.architectures if name not in BUILT_IN_CELLS)
        yield from (("measures", name) for name in self.analysis.measures if name not in BUILT_IN_MEASURES)

    def _check(self, group: str, name: str) -> None:
        """Check a user-defined task or cell; a ValueError states the defect."""
        if group == "tasks":
            task = self.task(name)
            check_task(task)
            has_line = not {"oscillation", "integration"}.isdisjoint(task.computations)
            check_topology(f"the task {name!r}", task.topology, task.n_conditions, has_line=has_line)
        if group == "cells":
            units = min(self.population.units)
            for (n_inputs, n_outputs), activation in itertools.product(self._channels(), self.population.activations):
                check_cell(name, CELLS[name], n_inputs, units, n_outputs, activation)

    def _facts(self, names: Sequence[tuple[str, str]]) -> "_Facts":
        """Return the facts to record of tasks, cells and measures whose code is imported."""
        tasks = {name: self.task(name) for group, name in names if group == "tasks"}
        cells = {name: self._sizes(name) for group, name in names if group == "cells"}
        return _Facts(tasks, cells, [name for group, name in names if group == "measures"])

    def _sizes(self, cell: str) -> tuple[CellSize, ...]:
        activation = self.population.activations[0]
        found = []
        for (n_inputs, n_outputs), units in itertools.product(self._channels(), self.population.units):
            try:
                found.append(size_of(CELLS[cell], n_inputs, units, n_outputs, activation))
            except Exception as error:
                raise ValueError(
                    f"the cell {cell!r}: {CELLS[cell].__name__}({n_inputs}, {units}, {n_outputs}, {activation!r}, "
                    f"key=…) fails: {type(error).__name__}: {first_line(error)}"
                ) from None
        return tuple(found)

    def _channels(self) -> list[tuple[int, int]]:
        """Return the distinct numbers of inputs and outputs of the study's networks."""
        return list(dict.fromkeys((task.n_inputs, task.n_outputs) for task in self.tasks))

    def _summary(self) -> Summary:
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
        return Summary(f"Study {self.name!r}", tuple(rows), 'dynatlas.run(study, "FOLDER") gives its atlas')


MANIFEST: Final = "manifest.json"  # of an atlas; the study file beside it is resolved
_SETTINGS: Final[dict[str, type[Settings]]] = {
    "population": Population,
    "training": Training,
    "search": Search,
    "execution": Execution,
    "analysis": Analysis,
}


class _Facts(NamedTuple):
    """Facts of the tasks, cells and measures of one plug-in."""

    tasks: dict[str, Task]
    cells: dict[str, tuple[CellSize, ...]]
    measures: list[str]


@lru_cache(maxsize=8)
def _parsed(text: str, source: str, is_resolved: bool, loaded: Hashable) -> Study | None:
    """Parse a study, which depends on its text and the loaded code; None if it names a table, which may change."""
    del loaded
    data = _resolved(_tables(text, source), is_resolved)
    files = data.get("plugins", [])
    if isinstance(files, list) and any(isinstance(file, str) for file in files):
        raise StudyError(f"{source}: plugins names files, which only Study.load imports; give it the path")
    return None if "tuned" in data else Study._validated(data, source, Path())


def _resolved(data: dict[str, Any], is_resolved: bool) -> dict[str, Any]:
    """Add the settings that a resolved study lacks, because a later version added them."""
    for name, settings in _SETTINGS.items() if is_resolved else ():
        if isinstance(data.get(name), dict):
            data[name] = dict(settings.before) | data[name]
    return data


def _refuse_unknown(what: str, known: Sequence[str], seen: Mapping[tuple[int | str, ...], str | None]) -> None:
    """Refuse names that are not registered; None stands for no name."""
    listed = ", ".join(map(repr, known))
    message = (
        f'expected one of {listed}, or a {what} of your own, registered by a file under plugins = ["my_{what}.py"]'
    )
    wrong = [
        # The message is an argument of the template, since it may contain braces.
        InitErrorDetails(type=PydanticCustomError("unknown", "{message}", {"message": message}), loc=place, input=name)
        for place, name in seen.items()
        if name is not None and name not in known
    ]
    if wrong:
        raise ValidationError.from_exception_data(what, wrong)


def _valid_keys(data: Mapping[str, Any], location: Sequence[int | str]) -> list[str]:
    """Return the valid keys of the table at ``location`` of a study file."""
    if location and location[0] == "tasks":
        return list(TASKS[data["tasks"][location[1]]["kind"]].model_fields)
    if location and location[0] == "plugins":
        return list(Plugin.model_fields)
    if location and location[0] == "overrides":
        return list((Training if "training" in location else Override).model_fields)
    if not location:
        return [*Study.model_fields, "tuned"]
    return list(_SETTINGS[str(location[0])].model_fields)

"""``Study``: a validated, frozen study file, and its ordered members."""

import itertools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, Final

import tomli_w
from jaxtyping import PRNGKeyArray
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from dynatlas._util.display import Summary, SummaryRepr
from dynatlas._util.messages import did_you_mean
from dynatlas.cells.cell import Cell, CellSize
from dynatlas.cells.registry import BUILT_IN as BUILT_IN_CELLS
from dynatlas.cells.registry import CELLS
from dynatlas.cells.settings import settings_of
from dynatlas.errors import PluginError, StudyError
from dynatlas.measures.findings import FINDING_MEASURES
from dynatlas.measures.measure import Measure
from dynatlas.registry import Origin, origin_of, snapshot
from dynatlas.study import costs
from dynatlas.study.checks import Place, check_cells, refuse_other_programs, refuse_unknown
from dynatlas.study.content import content_hash, each_member, task_content, task_table
from dynatlas.study.factors import (
    TABLES,
    Factor,
    Factors,
    Reader,
    Table,
    checked,
    chosen_settings,
    crossed,
    factors_of,
    plain,
    read_settings,
    refuse_searched,
)
from dynatlas.study.files import invalid_study, read_overrides, study_text, tables_of
from dynatlas.study.members import FACTORS, Block, Configuration, Matrix, Member, Shape
from dynatlas.study.plugin_records import Known, Plugin, record
from dynatlas.study.plugins import GROUPS, Code, code_of, import_code
from dynatlas.study.settings import (
    Analysis,
    Execution,
    Override,
    Population,
    Search,
    Selection,
    Settings,
    Snapshots,
    Training,
)
from dynatlas.study.user_defined import check, facts, sizes, user_defined
from dynatlas.study.variants import (
    Variation,
    changed,
    refuse_other_comparison,
    setting_names,
    variant,
    variations_of,
)
from dynatlas.tasks.placeholder import code_is_missing, has_code
from dynatlas.tasks.registry import TASKS, AnyTask
from dynatlas.tasks.task import Task, without_none

# Assumed speed of a modest core, for the duration of a block: blocks depend on the study only, not on the machine.
BLOCK_FLOPS_PER_SECOND = 1e10
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
    cells: dict[str, Any] = Field(default_factory=dict)  # settings of the cells; each takes those that it has
    factors: Factors = Factors()
    training: Training = Training()
    overrides: tuple[Override, ...] = ()
    search: Search | None = None
    snapshots: Snapshots | None = None
    execution: Execution = Execution()
    analysis: Analysis = Analysis()

    @model_validator(mode="before")
    @classmethod
    def _population_among_factors(cls, data: Any) -> Any:
        """Move the factors that every study has from ``[factors]``, where they may stand too, to ``[population]``."""
        factors = data.get("factors") if isinstance(data, dict) else None
        population = data.get("population", {}) if isinstance(data, dict) else None
        if not isinstance(factors, dict) or not isinstance(population, dict):
            return data
        moved = {_PLURALS[name]: levels for name, levels in factors.items() if name in _PLURALS}
        if twice := sorted(moved.keys() & population.keys()):
            raise ValueError(f"{twice[0]} stands under [population] and under [factors]; leave one of them out")
        others = {name: value for name, value in factors.items() if name not in _PLURALS}
        if unknown := sorted(others.keys() - set(TABLES)):
            table = "training" if unknown[0] in Training.model_fields else "cells"
            raise ValueError(
                f"[factors] has {unknown[0]!r}; expected {', '.join(_PLURALS)}, or a setting with its table, such as "
                f"{table}.{unknown[0]}"
            )
        return data | {"factors": others, "population": population | moved}

    @field_validator("snapshots", mode="before")
    @classmethod
    def _only_iterations(cls, value: object) -> object:
        if isinstance(value, bool | float | str):
            raise ValueError("expected a number of snapshots, a list of iterations, or a table")
        return {"iterations": value} if isinstance(value, int | list | tuple) else value

    @field_validator("tasks", mode="before")
    @classmethod
    def _tasks_without_code(cls, value: object, info: Any) -> object:
        known = Known(info.data.get("plugins", ()))
        return [known.task(item) for item in value] if isinstance(value, list | tuple) else value

    @field_validator("population")
    @classmethod
    def _known_cells(cls, value: Population, info: Any) -> Population:
        known = Known(info.data.get("plugins", ()))
        refuse_unknown("cell", known.cells, {("architectures", i): name for i, name in enumerate(value.architectures)})
        names: dict[Place, str | None] = {("activations", i): name for i, name in enumerate(value.activations)}
        refuse_unknown("activation", known.activations, names)
        return value

    @field_validator("overrides", "snapshots")
    @classmethod
    def _known_factors(cls, value: Any, info: Any) -> Any:
        known = Known(info.data.get("plugins", ()))
        several = isinstance(value, tuple)
        selections: dict[Place, Selection] = {(i,): each for i, each in enumerate(value)} if several else {(): value}
        chosen = {place: selection.selected for place, selection in selections.items() if selection}

        def refuse(what: str, factor: str, names: Sequence[str]) -> None:
            refuse_unknown(what, names, {(*place, factor): levels.get(factor) for place, levels in chosen.items()})

        if "tasks" in info.data:  # otherwise they are wrong, and their names unknown
            refuse("task", "task", [*known.tasks, *(task.name for task in info.data["tasks"])])
        refuse("activation", "activation", known.activations)
        refuse("cell", "architecture", known.cells)
        return value

    @field_validator("analysis")
    @classmethod
    def _known_measures(cls, value: Analysis, info: Any) -> Analysis:
        known = Known(info.data.get("plugins", ()))
        for name in value.activity_measures:
            if not known.without_code("measures", name):
                value.measure(name)
        return value

    @model_validator(mode="after")
    def _record_plugins(self, info: Any) -> "Study":
        """Keep the records of plug-ins whose code is not imported, and renew the others."""
        known = Known(self.plugins)
        kept: dict[Origin, Plugin] = {}
        used: dict[Origin, list[tuple[str, str]]] = {}
        for named in user_defined(self):
            if known.without_code(*named):
                kept[known.of[named].origin] = known.of[named]
                continue
            # Recorded tasks and cells were checked when the study was loaded; workers skip the check.
            if named not in known.of or (info.context or {}).get(LOADED):
                check(self, *named)
            if origin := origin_of(*named):
                used.setdefault(origin, []).append(named)
        found = [record(origin, *facts(self, names)) for origin, names in used.items()]
        plugins = (*kept.values(), *found)
        places = [plugin.file for plugin in plugins if plugin.file]
        if len(set(places)) < len(places):
            raise ValueError(f"plugins are {places}; their names must differ, whatever folders they are in")
        # The model is frozen, and still under construction here.
        object.__setattr__(self, "plugins", plugins)
        return self

    @model_validator(mode="after")
    def _tasks_differ(self) -> "Study":
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError(
                f"tasks {names} names a task twice; each may stand once: a task that stands twice, with other "
                'settings, needs a name = "…" of its own'
            )
        contents = [content_hash(task_content(task, set(task.comparison_settings))) for task in self.tasks]
        if len(set(contents)) < len(contents):
            raise ValueError(f"two of the tasks {names} are trained on the same trials; they need other settings")
        return self

    @model_validator(mode="after")
    def _settings_of_cells_and_factors(self, info: Any) -> "Study":
        """Check the settings under ``[cells]`` and the levels under ``[factors]``, and keep them as they were read."""
        known = Known(self.plugins)
        models = {
            name: settings_of(CELLS[name])
            for name in self.population.architectures
            if not known.without_code("cells", name)
        }
        if len(models) == len(self.population.architectures):
            self._refuse_unused(models)
        read = {
            name: read_settings(f"the cell {name!r}", Reader.of(model), self._accepted(model))
            for name, model in models.items()
        }
        cells = self.cells | {name: plain(getattr(of, name)) for of in read.values() for name in of.model_fields_set}
        readers: dict[Table, dict[str, Reader]] = {
            "tasks": {task.name: Reader(partial(changed, task), setting_names(task)) for task in self.tasks},
            "cells": {name: Reader.of(model) for name, model in models.items()},
            "training": {"training": Reader.of(Training)},
        }
        factors = checked(self.factors, readers)
        if both := sorted(cells.keys() & factors.cells.keys()):
            raise ValueError(f"{both[0]} stands under [cells] and under [factors]; leave one of the two out")
        if self.search:
            refuse_searched(factors)
        # The model is frozen, and still under construction here.
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "factors", factors)
        self._check_variants()
        if (info.context or {}).get(LOADED):
            check_cells(self, {name: self._accepted(model) for name, model in models.items()})
        return self

    def _refuse_unused(self, models: Mapping[str, type[BaseModel]]) -> None:
        """Refuse settings under ``[cells]`` that no cell of the study has."""
        fields = {field for model in models.values() for field in model.model_fields}
        for name in self.cells:
            if name not in fields:
                hint = did_you_mean(name, fields, f"they have {', '.join(sorted(fields)) or 'none'}")
                raise ValueError(f"cells.{name} is a setting of none of the study's cells; {hint}")

    def _check_variants(self) -> None:
        """Check that overrides name factors of the study, that tasks stay comparable at every level, and variations."""
        names = [task.name for task in self.tasks]
        if unknown := sorted(self.analysis.variations.keys() - set(names)):
            hint = did_you_mean(unknown[0], names, f"it has {', '.join(names)}")
            raise ValueError(f"analysis.variations names {unknown[0]!r}, which is no task of this study; {hint}")
        for task in self.tasks:
            if has_code(task):
                self.variations(task.name)
        if self.snapshots:
            self._refuse_absent(self.snapshots)
            if isinstance(self.snapshots.iterations, tuple):
                self._refuse_late_snapshots(self.snapshots.iterations)
        further = {factor.name for factor in self.further_factors}
        for what, selection in (*(("an override", each) for each in self.overrides), ("snapshots", self.snapshots)):
            if selection and (unknown := sorted(selection.further.keys() - further)):
                factors = [*FACTORS, *further]
                hint = did_you_mean(
                    unknown[0], [*type(selection).model_fields, *further], f"it has {', '.join(factors)}"
                )
                raise ValueError(f"{what} names {unknown[0]!r}, which is no factor of this study; {hint}")
        for levels in crossed(self.further_factors, "tasks"):
            for task in self.tasks:
                changes = chosen_settings(levels, "tasks")
                if changes and has_code(task):
                    refuse_other_comparison(task, changed(task, changes), changes)

    def _refuse_absent(self, selection: Selection) -> None:
        """Refuse levels of factors that no network of the study has."""
        levels = {"task": tuple(task.name for task in self.tasks)} | self.levels
        for name, level in selection.selected.items():
            if level not in levels.get(name, (level,)):
                raise ValueError(
                    f"snapshots are of networks with {name} = {level!r}, and this study has none; its levels are "
                    f"{', '.join(map(repr, levels[name]))}"
                )

    def _refuse_late_snapshots(self, iterations: tuple[int, ...]) -> None:
        """Refuse a snapshot after the end of every network's training."""
        changes = [override.training for override in self.overrides]
        changes += [chosen_settings(levels, "training") for levels in crossed(self.further_factors, "training")]
        longest = max([self.training.iterations, *(change.get("iterations", 0) for change in changes)])
        if iterations[-1] > longest:
            raise ValueError(
                f"there are snapshots at iteration {iterations[-1]}, and no network of this study trains for more than "
                f"{longest}"
            )

    def _accepted(self, model: type[BaseModel]) -> dict[str, Any]:
        """Return the settings under ``[cells]`` that a cell has."""
        return {name: value for name, value in self.cells.items() if name in model.model_fields}

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
        text = study_text(source)
        # The study file of an atlas has every setting that the version that wrote it had.
        data = _resolved(tables_of(text, str(source)), (path.parent / MANIFEST).exists())
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
        return _parsed(text, source, is_resolved, loaded) or cls._validated(tables_of(text, source), source, folder)

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
            raise invalid_study(source, error, partial(_valid_keys, data)) from None

    def to_toml(self) -> str:
        """Return the resolved study as TOML, with every setting."""
        exclude = self._left_out | (set() if self.plugins else {"plugins"})
        tables = self.model_dump(mode="json", exclude=exclude) | {"tasks": [task_table(task) for task in self.tasks]}
        return tomli_w.dumps(without_none(tables))

    @property
    def _left_out(self) -> set[str]:
        """Tables that are empty and that not every study has."""
        return {name for name in ("cells", "factors", "snapshots") if getattr(self, name) in ({}, Factors(), None)}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Study":
        """Return a changed copy without the cached properties, which pydantic would copy."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    @cached_property
    def hash(self) -> str:
        """Hash of the study except its name and description; plug-ins contribute their versions."""
        content = self.model_dump(mode="json", exclude={"name", "description", "plugins", "tasks", *self._left_out})
        content["tasks"] = [
            task_content(task) | ({} if task.name == task.kind else {"name": task.name}) for task in self.tasks
        ]
        content["training"] = self.training.content()
        content["overrides"] = [override.content() for override in self.overrides]
        if self.snapshots:
            content["snapshots"] = self.snapshots.content()
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
        for members in shapes.values():
            refuse_other_programs(members)
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

    def snapshots_of(self, member: Member) -> tuple[int, ...]:
        """Return the iterations at which a member's weights are kept during its training."""
        of = self.snapshots
        if of is None or not of.matches(member.configuration.columns):
            return ()
        return of.of(member.training.iterations) if of.seeds is None or member.seed < of.seeds else ()

    def follows(self, block: Block) -> bool:
        """Whether weights of a network of this block are kept during training."""
        return any(map(self.snapshots_of, self.blocks[block]))

    @cached_property
    def further_factors(self) -> tuple[Factor, ...]:
        """Factors under ``[factors]``: those that not every study has."""
        return factors_of(self.factors)

    @cached_property
    def levels(self) -> dict[str, tuple[Any, ...]]:
        """Every factor of the study by its name in tables, with its levels."""
        of = self.population
        built_in = dict(zip(FACTORS, (of.architectures, of.activations, of.units, of.l2), strict=True))
        return built_in | {factor.name: factor.shown for factor in self.further_factors}

    def measures_of(self, task: str) -> tuple[str, ...]:
        """Return the measures by which a task's networks are compared: the study's, then the task's own."""
        return (*self.analysis.measures, *self.task(task).topology)

    def finding_measures(self, task: str) -> tuple[str, ...]:
        """Return those of them that compare findings instead of activity."""
        return tuple(name for name in self.measures_of(task) if name in FINDING_MEASURES)

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """All distance matrices, task by task, in the order of ``measures_of``."""
        return tuple(Matrix(task.name, measure) for task in self.tasks for measure in self.measures_of(task.name))

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
        task = self.trained_task(member.configuration)
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
        names = [name for group, name in user_defined(self) if group == "cells"]
        return {
            (name, size.n_inputs, size.units, size.n_outputs): size
            for name in names
            for size in (recorded[name] if name in recorded else sizes(self, name))
        }

    def _members_per_block(self, shape: Shape, members: tuple[Member, ...]) -> int:
        size = self.size(members[0])
        seconds = size.flops * members[0].training.iterations / BLOCK_FLOPS_PER_SECOND
        by_time = self.execution.block_hours * 3600 / seconds
        by_memory = (self.execution.block_memory_gb * 1e9 - size.iteration_bytes) / size.network_bytes
        return max(1, int(min(by_time, by_memory)))

    def task(self, name: str) -> Task:
        """Return the task of this name, on whose probe and conditions its networks are compared."""
        for task in self.tasks:
            if task.name == name:
                return task
        names = [task.name for task in self.tasks]
        hint = did_you_mean(name, names, f"it has {', '.join(names)}")
        raise StudyError(f"the study has no task {name!r}; {hint}")

    def trained_task(self, of: Block | Shape | Configuration) -> Task:
        """Return the task that networks are trained on: that of their name, with the levels of its factors."""
        return variant(self.task(of.task), of.levels)

    def variations(self, task: str) -> dict[str, Variation]:
        """Return the variations of a task on which its trained networks are tested, the task itself first.

        Raises:
            PluginError: the task is user-defined, and its code has not been imported.
        """
        tested = self.task(task)
        if not has_code(tested):
            raise code_is_missing("task", tested.kind)
        return variations_of(tested, self.analysis.variations.get(task))

    def cell(self, of: Block | Shape, key: PRNGKeyArray) -> Cell:
        """Initialise a network of this shape.

        Raises:
            PluginError: the cell or the activation is user-defined, and its code has not been imported.
        """
        task = self.task(of.task)
        kind = self._cell_class(of.architecture)
        if Known(self.plugins).without_code("activations", of.activation):
            raise code_is_missing("activation", of.activation)
        settings = self._accepted(settings_of(kind)) | chosen_settings(of.levels, "cells")
        settings = {name: plain(value) for name, value in settings.items()}
        return kind(task.n_inputs, of.units, task.n_outputs, of.activation, key=key, **settings)

    def cell_content(self, configuration: Configuration) -> dict[str, Any]:
        """Return the settings of a configuration's cell: those of a built-in cell that differ from its defaults."""
        settings = self.cells | chosen_settings(configuration.levels, "cells")
        if configuration.architecture not in BUILT_IN_CELLS:
            return settings
        model = settings_of(CELLS[configuration.architecture])
        accepted = {name: value for name, value in settings.items() if name in model.model_fields}
        return model.model_validate(accepted).model_dump(mode="json", exclude_defaults=True)

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
        """Return the code of user-defined tasks, cells, measures and activations, for workers.

        Raises:
            PluginError: some code has not been imported in this process, or cannot be imported by workers.
        """
        recorded = {named for plugin in self.plugins for named in plugin.names}
        for group, name in user_defined(self):
            if (group, name) not in recorded:
                raise PluginError(
                    f"the {group.removesuffix('s')} {name!r} was registered in this process alone, and the workers "
                    f'cannot find it; register it in a file, and name that in the study: plugins = ["my_{name}.py"]'
                )
        return [code_of(plugin.origin) for plugin in self.plugins]

    def _summary(self) -> Summary:
        of, training = self.population, self.training
        factors = {
            "architectures": of.architectures,
            "activations": of.activations,
            "units": of.units,
            "l2": [f"{value:g}" for value in of.l2],
            **{factor.name: factor.shown for factor in self.further_factors},
        }
        rows = [("about", self.description)] if self.description else []
        rows += [("tasks", ", ".join(task.name for task in self.tasks))]
        rows += [(name, ", ".join(map(str, levels))) for name, levels in factors.items()]
        rows += [("cells", ", ".join(f"{name} {value}" for name, value in self.cells.items()))] if self.cells else []
        seeds = sorted({len(members) for members in self.configurations.values()})
        rows += [("seeds", ", ".join(map(str, seeds)))]
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
    "factors": Factors,
    "training": Training,
    "search": Search,
    "snapshots": Snapshots,
    "execution": Execution,
    "analysis": Analysis,
}


# Factors that every study has, by their names under [population].
_PLURALS: Final = {"architecture": "architectures", "activation": "activations", "units": "units", "l2": "l2"}


@lru_cache(maxsize=8)
def _parsed(text: str, source: str, is_resolved: bool, loaded: Hashable) -> Study | None:
    """Parse a study, which depends on its text and the loaded code; None if it names a table, which may change."""
    del loaded
    data = _resolved(tables_of(text, source), is_resolved)
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

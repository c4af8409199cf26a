"""Records of user-defined tasks, cells and measures in a frozen study: the source of their code, and their facts.

With these records an atlas can be opened, verified and displayed without the code.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Final

from pydantic import Field, model_validator

from dynatlas.cells.activations import ACTIVATIONS
from dynatlas.cells.cell import CellSize
from dynatlas.cells.registry import CELLS
from dynatlas.registry import Origin, origin_of
from dynatlas.study.settings import Settings
from dynatlas.tasks.placeholder import TaskFacts, task_without_code
from dynatlas.tasks.registry import TASKS
from dynatlas.tasks.task import Task

FOLDER: Final = "plugins"  # folder of an atlas with copies of plug-in files


class Plugin(Settings):
    """Record of a file or package that defines tasks, cells or measures of a study."""

    file: str | None = None  # path in the atlas, relative to the study file
    sha256: str | None = None
    package: str | None = None
    version: str | None = None
    tasks: dict[str, TaskFacts] = Field(default_factory=dict)  # by the name in the study
    cells: dict[str, tuple[CellSize, ...]] = Field(default_factory=dict)
    measures: tuple[str, ...] = ()
    activations: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_source(self) -> "Plugin":
        if bool(self.file and self.sha256) == bool(self.package and self.version):
            raise ValueError("expected either file and sha256, or package and version")
        if self.file and PurePosixPath(self.file).name != self.file.removeprefix(f"{FOLDER}/"):
            raise ValueError(f"file is {self.file!r}; expected {FOLDER}/NAME.py")
        return self

    @property
    def origin(self) -> Origin:
        """Source of the code: a file or a package."""
        if self.file:
            return Origin(PurePosixPath(self.file).name, self.sha256 or "", is_file=True)
        return Origin(self.package or "", self.version or "", is_file=False)

    @property
    def identity(self) -> str:
        """Version of the code: the hash of a file, or the name and version of a package."""
        return self.sha256 or f"{self.package}=={self.version}"

    @property
    def names(self) -> set[tuple[str, str]]:
        """The (group, name) pairs of this plug-in that the study uses."""
        found = {
            "tasks": [facts.kind or name for name, facts in self.tasks.items()],
            "cells": list(self.cells),
            "measures": self.measures,
            "activations": self.activations,
        }
        return {(group, name) for group, names in found.items() for name in names}


class Known:
    """Tasks, cells and measures that a study can name, with or without their code."""

    def __init__(self, plugins: tuple[Plugin, ...]):
        self.of = {named: plugin for plugin in plugins for named in plugin.names}
        self.tasks = list(dict.fromkeys([*TASKS, *(name for group, name in self.of if group == "tasks")]))
        self.cells = list(dict.fromkeys([*CELLS, *(name for group, name in self.of if group == "cells")]))
        self.activations = list(
            dict.fromkeys([*ACTIVATIONS, *(name for group, name in self.of if group == "activations")])
        )

    def without_code(self, group: str, name: str) -> bool:
        """Whether a task, cell or measure is recorded, but the recorded code is not registered under its name."""
        plugin = self.of.get((group, name))
        return plugin is not None and origin_of(group, name) != plugin.origin

    def task(self, value: object) -> object:
        """Return the table of a task unchanged, or a task without code if only its record is available."""
        if not isinstance(value, Mapping):
            return value
        kind = value.get("kind")
        if isinstance(kind, str) and self.without_code("tasks", kind):
            facts = self.of["tasks", kind].tasks[value.get("name", kind)]
            return task_without_code(kind, facts).model_validate(value)
        return value


def record(
    origin: Origin,
    tasks: Mapping[str, Task],
    cells: Mapping[str, tuple[CellSize, ...]],
    measures: Iterable[str],
    activations: Iterable[str],
) -> Plugin:
    """Record tasks, cells, measures and activations whose code has been imported."""
    where = (
        {"file": f"{FOLDER}/{origin.name}", "sha256": origin.version}
        if origin.is_file
        else {"package": origin.name, "version": origin.version}
    )
    facts = {name: TaskFacts.of(task) for name, task in tasks.items()}
    of_code = {"measures": tuple(measures), "activations": tuple(activations)}
    return Plugin(**where, tasks=facts, cells=dict(cells), **of_code)

"""User-defined tasks, cells, measures and activations of a study: which they are, their checks, and their facts."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dynatlas._util.messages import first_line
from dynatlas.cells.activations import BUILT_IN_ACTIVATIONS
from dynatlas.cells.cell import CellSize, size_of
from dynatlas.cells.checks import check_cell
from dynatlas.cells.registry import BUILT_IN as BUILT_IN_CELLS
from dynatlas.cells.registry import CELLS
from dynatlas.measures.findings import check_topology
from dynatlas.measures.registry import BUILT_IN as BUILT_IN_MEASURES
from dynatlas.tasks.checks import check_task
from dynatlas.tasks.registry import BUILT_IN as BUILT_IN_TASKS
from dynatlas.tasks.task import Task

if TYPE_CHECKING:
    from dynatlas.study.study import Study


class Facts(NamedTuple):
    """Facts of the tasks, cells, measures and activations of one plug-in."""

    tasks: dict[str, Task]
    cells: dict[str, tuple[CellSize, ...]]
    measures: list[str]
    activations: list[str]


def user_defined(study: "Study") -> Iterator[tuple[str, str]]:
    """Yield (group, name) of each task, cell, measure and activation that is not built in."""
    used = {
        "tasks": ([task.kind for task in study.tasks], BUILT_IN_TASKS),
        "cells": (study.population.architectures, BUILT_IN_CELLS),
        "measures": (study.analysis.activity_measures, BUILT_IN_MEASURES),
        "activations": (study.population.activations, BUILT_IN_ACTIVATIONS),
    }
    # A name that a later version of dynatlas took is still the plug-in's in a study that records it.
    recorded = {named for plugin in study.plugins for named in plugin.names}
    for group, (names, built_in) in used.items():
        yield from ((group, name) for name in dict.fromkeys(names) if name not in built_in or (group, name) in recorded)


def check(study: "Study", group: str, name: str) -> None:
    """Check a user-defined task or cell; a ValueError states the defect."""
    for task in study.tasks if group == "tasks" else ():
        if task.kind == name:
            check_task(task)
            has_line = not {"oscillation", "integration"}.isdisjoint(task.computations)
            check_topology(f"the task {task.name!r}", task.topology, task.n_conditions, has_line=has_line)
    if group == "cells":
        units = min(study.population.units)
        for (n_inputs, n_outputs), activation in itertools.product(_channels(study), study.population.activations):
            check_cell(name, CELLS[name], n_inputs, units, n_outputs, activation)


def facts(study: "Study", names: Sequence[tuple[str, str]]) -> Facts:
    """Return the facts to record of tasks, cells, measures and activations whose code is imported."""
    return Facts(
        tasks={task.name: task for task in study.tasks if ("tasks", task.kind) in names},
        cells={name: sizes(study, name) for group, name in names if group == "cells"},
        measures=[name for group, name in names if group == "measures"],
        activations=[name for group, name in names if group == "activations"],
    )


def sizes(study: "Study", cell: str) -> tuple[CellSize, ...]:
    """Return the sizes of a user-defined cell with the study's channels and units."""
    activation = study.population.activations[0]
    found = []
    for (n_inputs, n_outputs), units in itertools.product(_channels(study), study.population.units):
        try:
            found.append(size_of(CELLS[cell], n_inputs, units, n_outputs, activation))
        except Exception as error:
            raise ValueError(
                f"the cell {cell!r}: {CELLS[cell].__name__}({n_inputs}, {units}, {n_outputs}, {activation!r}, "
                f"key=…) fails: {type(error).__name__}: {first_line(error)}"
            ) from None
    return tuple(found)


def _channels(study: "Study") -> list[tuple[int, int]]:
    """Return the distinct numbers of inputs and outputs of the study's networks."""
    return list(dict.fromkeys((task.n_inputs, task.n_outputs) for task in study.tasks))

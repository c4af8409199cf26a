"""Checks of a study's parts against each other, and tasks with other settings."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from dynatlas.errors import StudyError
from dynatlas.study.factors import chosen_settings
from dynatlas.study.members import TRACED, Levels, Member
from dynatlas.study.settings import Training
from dynatlas.tasks.task import Task

Place = tuple[int | str, ...]  # of a value in a study file


def refuse_unknown(what: str, known: Sequence[str], seen: Mapping[Place, str | None]) -> None:
    """Refuse names that are not registered; None stands for no name."""
    listed = ", ".join(map(repr, known))
    article = "an" if what[0] == "a" else "a"
    message = (
        f"expected one of {listed}, or {article} {what} of your own, registered by a file under "
        f'plugins = ["my_{what}.py"]'
    )
    wrong = [
        # The message is an argument of the template, since it may contain braces.
        InitErrorDetails(type=PydanticCustomError("unknown", "{message}", {"message": message}), loc=place, input=name)
        for place, name in seen.items()
        if name is not None and name not in known
    ]
    if wrong:
        raise ValidationError.from_exception_data(what, wrong)


def changed(task: Task, changes: dict[str, Any]) -> Task:
    """Return a task with other settings; a ``ValidationError`` names one that it does not accept."""
    return type(task).model_validate(task.model_dump() | {"name": task.name} | changes)


@lru_cache(maxsize=256)
def variant(task: Task, levels: Levels) -> Task:
    """Return a task with the levels of its factors."""
    changes = chosen_settings(levels, "tasks")
    return changed(task, changes) if changes else task


def refuse_other_comparison(task: Task, variant: Task, changes: Mapping[str, Any]) -> None:
    """Refuse levels with which networks cannot be compared on the probe of the task itself."""

    def compared(of: Task) -> dict[str, Any]:
        facts = {"inputs": of.n_inputs, "outputs": of.n_outputs, "conditions": np.asarray(of.conditions()).tolist()}
        return facts | {"frequencies": of.condition_frequencies(), "integrated inputs": of.integrated_inputs()}

    seen, wanted = compared(variant), compared(task)
    if different := [name for name in wanted if seen[name] != wanted[name]]:
        settings = ", ".join(f"{name} = {value!r}" for name, value in changes.items())
        raise ValueError(
            f"the task {task.name!r} has other {different[0]} with {settings}, so its networks cannot be compared with "
            'the others; list the task twice under [[tasks]], each with a name = "…" of its own'
        )


def refuse_other_programs(members: Sequence[Member]) -> None:
    """Refuse training settings that differ within a shape, whose networks are trained together."""
    programs = {member.training.model_copy(update=dict.fromkeys(TRACED)): member for member in members}
    if len(programs) > 1:
        one, other = list(programs.values())[:2]
        name = next(
            name
            for name in Training.model_fields
            if getattr(one.training, name) != getattr(other.training, name) and name not in TRACED
        )
        raise StudyError(
            f"{name} is {getattr(one.training, name)} for {one.name} and {getattr(other.training, name)} for "
            f"{other.name}, which are trained together; by l2, or by a factor that is among {', '.join(TRACED)}, an "
            f"override can change only these"
        )

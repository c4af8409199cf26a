"""Checks of a study's parts against each other."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from dynatlas._util.messages import first_line
from dynatlas.cells.architectures import StagedCell
from dynatlas.cells.cell import Cell
from dynatlas.cells.registry import CELLS
from dynatlas.errors import StudyError
from dynatlas.study.factors import chosen_settings, crossed, plain
from dynatlas.study.members import TRACED, Member
from dynatlas.study.settings import Training
from dynatlas.tasks.placeholder import has_code

if TYPE_CHECKING:
    from dynatlas.study.study import Study

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


def check_cells(study: "Study", accepted: Mapping[str, dict[str, Any]]) -> None:
    """Check that each cell accepts every combination of its settings in every size, and noise if there is some.

    Args:
        study: the study.
        accepted: the settings under ``[cells]`` that each cell has.
    """
    combinations = itertools.product(accepted.items(), crossed(study.further_factors, "cells"), study.population.units)
    for (name, shared), levels, units in combinations:
        settings = {name: plain(value) for name, value in (shared | chosen_settings(levels, "cells")).items()}
        if settings:
            size = (study.tasks[0].n_inputs, units, study.tasks[0].n_outputs)
            _check_settings(name, size, study.population.activations[0], settings)
    noises = [study.training.recurrent_noise, *study.factors.training.get("recurrent_noise", ())]
    noises += [override.training.get("recurrent_noise") for override in study.overrides]
    setters = ["training.recurrent_noise is set"] if any(noises) else []
    setters += [
        f"the variation {name!r} of the task {task.name!r} has recurrent_noise"
        for task in study.tasks
        if has_code(task)
        for name, variation in study.variations(task.name).items()
        if variation.recurrent_noise
    ]
    for setter, name in itertools.product(setters, accepted):
        if not issubclass(CELLS[name], StagedCell):
            raise ValueError(
                f"{setter}, and the cell {name!r} does not derive from StagedCell, into whose sums the noise goes; set "
                "it to 0, or take input_noise"
            )


def _check_settings(name: str, size: tuple[int, int, int], activation: str, settings: Mapping[str, Any]) -> None:
    """Check settings together, without initialising weights."""
    make: Callable[..., Cell] = CELLS[name]
    key = jax.random.key(0, impl="threefry2x32")
    try:
        jax.eval_shape(lambda key: make(*size, activation, key=key, **settings), key)
    except Exception as error:  # of code that users write, too
        listed = ", ".join(f"{setting} = {value!r}" for setting, value in settings.items())
        raise ValueError(f"the cell {name!r} with {size[1]} units and {listed}: {first_line(error)}") from None


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

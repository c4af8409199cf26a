"""A task from a function of a random key and of settings."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from jaxtyping import PRNGKeyArray
from pydantic import create_model

from dynatlas.tasks.task import Task, Trial


class _FunctionTask(Task):
    """A task of which only the trials are given."""

    function: ClassVar[Callable[..., Any]]

    def trial(self, key: PRNGKeyArray) -> Trial:
        settings = {name: getattr(self, name) for name in type(self).model_fields if name != "kind"}
        inputs, targets = type(self).function(key, **settings)
        return Trial(inputs, targets)


def task_of_function(function: Callable[..., Any]) -> type[Task]:
    """The task whose trials are ``function(key, **settings)``, and whose settings are its other parameters.

    Raises:
        ValueError: a parameter has no default, or the name of something that every task has; none is ``steps``.
    """
    name = getattr(function, "__qualname__", repr(function))
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    fields: dict[str, Any] = {}
    for parameter in parameters[1:]:
        if parameter.default is parameter.empty or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(f"{parameter} of the task {name} has no default; settings need one, as in steps: int = 50")
        if parameter.name != "steps" and (hasattr(Task, parameter.name) or parameter.name in Task.model_fields):
            raise ValueError(f"{parameter.name} of the task {name} is a word that every task has; choose another")
        kind = type(parameter.default) if parameter.annotation is parameter.empty else parameter.annotation
        fields[parameter.name] = (kind, parameter.default)
    if not parameters or "steps" not in fields:
        raise ValueError(f"the task {name} needs a random key and a setting steps, as in def {name}(key, steps=50)")
    made = create_model(
        getattr(function, "__name__", "task"),
        __base__=_FunctionTask,
        __module__=function.__module__,
        __doc__=function.__doc__,
        **fields,
    )
    made.__qualname__ = name
    made.function = staticmethod(function)
    return made

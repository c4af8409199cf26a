"""Registry of tasks that a study file can name: built-in and user-defined ones."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

from jaxtyping import PRNGKeyArray
from pydantic import PlainValidator, SerializeAsAny, ValidationError, create_model
from pydantic_core import InitErrorDetails

from dynatlas._util.messages import did_you_mean
from dynatlas.registry import check_name, enter
from dynatlas.tasks.cognitive import (
    ContextDecision,
    DelayedCue,
    DelayedDiscrimination,
    MatchToSample,
    MemoryAngle,
    PathIntegration,
    PerceptualDecision,
)
from dynatlas.tasks.context_integration import ContextIntegration
from dynatlas.tasks.flip_flop import FlipFlop
from dynatlas.tasks.sine_wave import SineWave
from dynatlas.tasks.task import Computation, Task, Trial

TASKS: dict[str, type[Task]] = {
    "flip_flop": FlipFlop,
    "sine_wave": SineWave,
    "context_integration": ContextIntegration,
    "delayed_discrimination": DelayedDiscrimination,
    "perceptual_decision": PerceptualDecision,
    "match_to_sample": MatchToSample,
    "path_integration": PathIntegration,
    "memory_angle": MemoryAngle,
    "delayed_cue": DelayedCue,
    "context_decision": ContextDecision,
}

BUILT_IN: Final = tuple(TASKS)
PAPER: Final = ("flip_flop", "sine_wave", "context_integration")  # the tasks of the paper, in its order

Added = TypeVar("Added")


def register_task(name: str) -> Callable[[Added], Added]:
    """Register a task under a name, its ``kind`` in study files.

    A task is a subclass of ``Task``, or a function of a random key and of settings that returns the inputs
    ``[steps, inputs]`` and the targets ``[steps, outputs]`` of one trial, and their weights in the loss
    ``[steps, outputs]`` if they differ. All settings need defaults, and one of them is ``steps``.

    Raises:
        ValueError: the name is taken or invalid; the object is not a task.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> @register_task("running_mean")
        ... def running_mean(key, steps: int = 20, noise: float = 0.5):
        ...     inputs = 1 + noise * jax.random.normal(key, (steps, 1), jnp.float32)
        ...     return inputs, jnp.cumsum(inputs, axis=0) / jnp.arange(1, steps + 1, dtype=jnp.float32)[:, None]
        >>> task = TASKS["running_mean"](noise=0.1)
        >>> task.kind, task.title, task.n_outputs, task.trial(jax.random.key(0)).targets.shape
        ('running_mean', 'running mean', 1, (20, 1))
        >>> del TASKS["running_mean"]  # unregister it
    """

    def register(added: Any) -> Any:
        check_name("task", name)
        if isinstance(added, type) and issubclass(added, Task):
            base = next((kind for kind in BUILT_IN if issubclass(added, TASKS[kind])), None)
            if base:
                raise ValueError(
                    f"{added.__qualname__} derives from the task {base!r}, which is final; derive from Task"
                )
            made = _with_kind(added, name)
            enter(TASKS, "tasks", name, made)
            return made
        if isinstance(added, type) or not callable(added):
            raise ValueError(f"{added!r} is no subclass of dynatlas.tasks.Task, and no function of a random key")
        enter(TASKS, "tasks", name, _with_kind(task_of_function(added), name))
        return added

    return register


def built_in_task(computation: Computation) -> str:
    """Return the kind of the built-in task with this computation.

    Example:
        >>> built_in_task("oscillation")
        'sine_wave'
    """
    return next(kind for kind in BUILT_IN if computation in task_of({"kind": kind}).computations)


def task_of(value: object) -> Task:
    """Create a task from its table in a study file.

    Raises:
        ValidationError, ValueError: the kind is unknown; a setting is unknown or out of range.
    """
    if isinstance(value, Task):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"a task is a table with a kind, not a {type(value).__name__}")
    if "kind" not in value:
        raise ValidationError.from_exception_data(
            "task", [InitErrorDetails(type="missing", loc=("kind",), input=value)]
        )
    kind = value["kind"]
    if not isinstance(kind, str):
        raise ValueError(f"the kind of a task is of type {type(kind).__name__}; expected a text, such as 'flip_flop'")
    if kind not in TASKS:
        meant = did_you_mean(str(kind), TASKS, "")
        hint = f"{meant} " if meant else ""
        raise ValueError(
            f"there is no task {kind[:80]!r}; {hint}Known are {', '.join(map(repr, TASKS))}; a task of your own has to "
            'be registered by a file that the study names: plugins = ["my_task.py"]'
        )
    return TASKS[kind].model_validate(value)


AnyTask = Annotated[SerializeAsAny[Task], PlainValidator(task_of)]


def _with_kind(task: type[Task], name: str) -> type[Task]:
    """Return the class with its kind set, so that its author need not repeat the name."""
    kind: Any = (Literal[name], name)
    made = create_model(task.__name__, __base__=task, __module__=task.__module__, __doc__=task.__doc__, kind=kind)
    made.__qualname__ = task.__qualname__
    if not made.title:
        made.title = name.replace("_", " ")
    return made


class _FunctionTask(Task):
    """Base class of tasks that are defined by a function for their trials."""

    function: ClassVar[Callable[..., Any]]

    def trial(self, key: PRNGKeyArray) -> Trial:
        own = [name for name in type(self).model_fields if name == "steps" or name not in Task.model_fields]
        settings = {name: getattr(self, name) for name in own}
        drawn = type(self).function(key, **settings)
        return drawn if isinstance(drawn, Trial) else Trial(*drawn)


def task_of_function(function: Callable[..., Any]) -> type[Task]:
    """Create the task whose trials are ``function(key, **settings)``.

    Raises:
        ValueError: a parameter has no default or the name of an attribute of ``Task``; no parameter is ``steps``.
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

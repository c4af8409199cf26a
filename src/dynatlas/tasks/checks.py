"""Validation of user-defined tasks, once, when a study file is loaded."""

import json
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Integral, Real
from typing import Final, TypeVar

import jax
import numpy as np
import tomli_w

from dynatlas._util.messages import first_line
from dynatlas.tasks.task import Task, Trial, without_none

KEYS: Final = 8  # random keys with which trials are drawn

T = TypeVar("T")


def check_task(task: Task) -> None:
    """Check the settings, trials, probe and conditions of a task.

    Raises:
        ValueError: the first requirement that is not met; the message states what was seen and what was expected.
    """
    name = f"the task {task.kind!r}"
    _check_declarations(task, name)
    keys = jax.random.split(jax.random.key(0, impl="threefry2x32"), KEYS)
    first = _called(f"{name}: trial(key)", lambda: task.trial(keys[0]))
    _check_type(first, f"{name}: trial(key)")
    for part, array in _parts(first).items():
        if np.ndim(array) != 2:  # before n_inputs and n_outputs, which read the last axis
            raise ValueError(
                f"{name}: trial(key) gives {part} of the shape {np.shape(array)}; expected two axes: [steps, channels]"
            )
    if not _same(first, _called(f"{name}: trial(key)", lambda: task.trial(keys[0]))):
        raise ValueError(
            f"{name}: trial(key) gave two different trials for the same key; all randomness must come from the key"
        )
    try:
        several = jax.jit(jax.vmap(task.trial))(keys)
    except Exception as error:
        raise ValueError(
            f"{name}: trial(key) cannot be traced by JAX ({first_line(error)}); write it with jax.numpy and "
            "jax.random, without NumPy and without Python's if on what was drawn"
        ) from None
    for part in ("n_inputs", "n_outputs"):
        _called(f"{name}: {part}", partial(getattr, task, part))
    for trial in (first, several):
        _check_trial(trial, f"{name}: trial(key)", (*np.shape(trial.inputs)[:-2], task.steps), task)
    compiled = jax.tree.map(lambda part: part[0], several)
    if not all(np.allclose(*pair, atol=1e-4, equal_nan=True) for pair in _pairs(compiled, first)):
        raise ValueError(f"{name}: trial(key) gives another trial when compiled; it must depend on the key alone")
    drawn = [jax.tree.map(lambda part, row=row: part[row], several) for row in range(KEYS)]
    if all(_same(compiled, trial) for trial in drawn):
        raise ValueError(f"{name}: trial(key) gave the same trial for {KEYS} different keys; draw it from the key")
    if np.ptp(np.asarray(several.targets)) == 0:
        raise ValueError(
            f"{name}: the targets are {float(several.targets.ravel()[0]):g} throughout; nothing can be learned"
        )
    _check_probe(task, name, first)


def _check_declarations(task: Task, name: str) -> None:
    try:
        hash(task)
    except TypeError as error:
        raise ValueError(f"{name}: its settings cannot be hashed ({error}); expected numbers, texts, tuples") from None
    _check_settings(task, name)
    _called(f"{name}: computations", lambda: task.computations)
    if not _is_threshold(task.threshold):
        raise ValueError(f'{name}: threshold is {task.threshold!r}; expected ("mse", bound) or ("r2", bound)')
    strange = sorted(task.comparison_settings - type(task).model_fields.keys())
    if strange:
        raise ValueError(f"{name}: comparison_settings names {strange[0]!r}, which is not among its settings")


def _check_settings(task: Task, name: str) -> None:
    """Check that settings survive a round trip through a study file and can be hashed."""
    settings = task.model_dump(mode="json")
    try:
        json.dumps(settings, allow_nan=False)
        again = type(task).model_validate(tomllib.loads(tomli_w.dumps(without_none(settings))))
    except Exception as error:
        raise ValueError(
            f"{name}: its settings cannot be written to a file and read again ({first_line(error)}); keep to finite "
            "numbers, texts and tuples, and let None be only the default of what it stands for"
        ) from None
    if again != task or again.model_dump(mode="json") != settings:
        raise ValueError(
            f"{name}: its settings do not survive being written to a file; keep to numbers, texts and tuples, and let "
            "None be only the default of what it stands for"
        )


def _is_threshold(value: object) -> bool:
    if not (isinstance(value, tuple) and len(value) == 2 and value[0] in ("mse", "r2")):
        return False
    return isinstance(value[1], int | float) and bool(np.isfinite(value[1]))


def _check_type(trial: object, what: str) -> None:
    if not isinstance(trial, Trial):
        raise ValueError(f"{what} gives a {type(trial).__name__}; expected dynatlas.tasks.Trial(inputs, targets)")


def _check_trial(trial: Trial, what: str, leading: tuple[int, ...], task: Task) -> None:
    """Check shapes, type and finiteness of one trial or of stacked trials, and that each has a weight above 0."""
    for part, array in _parts(trial).items():
        expected = (*leading, task.n_inputs if part == "inputs" else task.n_outputs)
        if array.shape != expected:
            axes = "[trials, steps, channels]" if len(leading) > 1 else "[steps, channels]"
            raise ValueError(f"{what} gives {part} of the shape {array.shape}; expected {expected}: {axes}")
        if array.dtype != np.float32:
            raise ValueError(f"{what} gives {part} of the type {array.dtype}; expected float32")
        if not np.isfinite(array).all():
            raise ValueError(f"{what} gives {part} that are not finite")
    if trial.weights is not None:
        weights = np.asarray(trial.weights)
        if (weights < 0).any():
            raise ValueError(f"{what} gives the weight {weights.min():g}; expected 0 or more")
        if not weights.any(axis=(-2, -1)).all():
            raise ValueError(f"{what} gives weights that are all 0; expected some of them above 0")


def _check_probe(task: Task, name: str, first: Trial) -> None:
    probe = _called(f"{name}: probe()", task.probe)
    if not isinstance(probe, Trial) or np.ndim(probe.inputs) != 3 or len(probe.inputs) < 2:
        seen = f"inputs of the shape {np.shape(probe.inputs)}" if isinstance(probe, Trial) else type(probe).__name__
        raise ValueError(
            f"{name}: probe() gives {seen}; expected a Trial of stacked trials [trials, steps, channels], 2 or more"
        )
    _check_trial(probe, f"{name}: probe()", (len(probe.inputs), task.steps), task)
    if (probe.weights is None) != (first.weights is None):
        with_weights, without = ("trial(key)", "probe()") if probe.weights is None else ("probe()", "trial(key)")
        raise ValueError(f"{name}: {with_weights} gives weights, and {without} gives none; give them in all or in none")
    if not _same(probe, _called(f"{name}: probe()", task.probe)):
        raise ValueError(f"{name}: probe() differs from call to call; all networks must be shown the same")
    conditions = _called(f"{name}: conditions()", lambda: np.asarray(task.conditions()))
    if conditions.ndim != 2 or conditions.shape[1] != task.n_inputs or not len(conditions):
        raise ValueError(
            f"{name}: conditions() has the shape {conditions.shape}; expected [conditions, {task.n_inputs}], 1 or more"
        )
    if not np.isfinite(conditions).all():
        raise ValueError(f"{name}: conditions() are not all finite")
    count = _called(f"{name}: n_conditions", lambda: task.n_conditions)
    if count != len(conditions):
        raise ValueError(f"{name}: n_conditions is {count}, and conditions() has {len(conditions)}")
    names = _called(f"{name}: condition_names()", lambda: tuple(task.condition_names()))
    if len(names) != len(conditions) or len(set(names)) < len(names):
        raise ValueError(f"{name}: condition_names() are {names!r}; expected {len(conditions)} that differ")
    numbers = _called(f"{name}: probe_conditions()", lambda: np.asarray(task.probe_conditions()))
    if numbers.shape != (len(probe.inputs),) or numbers.dtype.kind != "i":
        raise ValueError(
            f"{name}: probe_conditions() has the shape {numbers.shape} and the type {numbers.dtype}; expected the "
            f"number of a condition for each of the {len(probe.inputs)} probe trials"
        )
    if set(numbers.tolist()) != set(range(len(conditions))):
        raise ValueError(
            f"{name}: probe_conditions() holds {sorted(set(numbers.tolist()))}; each of the {len(conditions)} "
            f"conditions, 0 to {len(conditions) - 1}, must have a probe trial, and no other number may stand there"
        )
    _check_computations(task, name, len(conditions))


def _check_computations(task: Task, name: str, n_conditions: int) -> None:
    """Check that frequencies and integrated inputs are valid, one per condition, if declared."""
    frequencies, inputs = tuple(task.condition_frequencies()), tuple(task.integrated_inputs())
    for method, values in (("condition_frequencies", frequencies), ("integrated_inputs", inputs)):
        if values and len(values) != n_conditions:
            raise ValueError(f"{name}: {method}() has {len(values)} values; expected {n_conditions}, one per condition")
    wrong = [value for value in frequencies if not (isinstance(value, Real) and 0 < value < 0.5)]
    if wrong:
        raise ValueError(
            f"{name}: condition_frequencies() holds {wrong[0]!r}; expected cycles per step between 0 and 0.5"
        )
    strange = [
        channel for channel in inputs if not isinstance(channel, Integral) or channel not in range(task.n_inputs)
    ]
    if strange:
        raise ValueError(f"{name}: integrated_inputs() names {strange[0]!r}; expected integers below {task.n_inputs}")


def _called(what: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except Exception as error:
        raise ValueError(f"{what} fails: {type(error).__name__}: {first_line(error)}") from None


def _parts(trial: Trial) -> dict[str, np.ndarray]:
    """Return the arrays of a trial by name: weights only if it has them."""
    named = {"inputs": trial.inputs, "targets": trial.targets, "weights": trial.weights}
    return {name: np.asarray(part) for name, part in named.items() if part is not None}


def _pairs(first: Trial, second: Trial) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the arrays of two trials with the same parts, pair by pair."""
    return zip(_parts(first).values(), _parts(second).values(), strict=True)


def _same(first: Trial, second: Trial) -> bool:
    """Whether two trials hold the same numbers; one that is not a number is found elsewhere."""
    return _parts(first).keys() == _parts(second).keys() and all(
        np.array_equal(*pair, equal_nan=True) for pair in _pairs(first, second)
    )

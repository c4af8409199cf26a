"""Base class of tasks, which draw trials from random keys.

A task draws the random trials of training and validation, defines the fixed probe on which all networks are compared,
and names the static inputs under which fixed points are sought. Random functions draw a single trial; callers ``vmap``
over keys.
"""

import inspect
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dynatlas.registry import check_name

PROBE_SEED = 20190613  # arbitrary and fixed: all networks of all studies see the same probe

# Computations that a task can declare, each with its own analyses, figures and claims.
Computation = Literal["memory", "oscillation", "integration"]


@final
@jax.tree_util.register_pytree_node_class
class Trial:
    """Inputs of a network, its targets, and the weight of each step and output in the loss.

    The error is Σ w (y − t)² / Σ w over all trials, steps and outputs. The weights are 0 or more, and not all 0; None
    stands for 1 throughout. JAX maps over trials as over any pytree. With or without weights, a trial unpacks into
    inputs and targets.

    Example:
        >>> inputs, targets = Trial(jnp.zeros((5, 2)), jnp.ones((5, 1)))
        >>> inputs.shape, targets.shape
        ((5, 2), (5, 1))
    """

    __slots__ = ("inputs", "targets", "weights")

    inputs: Float[Array, "*batch steps inputs"]
    targets: Float[Array, "*batch steps outputs"]
    weights: Float[Array, "*batch steps outputs"] | None

    def __init__(self, inputs: Any, targets: Any, weights: Any = None) -> None:
        self.inputs, self.targets, self.weights = inputs, targets, weights

    def __iter__(self) -> Iterator[Float[Array, "*batch steps channels"]]:
        """Yield inputs and targets."""
        return iter((self.inputs, self.targets))

    def __repr__(self) -> str:
        return f"Trial(inputs={self.inputs!r}, targets={self.targets!r}, weights={self.weights!r})"

    def tree_flatten(self) -> tuple[tuple[Any, Any, Any], None]:
        """Return the arrays, for JAX."""
        return (self.inputs, self.targets, self.weights), None

    @classmethod
    def tree_unflatten(cls, _: None, parts: Iterable[Any]) -> "Trial":
        """Return the trial of these arrays, for JAX."""
        return cls(*parts)


class Task(BaseModel):
    """Base class of tasks. A subclass must implement ``trial``; everything else has a default.

    The fields of a subclass are its settings, which a study file can change. Trials must be float32, and depend only on
    the key and the settings. They are traced by JAX: use ``jax.numpy`` and ``jax.random``.

    Three declarations state what the network has to compute, and thereby which analyses, figures and claims apply:

    - memory: ``ideal_outputs``, the values of each output at ideal fixed points, alternately stable and unstable;
    - oscillation: ``condition_frequencies()``, the frequency of the output under each condition;
    - integration: ``integrated_inputs()``, the input under each condition whose running sum is the first output.

    Example:
        >>> class Echo(Task):
        ...     kind: str = "echo"
        ...     steps: int = 20
        ...
        ...     def trial(self, key):
        ...         inputs = jax.random.normal(key, (self.steps, 1), jnp.float32)
        ...         return Trial(inputs, jnp.roll(inputs, 1, axis=0).at[0].set(0.0))
        >>> task = Echo()
        >>> task.n_inputs, task.n_outputs, task.condition_names(), task.probe().inputs.shape
        (1, 1, ('no input',), (64, 20, 1))
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    # Name in the study, by default the kind: a study may have a kind twice, with other settings. It is part of file
    # names, and no setting: ``Study`` writes it.
    name: Annotated[str, Field(exclude=True)] = ""
    steps: Annotated[int, Field(ge=2, le=100_000)]

    title: ClassVar[str] = ""
    # Settings that affect the comparison but not the training: they do not enter a member's id.
    comparison_settings: ClassVar[frozenset[str]] = frozenset()
    # Measures of the distance between the fixed points of two networks.
    topology: ClassVar[tuple[str, ...]] = ("spectrum",)
    # Performance on held-out trials at which a network counts as trained: ("mse" or "r2", bound).
    threshold: ClassVar[tuple[Literal["mse", "r2"], float]] = ("r2", 0.9)
    # Memory: values of each output at ideal fixed points, from low to high: stable, unstable, stable, …
    # Fixed points are ordered by these values.
    ideal_outputs: ClassVar[tuple[float, ...]] = ()
    # On what trained networks are tested beside the task itself: name → its settings, ``input_noise``, and so on.
    variations: ClassVar[Mapping[str, Mapping[str, Any]]] = {"noisy inputs": {"input_noise": 0.1}}
    # Content of a plotted probe trial besides the network's output, for captions.
    probe_words: ClassVar[str] = ""
    # Settings whose defaults are those of the paper: the report lists departures from them.
    paper_settings: ClassVar[tuple[str, ...]] = ()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if name:
            check_name("task", name)
        return name

    @model_validator(mode="after")
    def _named(self) -> "Task":
        # The model is frozen, and still under construction here.
        object.__setattr__(self, "name", self.name or self.kind)
        return self

    @property
    def label(self) -> str:
        """Words for the task within a sentence: its title, or the name that a study gives it."""
        return self.title if self.name == self.kind else self.name.replace("_", " ")

    @property
    def summary(self) -> str:
        """Description of the task: the first paragraph of the class docstring."""
        paragraph, *_ = inspect.cleandoc(type(self).__doc__ or "").split("\n\n")
        return " ".join(paragraph.split())

    @abstractmethod
    def trial(self, key: PRNGKeyArray) -> Trial:
        """Draw a random trial."""

    @property
    def n_inputs(self) -> int:
        """Number of input channels."""
        return _shapes(self)[0][-1]

    @property
    def n_outputs(self) -> int:
        """Number of output channels."""
        return _shapes(self)[1][-1]

    def probe(self) -> Trial:
        """Return the fixed trials ``[trials, steps, …]`` on which networks are compared: by default 64 random ones."""
        return self.trials(jax.random.key(PROBE_SEED, impl="threefry2x32"), 64)

    def conditions(self) -> Float[Array, "conditions inputs"]:
        """Return the static inputs under which fixed points are sought: by default one, all zeros."""
        return jnp.zeros((1, self.n_inputs), jnp.float32)

    @property
    def n_conditions(self) -> int:
        """Number of static inputs."""
        return len(self.conditions())

    def condition_names(self) -> tuple[str, ...]:
        """Return a short name for each condition."""
        conditions = np.asarray(self.conditions())
        if not conditions.any() and len(conditions) == 1:
            return ("no input",)
        return tuple(f"condition {number + 1}" for number in range(len(conditions)))

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """Return the index of each probe trial's condition; every condition needs at least one trial."""
        return np.zeros(len(self.probe().inputs), int)

    def condition_frequencies(self) -> tuple[float, ...]:
        """Return the target frequency of each condition, in cycles per step; empty without oscillation."""
        return ()

    def integrated_inputs(self) -> tuple[int, ...]:
        """Return for each condition the input whose running sum is the first output; empty without integration."""
        return ()

    @property
    def computations(self) -> tuple[Computation, ...]:
        """Computations that the task declares."""
        return _computations(self)

    @property
    def probe_evidence(self) -> float:
        """Largest absolute mean over steps of an integrated input in the probe; 0 without integration."""
        return _probe_evidence(self)

    def trials(self, key: PRNGKeyArray, count: int) -> Trial:
        """Draw ``count`` independent random trials, stacked."""
        return jax.vmap(self.trial)(jax.random.split(key, count))

    def passes(self, mse: float, r2: float) -> bool:
        """Whether a network with this error on held-out trials counts as trained."""
        measure, bound = self.threshold
        return bool(mse < bound) if measure == "mse" else bool(r2 > bound)

    def plot(self, key: PRNGKeyArray, output: Float[Array, "steps outputs"] | None = None) -> "Figure":
        """Plot the random trial of ``key``: inputs, targets and, if given, a network's output."""
        from dynatlas.figures.trial import trial_figure

        return trial_figure(self.title, self.trial(key), output)


@lru_cache(maxsize=256)
def _shapes(task: Task) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of a trial's inputs and targets without drawing a trial."""
    trial = jax.eval_shape(task.trial, jax.random.key(0, impl="threefry2x32"))
    return trial.inputs.shape, trial.targets.shape


@lru_cache(maxsize=256)
def _computations(task: Task) -> tuple[Computation, ...]:
    declared: dict[Computation, tuple[float, ...]] = {
        "memory": task.ideal_outputs,
        "oscillation": task.condition_frequencies(),
        "integration": task.integrated_inputs(),
    }
    return tuple(computation for computation, values in declared.items() if len(values))


@lru_cache(maxsize=256)
def _probe_evidence(task: Task) -> float:
    channels = sorted(set(task.integrated_inputs()))
    if not channels:
        return 0.0
    evidence = np.asarray(task.probe().inputs, np.float64)[:, :, channels].mean(axis=1)
    return float(np.abs(evidence).max())


def even_grid(start: float, stop: float, count: int) -> Float[Array, " count"]:
    """Return evenly spaced numbers, rounded once from float64: JAX's ``linspace`` depends on its precision mode."""
    return jnp.asarray(np.linspace(start, stop, count).astype(np.float32))


def without_none(value: Any) -> Any:
    """Omit settings that are None, since TOML has no null."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_none(item) for item in value]
    return value

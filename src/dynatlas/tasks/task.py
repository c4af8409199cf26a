"""What a task is: settings and a random key in, one trial out.

A task says what a network is asked to do. It draws random trials to train and validate on, holds one fixed
probe on which all networks are compared, and names the static inputs under which fixed points are sought.
Everything random is written for one trial; callers ``vmap`` over keys.
"""

import inspect
from abc import abstractmethod
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field

PROBE_SEED = 20190613  # one probe for every network of every study; any fixed number would do

# What a task may ask a network to compute, each with its own analyses, figures and claims.
Computation = Literal["memory", "oscillation", "integration"]


class Trial(NamedTuple):
    """What a network sees and what it should answer, step by step."""

    inputs: Float[Array, "*batch steps inputs"]
    targets: Float[Array, "*batch steps outputs"]


class Task(BaseModel):
    """What every task has. Only ``trial`` must be written; all else has a default that a subclass may replace.

    A subclass's fields are its settings, which a study file may change. What is drawn must be float32, and depend on
    the key and the settings alone; it is traced by JAX, so it is written with ``jax.numpy`` and ``jax.random``.

    Three declarations say what the network has to compute, and with it which analyses, figures and claims apply:

    - memory: ``ideal_outputs``, the values of each output at ideal fixed points, stable and unstable ones in turn;
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
    steps: Annotated[int, Field(ge=2, le=100_000)]

    title: ClassVar[str] = ""
    # Settings that say what is compared, and not what is learned: they do not enter a member's id.
    comparison_settings: ClassVar[frozenset[str]] = frozenset()
    # Measures of the distance between what two networks' fixed points form.
    topology: ClassVar[tuple[str, ...]] = ("spectrum",)
    # What a network must reach on held-out trials to count as trained: ("mse" or "r2", the bound).
    threshold: ClassVar[tuple[Literal["mse", "r2"], float]] = ("r2", 0.9)
    # Memory: the values that each output has at an ideal fixed point, from low to high: stable, unstable, stable, …
    # Fixed points are ordered by them.
    ideal_outputs: ClassVar[tuple[float, ...]] = ()
    # What a drawn trial of the probe shows beside a network's answer, for captions.
    probe_words: ClassVar[str] = ""
    # Settings whose defaults are the paper's, of its tasks: the report says where a study departs from them.
    paper_settings: ClassVar[tuple[str, ...]] = ()

    @property
    def summary(self) -> str:
        """What the network is asked to do, in words: the first paragraph of the class's docstring."""
        paragraph, *_ = inspect.cleandoc(type(self).__doc__ or "").split("\n\n")
        return " ".join(paragraph.split())

    @abstractmethod
    def trial(self, key: PRNGKeyArray) -> Trial:
        """One random trial."""

    @property
    def n_inputs(self) -> int:
        """Number of input channels."""
        return _shapes(self)[0][-1]

    @property
    def n_outputs(self) -> int:
        """Number of output channels."""
        return _shapes(self)[1][-1]

    def probe(self) -> Trial:
        """The fixed set of trials ``[trials, steps, …]`` on which networks are compared: by default 64 random ones."""
        return self.trials(jax.random.key(PROBE_SEED, impl="threefry2x32"), 64)

    def conditions(self) -> Float[Array, "conditions inputs"]:
        """The static inputs under which fixed points are sought: by default one, no input."""
        return jnp.zeros((1, self.n_inputs), jnp.float32)

    @property
    def n_conditions(self) -> int:
        """Number of static inputs."""
        return len(self.conditions())

    def condition_names(self) -> tuple[str, ...]:
        """One short name per condition."""
        conditions = np.asarray(self.conditions())
        if not conditions.any() and len(conditions) == 1:
            return ("no input",)
        return tuple(f"condition {number + 1}" for number in range(len(conditions)))

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """The condition that each probe trial is run under; every condition has one at least."""
        return np.zeros(len(self.probe().inputs), int)

    def condition_frequencies(self) -> tuple[float, ...]:
        """Oscillation: the frequency that each condition asks for, in cycles per step; empty if none does."""
        return ()

    def integrated_inputs(self) -> tuple[int, ...]:
        """Integration: the input whose running sum each condition asks for in the first output; empty if none does."""
        return ()

    @property
    def computations(self) -> tuple[Computation, ...]:
        """What the network has to compute, as the declarations above say."""
        return _computations(self)

    @property
    def probe_evidence(self) -> float:
        """The largest mean per step of an integrated input in the probe, in absolute value; 0 without integration."""
        return _probe_evidence(self)

    def trials(self, key: PRNGKeyArray, count: int) -> Trial:
        """``count`` independent random trials, stacked."""
        return jax.vmap(self.trial)(jax.random.split(key, count))

    def passes(self, mse: float, r2: float) -> bool:
        """Whether a network with this error on held-out trials counts as trained."""
        measure, bound = self.threshold
        return bool(mse < bound) if measure == "mse" else bool(r2 > bound)

    def plot(self, key: PRNGKeyArray, output: Float[Array, "steps outputs"] | None = None) -> "Figure":
        """Draw the random trial of ``key``: inputs, targets and, if given, a network's output."""
        from dynatlas.figures.trial import trial_figure

        return trial_figure(self.title, self.trial(key), output)


@lru_cache(maxsize=256)
def _shapes(task: Task) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of a trial's inputs and targets, without drawing one."""
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
    """Evenly spaced numbers, rounded once from float64: JAX's ``linspace`` depends on its precision mode."""
    return jnp.asarray(np.linspace(start, stop, count).astype(np.float32))


def without_none(value: Any) -> Any:
    """TOML has no null: a setting that is None is left out."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_none(item) for item in value]
    return value

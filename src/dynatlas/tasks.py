"""The three tasks: settings and a random key in, one trial out.

A task says what a network is asked to do. It draws random trials to train and validate on, holds one fixed
probe on which all networks are compared, and names the static inputs under which fixed points are sought.
Everything random is written for one trial; callers ``vmap`` over keys.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROBE_SEED = 20190613  # one probe for every network of every study; any fixed number would do


class Trial(NamedTuple):
    """What a network sees and what it should answer, step by step."""

    inputs: Float[Array, "*batch steps inputs"]
    targets: Float[Array, "*batch steps outputs"]


class Task(BaseModel):
    """What every task has; the subclasses are final."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    steps: int

    title: ClassVar[str]
    # Settings that say what is compared, and not what is learned: they do not enter a member's id.
    comparison_settings: ClassVar[frozenset[str]]
    # Measures of the distance between what two networks' fixed points form.
    topology: ClassVar[tuple[str, ...]]
    # What a network must reach on held-out trials to count as trained: ("mse" or "r2", the bound).
    threshold: ClassVar[tuple[Literal["mse", "r2"], float]]

    @property
    @abstractmethod
    def n_inputs(self) -> int:
        """Number of input channels."""

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Number of output channels."""

    @abstractmethod
    def trial(self, key: PRNGKeyArray) -> Trial:
        """One random trial."""

    @abstractmethod
    def probe(self) -> Trial:
        """The fixed set of trials ``[trials, steps, …]`` on which networks are compared."""

    @abstractmethod
    def conditions(self) -> Float[Array, "conditions inputs"]:
        """The static inputs under which fixed points are sought."""

    @property
    @abstractmethod
    def n_conditions(self) -> int:
        """Number of static inputs."""

    @abstractmethod
    def condition_names(self) -> tuple[str, ...]:
        """One short name per condition."""

    @abstractmethod
    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """The condition that each probe trial is run under; every condition has one at least."""

    def trials(self, key: PRNGKeyArray, count: int) -> Trial:
        """``count`` independent random trials, stacked."""
        return jax.vmap(self.trial)(jax.random.split(key, count))

    def passes(self, mse: float, r2: float) -> bool:
        """Whether a network with this error on held-out trials counts as trained."""
        measure, bound = self.threshold
        return bool(mse < bound) if measure == "mse" else bool(r2 > bound)

    def plot(self, key: PRNGKeyArray, output: Float[Array, "steps outputs"] | None = None) -> "Figure":
        """Draw the random trial of ``key``: inputs, targets and, if given, a network's output."""
        from dynatlas.figures import trial_figure

        return trial_figure(self.title, self.trial(key), output)


class FlipFlop(Task):
    """K-bit flip-flop: each output holds its channel's last nonzero input, this step's included.

    Each step each channel pulses with ``pulse_probability``; the sign is fair and a pulse may repeat the value
    held. At the first step every channel pulses, so that the target is always defined.

    Example:
        >>> task = FlipFlop(channels=2, steps=20)
        >>> inputs, targets = task.trial(jax.random.key(0))
        >>> inputs.shape, bool((abs(targets) == 1).all())
        ((20, 2), True)

    Source: Sussillo & Barak 2013; Maheswaranathan et al. 2019 (K = 3, T = 100, 5 %). The fair sign and the
    forced first pulse are ours.
    """

    kind: Literal["flip_flop"] = "flip_flop"
    steps: Annotated[int, Field(ge=2, le=100_000)] = 100
    channels: Annotated[int, Field(ge=1, le=6)] = 3
    pulse_probability: Annotated[float, Field(gt=0, le=1)] = 0.05
    probe_trials: Annotated[int, Field(ge=1, le=10_000)] = 64

    title: ClassVar[str] = "flip-flop"
    comparison_settings: ClassVar[frozenset[str]] = frozenset({"probe_trials"})
    topology: ClassVar[tuple[str, ...]] = ("transition_graph", "fused_transition_graph", "spectrum")
    threshold: ClassVar[tuple[Literal["mse", "r2"], float]] = ("mse", 0.01)

    @property
    def n_inputs(self) -> int:
        """One input per bit."""
        return self.channels

    @property
    def n_outputs(self) -> int:
        """One output per bit."""
        return self.channels

    def trial(self, key: PRNGKeyArray) -> Trial:
        """One random trial."""
        # One uniform number decides both: below p/2 a pulse down, above 1 − p/2 a pulse up.
        drawn = jax.random.uniform(key, (self.steps, self.channels), jnp.float32)
        half = jnp.where(jnp.arange(self.steps)[:, None] == 0, 0.5, self.pulse_probability / 2)
        inputs = jnp.where(drawn < half, -1.0, jnp.where(drawn >= 1 - half, 1.0, 0.0)).astype(jnp.float32)
        return Trial(inputs, hold_last_pulse(inputs))

    def probe(self) -> Trial:
        """Random pulses under a fixed seed."""
        return self.trials(jax.random.key(PROBE_SEED, impl="threefry2x32"), self.probe_trials)

    def conditions(self) -> Float[Array, "1 inputs"]:
        """No input: the memories have to hold themselves."""
        return jnp.zeros((1, self.channels), jnp.float32)

    @property
    def n_conditions(self) -> int:
        """One: no input."""
        return 1

    def condition_names(self) -> tuple[str, ...]:
        """One name."""
        return ("no input",)

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """All under the only one."""
        return np.zeros(self.probe_trials, int)


def hold_last_pulse(inputs: Float[Array, "steps channels"]) -> Float[Array, "steps channels"]:
    """The flip-flop's target: at each step the last nonzero input so far, 0 before the first."""

    def step(held: Array, pulse: Array) -> tuple[Array, Array]:
        held = jnp.where(pulse == 0, held, pulse)
        return held, held

    return jax.lax.scan(step, jnp.zeros_like(inputs[0]), inputs)[1]


class SineWave(Task):
    """Frequency-cued sine: a static command x asks for sin(2πωt), ω = ``slope``·x + ``offset`` cycles per step.

    Training commands are uniform on [0, 1]; probe and conditions are an even grid of ``commands`` of them.

    Example:
        >>> task = SineWave()
        >>> round(float(task.frequency(0.5)), 3)
        0.03

    Source: Sussillo & Barak 2013 (their dt = 0.01 gives 1–5 Hz over 5 s at the default T = 500).
    """

    kind: Literal["sine_wave"] = "sine_wave"
    steps: Annotated[int, Field(ge=2, le=100_000)] = 500
    slope: Annotated[float, Field(ge=0, le=0.5)] = 0.04
    offset: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    commands: Annotated[int, Field(ge=2, le=1_000)] = 51

    title: ClassVar[str] = "sine wave"
    comparison_settings: ClassVar[frozenset[str]] = frozenset({"commands"})
    topology: ClassVar[tuple[str, ...]] = ("neighbor_graph", "spectrum")
    threshold: ClassVar[tuple[Literal["mse", "r2"], float]] = ("mse", 0.02)

    @model_validator(mode="after")
    def _below_nyquist(self) -> "SineWave":
        if self.slope + self.offset >= 0.5:
            raise ValueError(
                f"slope + offset is {self.slope + self.offset:g} cycles per step at command 1; "
                "a wave sampled once per step has to stay below 0.5"
            )
        return self

    @property
    def n_inputs(self) -> int:
        """The command."""
        return 1

    @property
    def n_outputs(self) -> int:
        """The wave."""
        return 1

    def frequency(self, command: Float[Array, ""] | float) -> Float[Array, ""]:
        """The frequency that a command asks for, in cycles per step."""
        return jnp.asarray(self.slope * command + self.offset)

    def trial(self, key: PRNGKeyArray) -> Trial:
        """One random trial."""
        return self._wave(jax.random.uniform(key, (), jnp.float32))

    def probe(self) -> Trial:
        """The grid of commands."""
        return jax.vmap(self._wave)(self.conditions()[:, 0])

    def conditions(self) -> Float[Array, "conditions 1"]:
        """The grid of commands."""
        return even_grid(0.0, 1.0, self.commands)[:, None]

    @property
    def n_conditions(self) -> int:
        """The commands of the grid."""
        return self.commands

    def condition_names(self) -> tuple[str, ...]:
        """The command of each condition."""
        return tuple(f"command {float(command):.3g}" for command in self.conditions()[:, 0])

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """A trial for each command."""
        return np.arange(self.commands)

    def _wave(self, command: Float[Array, ""]) -> Trial:
        time = jnp.arange(self.steps, dtype=jnp.float32)[:, None]
        inputs = jnp.full((self.steps, 1), command, jnp.float32)
        return Trial(inputs, jnp.sin(2 * jnp.pi * self.frequency(command) * time).astype(jnp.float32))


class ContextIntegration(Task):
    """Context-dependent integration: report the running sum of the cued one of K noisy input streams.

    Stream k is N(μ_k, 1) at each step with μ_k ~ U(−1, 1) fixed over the trial; K further one-hot inputs, static
    over the trial, say which stream counts. The target is the cumulative sum of that stream, without a dt.

    The probe has no noise: the cued stream is constant at each of ``probe_levels`` levels in [−1, 1], the other
    streams are 0, in each context.

    Example:
        >>> task = ContextIntegration()
        >>> task.n_inputs, task.n_outputs, task.conditions().shape
        (4, 1, (2, 4))

    Source: Mante et al. 2013 in the form of Maheswaranathan et al. 2019 (K = 2). The probe is ours.
    """

    kind: Literal["context_integration"] = "context_integration"
    steps: Annotated[int, Field(ge=2, le=100_000)] = 30
    streams: Annotated[int, Field(ge=1, le=16)] = 2
    probe_levels: Annotated[int, Field(ge=2, le=1_000)] = 20

    title: ClassVar[str] = "context-dependent integration"
    comparison_settings: ClassVar[frozenset[str]] = frozenset({"probe_levels"})
    topology: ClassVar[tuple[str, ...]] = ("neighbor_graph", "spectrum")
    threshold: ClassVar[tuple[Literal["mse", "r2"], float]] = ("r2", 0.97)

    @property
    def n_inputs(self) -> int:
        """The streams, then the one-hot context."""
        return 2 * self.streams

    @property
    def n_outputs(self) -> int:
        """The integral."""
        return 1

    def trial(self, key: PRNGKeyArray) -> Trial:
        """One random trial."""
        context_key, mean_key, noise_key = jax.random.split(key, 3)
        context = jax.random.randint(context_key, (), 0, self.streams, jnp.int32)
        means = jax.random.uniform(mean_key, (self.streams,), jnp.float32, -1, 1)
        noise = jax.random.normal(noise_key, (self.steps, self.streams), jnp.float32)
        return self._integrate(means + noise, context)

    def probe(self) -> Trial:
        """Constant evidence at every level, in every context."""
        levels = even_grid(-1.0, 1.0, self.probe_levels)

        def constant(context: Array, level: Array) -> Trial:
            evidence = level * jax.nn.one_hot(context, self.streams, dtype=jnp.float32)
            return self._integrate(jnp.broadcast_to(evidence, (self.steps, self.streams)), context)

        contexts, levels = jnp.meshgrid(jnp.arange(self.streams), levels, indexing="ij")
        return jax.vmap(constant)(contexts.ravel(), levels.ravel())

    def conditions(self) -> Float[Array, "conditions inputs"]:
        """One per context, the streams silent."""
        return jnp.concatenate([jnp.zeros((self.streams, self.streams)), jnp.eye(self.streams)], axis=1).astype(
            jnp.float32
        )

    @property
    def n_conditions(self) -> int:
        """The contexts."""
        return self.streams

    def condition_names(self) -> tuple[str, ...]:
        """The contexts, counted from 1."""
        return tuple(f"context {context + 1}" for context in range(self.streams))

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """All levels in one context after the other."""
        return np.repeat(np.arange(self.streams), self.probe_levels)

    def _integrate(self, streams: Float[Array, "steps streams"], context: Array) -> Trial:
        one_hot = jax.nn.one_hot(context, self.streams, dtype=jnp.float32)
        cue = jnp.broadcast_to(one_hot, (self.steps, self.streams))
        return Trial(jnp.concatenate([streams, cue], axis=1), jnp.cumsum(streams @ one_hot)[:, None])


def even_grid(start: float, stop: float, count: int) -> Float[Array, " count"]:
    """Evenly spaced numbers, rounded once from float64: JAX's ``linspace`` depends on its precision mode."""
    return jnp.asarray(np.linspace(start, stop, count).astype(np.float32))


AnyTask = Annotated[FlipFlop | SineWave | ContextIntegration, Field(discriminator="kind")]
TASKS: dict[str, type[Task]] = {
    "flip_flop": FlipFlop,
    "sine_wave": SineWave,
    "context_integration": ContextIntegration,
}

"""The K-bit flip-flop: hold the last pulse of each channel."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from dynatlas.tasks.task import PROBE_SEED, Task, Trial

# A transition graph has up to 3^K points: 729 at 6 channels. The comparison of two takes their cube.
MOST_GRAPH_CHANNELS: Final = 6


class FlipFlop(Task):
    """K-bit flip-flop: each output holds its channel's last nonzero input, including the current one.

    At each step each channel pulses with ``pulse_probability``; both signs are equally likely, and a pulse may repeat
    the value held. At the first step every channel pulses, so that the target is always defined.

    The ideal solution has 3^K fixed points. With more than 6 channels transition graphs are not computed, and a search
    finds at most as many points as it has starts.

    Example:
        >>> task = FlipFlop(channels=2, steps=20)
        >>> inputs, targets = task.trial(jax.random.key(0))
        >>> inputs.shape, bool((abs(targets) == 1).all())
        ((20, 2), True)

    Source: Sussillo & Barak 2013; Maheswaranathan et al. 2019 (K = 3, T = 100, 5 %). The equally likely signs and the
    forced first pulse are choices of dynatlas.
    """

    kind: Literal["flip_flop"] = "flip_flop"
    steps: Annotated[int, Field(ge=2, le=100_000)] = 100
    channels: Annotated[int, Field(ge=1, le=16)] = 3
    pulse_probability: Annotated[float, Field(gt=0, le=1)] = 0.05
    probe_trials: Annotated[int, Field(ge=2, le=10_000)] = 64  # split in halves, for the controls

    title: ClassVar[str] = "flip-flop"
    comparison_settings: ClassVar[frozenset[str]] = frozenset({"probe_trials"})
    threshold: ClassVar[tuple[Literal["mse", "r2"], float]] = ("mse", 0.01)
    ideal_outputs: ClassVar[tuple[float, ...]] = (-1.0, 0.0, 1.0)
    probe_words: ClassVar[str] = "input pulses, the target that remembers the last one of each channel"
    paper_settings: ClassVar[tuple[str, ...]] = ("steps",)

    @property
    def topology(self) -> tuple[str, ...]:  # type: ignore[override]
        """Measures of the distance between fixed points; without the transition graphs, if these are too large."""
        graphs = ("transition_graph", "fused_transition_graph", "transition_structure")
        return ("spectrum",) if self.channels > MOST_GRAPH_CHANNELS else (*graphs, "spectrum")

    @property
    def summary(self) -> str:
        """Description of the task and of its usual solution."""
        return (
            f"The network keeps {self.channels} bits in mind: each output holds the sign of the last pulse on its "
            "channel. A network that solves the task needs a stable fixed point for each memory, and saddles between "
            "them."
        )

    @property
    def n_inputs(self) -> int:
        """One input per bit."""
        return self.channels

    @property
    def n_outputs(self) -> int:
        """One output per bit."""
        return self.channels

    @property
    def variations(self) -> Mapping[str, Mapping[str, Any]]:  # type: ignore[override]
        """Trials of twice the length, other rates of pulses, and noise."""
        return {
            "twice as long": {"steps": min(2 * self.steps, 100_000)},
            "half the pulses": {"pulse_probability": self.pulse_probability / 2},
            "twice the pulses": {"pulse_probability": min(2 * self.pulse_probability, 1.0)},
            "noisy inputs": {"input_noise": 0.1},
        }

    def trial(self, key: PRNGKeyArray) -> Trial:
        """Draw a random trial."""
        # One uniform number determines pulse and sign: below p/2 a pulse of −1, above 1 − p/2 one of +1.
        drawn = jax.random.uniform(key, (self.steps, self.channels), jnp.float32)
        half = jnp.where(jnp.arange(self.steps)[:, None] == 0, 0.5, self.pulse_probability / 2)
        inputs = jnp.where(drawn < half, -1.0, jnp.where(drawn >= 1 - half, 1.0, 0.0)).astype(jnp.float32)
        return Trial(inputs, hold_last_pulse(inputs))

    def probe(self) -> Trial:
        """Return random trials drawn with a fixed seed."""
        return self.trials(jax.random.key(PROBE_SEED, impl="threefry2x32"), self.probe_trials)

    def conditions(self) -> Float[Array, "1 inputs"]:
        """Return the only static input: none, as the network must hold its memory without input."""
        return jnp.zeros((1, self.channels), jnp.float32)

    @property
    def n_conditions(self) -> int:
        """One condition: no input."""
        return 1

    def condition_names(self) -> tuple[str, ...]:
        """Return the name of the only condition."""
        return ("no input",)

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """Return 0, the only condition, for each probe trial."""
        return np.zeros(self.probe_trials, int)


def hold_last_pulse(inputs: Float[Array, "steps channels"]) -> Float[Array, "steps channels"]:
    """Return the target of the flip-flop: at each step the last nonzero input, and 0 before the first."""
    return jax.lax.scan(_hold, jnp.zeros_like(inputs[0]), inputs)[1]


# A module-level function: JAX recompiles a scan for every new function object.
def _hold(held: Float[Array, " channels"], pulse: Float[Array, " channels"]) -> tuple[Array, Array]:
    held = jnp.where(pulse == 0, held, pulse)
    return held, held

"""Frequency-cued sine: a static command sets the frequency of the output."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field, model_validator

from dynatlas.tasks.task import Task, Trial, even_grid

SECONDS: Final = 5  # of a trial
LOWEST: Final = 1  # Hz, asked for by command 0
HIGHEST: Final = 5  # Hz, asked for by command 1
FINEST: Final = SECONDS / 100_000  # dt: no task has more steps
COARSEST: Final = 0.5 / HIGHEST  # dt: the highest frequency would turn half a cycle per step


class SineWave(Task):
    """Frequency-cued sine: for a static command x output sin(2πωt), ω = ``slope``·x + ``offset`` cycles per step.

    Training commands are uniform on [0, 1]; probe and conditions use an even grid of ``commands`` commands.

    The task is a wave of 1 to 5 Hz over 5 s. ``dt``, the seconds per step, sets the resolution: it stands for
    T = 5/dt steps (to the nearest integer), ``slope`` = 4·dt and ``offset`` = dt. A larger dt makes the task cheaper,
    and the slowest wave still turns five times in a trial. The three settings can be given instead of dt; dt is None
    if their frequencies are not 1 to 5 Hz at any dt.

    Example:
        >>> task = SineWave()
        >>> round(float(task.frequency(0.5)), 3)
        0.03
        >>> coarse = SineWave(dt=0.04)
        >>> coarse.steps, coarse.slope, coarse.offset
        (125, 0.16, 0.04)

    Source: Sussillo & Barak 2013 (dt = 0.01, the default).
    """

    kind: Literal["sine_wave"] = "sine_wave"
    steps: Annotated[int, Field(ge=2, le=100_000)] = 500
    slope: Annotated[float, Field(ge=0, le=0.5)] = 0.04
    offset: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    commands: Annotated[int, Field(ge=2, le=1_000, description="commands at which the sine is compared")] = 51
    # Another form of the three settings above, which are the ones that are stored and that hashes are made of.
    dt: Annotated[
        float | None,
        Field(ge=FINEST, lt=COARSEST, exclude=True, description="seconds per step of the sine wave"),
    ] = 0.01

    title: ClassVar[str] = "sine wave"
    comparison_settings: ClassVar[frozenset[str]] = frozenset({"commands"})
    topology: ClassVar[tuple[str, ...]] = ("neighbor_graph", "spectrum")
    threshold: ClassVar[tuple[Literal["mse", "r2"], float]] = ("mse", 0.02)
    probe_words: ClassVar[str] = "the command, the sine that it asks for"
    paper_settings: ClassVar[tuple[str, ...]] = ("dt", "steps", "commands")

    @model_validator(mode="before")
    @classmethod
    def _resolve_dt(cls, settings: Any) -> Any:
        """Add the settings that ``dt`` stands for; an invalid dt is left to the validation of its field."""
        dt = settings.get("dt") if isinstance(settings, dict) else None
        if not isinstance(dt, float) or not FINEST <= dt < COARSEST:
            return settings
        meant = {"steps": round(SECONDS / dt), "slope": (HIGHEST - LOWEST) * dt, "offset": LOWEST * dt}
        if twice := sorted(meant.keys() & settings.keys()):
            words = ", ".join(f"{name} = {value:g}" for name, value in meant.items())
            raise ValueError(f"dt is given, and {twice[0]} too; dt = {dt:g} stands for {words}: leave one of them out")
        return settings | meant

    @model_validator(mode="after")
    def _derive_dt(self) -> "SineWave":
        is_scaled = self.slope * LOWEST == (HIGHEST - LOWEST) * self.offset
        # The model is frozen, and still under construction here.
        object.__setattr__(self, "dt", self.offset / LOWEST if is_scaled else None)
        return self

    @model_validator(mode="after")
    def _below_nyquist(self) -> "SineWave":
        if self.slope + self.offset >= 0.5:
            raise ValueError(
                f"slope + offset is {self.slope + self.offset:g} cycles per step at command 1; "
                "a wave sampled once per step has to stay below 0.5"
            )
        return self

    @property
    def summary(self) -> str:
        """Description of the task and of its usual solution."""
        return (
            "A constant input commands a frequency, and the network produces a sine of that frequency. The usual "
            "solution is, for every command, one unstable fixed point with a cycle around it."
        )

    @property
    def n_inputs(self) -> int:
        """One input: the command."""
        return 1

    @property
    def n_outputs(self) -> int:
        """One output: the wave."""
        return 1

    @property
    def variations(self) -> Mapping[str, Mapping[str, Any]]:  # type: ignore[override]
        """Trials of twice the length, and noise that does not yet hide the phase."""
        return {"twice as long": {"steps": min(2 * self.steps, 100_000)}, "noisy inputs": {"input_noise": 0.02}}

    def frequency(self, command: Float[Array, ""] | float) -> Float[Array, ""]:
        """Return the frequency of a command, in cycles per step."""
        return jnp.asarray(self.slope * command + self.offset)

    def trial(self, key: PRNGKeyArray) -> Trial:
        """Draw a random trial."""
        return self._wave(jax.random.uniform(key, (), jnp.float32))

    def probe(self) -> Trial:
        """Return a trial for each command of the grid."""
        return jax.vmap(self._wave)(self.conditions()[:, 0])

    def conditions(self) -> Float[Array, "conditions 1"]:
        """Return the grid of commands."""
        return even_grid(0.0, 1.0, self.commands)[:, None]

    @property
    def n_conditions(self) -> int:
        """Number of commands in the grid."""
        return self.commands

    def condition_names(self) -> tuple[str, ...]:
        """Return a name with the command of each condition."""
        return tuple(f"command {float(command):.3g}" for command in self.conditions()[:, 0])

    def condition_frequencies(self) -> tuple[float, ...]:
        """Return the frequency of each command of the grid, in cycles per step."""
        commands = np.asarray(self.conditions(), np.float64)[:, 0]
        return tuple((self.slope * commands + self.offset).tolist())

    def probe_conditions(self) -> Int[np.ndarray, " trials"]:
        """Return the command of each probe trial: each occurs once."""
        return np.arange(self.commands)

    def _wave(self, command: Float[Array, ""]) -> Trial:
        time = jnp.arange(self.steps, dtype=jnp.float32)[:, None]
        inputs = jnp.full((self.steps, 1), command, jnp.float32)
        return Trial(inputs, jnp.sin(2 * jnp.pi * self.frequency(command) * time).astype(jnp.float32))

"""The attractor that a map reaches: a fixed point, a closed orbit, an invariant curve, or chaos.

A sine generator does not sit at its fixed point, it circles around it. A closed orbit returns after a whole number of
steps; an invariant curve is a loop on which the state never returns exactly, since its rotation number, the turns per
step, is not a simple fraction. Averages along an orbit are weighted by a smooth bump (Das et al. 2017), with which
those of a quasi-periodic motion converge faster than any power of the number of steps, where a plain mean converges as
1/steps.
"""

from dataclasses import dataclass
from math import gcd
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from dynatlas.dynamics.linearization import mode_order
from dynatlas.dynamics.root_search import Step

Kind = Literal["fixed point", "closed orbit", "invariant curve", "chaos", "unsettled", "diverges"]


WINDOW = 2048  # steps that are judged


LONGEST_PERIOD = 512


CHUNK = 16  # runs per call of the compiled loops


# A run has settled when the weighted mean and variance of two windows in a row agree this well, relative to its
# amplitude.
SETTLED = 1e-4


# A state is at a point, or back after a period, when it is this close, relative to the amplitude or to 1 at a point.
CLOSE = 1e-6


# A largest exponent above this, per step, is chaos; what is closer to 0 a window cannot tell from 0.
CHAOTIC = 1e-3


# A state beyond this has run away.
EXPLODED = 1e12


# Spectral lines that are tried as rotation number, how finely they are looked for, and how wide each is, in cycles per
# window.
LINES = 8


PADDING = 4


LINE_WIDTH = 6


@dataclass(frozen=True, eq=False)
class Attractor:
    """What a run ended on.

    Attributes:
        kind: "fixed point"; "closed orbit" (of at most 512 steps); "invariant curve"; "chaos" (largest exponent above
            0.001 per step); "unsettled" (none of these within the steps allowed); "diverges" (not finite).
        states: the point [1, n], the states of the orbit in order [period, n], or the last 2,048 states [2048, n].
        period: steps after which a state returns; 0 where it does not.
        multipliers: eigenvalues of the Jacobian of ``period`` steps, by descending modulus [n]; empty without a period.
        rotation_number: turns per step, in [0, ½]; NaN where nothing turns.
        exponents: the largest Lyapunov exponents, per step [k], descending; of points and orbits from the multipliers.
        amplitude: root mean square distance of the states from their mean.
    """

    kind: Kind
    states: NDArray[np.float64]
    period: int
    multipliers: NDArray[np.complex128]
    rotation_number: float
    exponents: NDArray[np.float64]
    amplitude: float

    def __repr__(self) -> str:
        turning = "" if np.isnan(self.rotation_number) else f", {self.rotation_number:.6g} turns per step"
        period = f" of {self.period} steps" if self.kind == "closed orbit" else ""
        exponents = ", ".join(f"{exponent:.4g}" for exponent in self.exponents)
        return f"Attractor({self.kind}{period}{turning}, amplitude {self.amplitude:.4g}, exponents [{exponents}])"


def find_attractors(
    step: Step, states: Any, inputs: Any | None = None, *, max_steps: int = 32_768, n_exponents: int = 3
) -> list[Attractor]:
    """The attractor that each of some runs reaches, each under a static input of its own, in float64.

    A run goes on until its statistics no longer change, at most ``max_steps``; then 2,048 more steps are judged.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``.
        states: [runs, n], where each run begins.
        inputs: [runs, m], or None if ``step`` ignores them.
        max_steps: steps before a run is judged, whether or not it has settled.
        n_exponents: Lyapunov exponents to compute; at most n are.

    Raises:
        ValueError: shapes that do not fit, or starts that are not finite.

    Example:
        >>> turn = 2 * np.pi * 0.0437
        >>> def step(h, x):  # a loop of radius 1
        ...     rotated = jnp.array([h[0] * jnp.cos(turn) - h[1] * jnp.sin(turn),
        ...                          h[0] * jnp.sin(turn) + h[1] * jnp.cos(turn)])
        ...     return rotated * (1.5 - 0.5 * jnp.sum(h**2))
        >>> attractor, = find_attractors(step, np.array([[0.1, 0.0]]))
        >>> attractor.kind, round(attractor.rotation_number, 9)
        ('invariant curve', 0.0437)

    Source: weighted averages after Das, Saiki, Sander & Yorke 2017; exponents by QR after Benettin et al. 1980.
    """
    states = np.asarray(states, np.float64)
    if states.ndim != 2:
        raise ValueError(f"states has shape {states.shape}; expected [runs, n]")
    if not np.isfinite(states).all():
        raise ValueError("states has NaN or infinity; leave those runs out")
    if max_steps < 1:
        raise ValueError(f"max_steps is {max_steps}; expected at least 1")
    static = np.zeros((len(states), 0)) if inputs is None else np.asarray(inputs, np.float64)
    if static.ndim != 2 or len(static) != len(states):
        raise ValueError(f"inputs has shape {static.shape}; expected [{len(states)}, m], a row for each run")
    given = _Ignoring(step) if inputs is None else step
    n_exponents = min(n_exponents, states.shape[1])
    found: list[Attractor] = []
    with jax.enable_x64(True):
        for begin in range(0, len(states), CHUNK):
            rows = np.arange(begin, min(begin + CHUNK, len(states)))
            padded = np.concatenate([rows, np.repeat(rows[-1:], min(CHUNK, len(states)) - len(rows))])
            runs, settled = _settle(given, jnp.asarray(states[padded]), jnp.asarray(static[padded]), max_steps)
            frame = np.linalg.qr(np.random.default_rng(0).normal(size=(states.shape[1], n_exponents)))[0]
            frames = jnp.asarray(np.broadcast_to(frame, (len(padded), *frame.shape)))
            for _ in range(2):  # a window for the frame to turn into the leading directions, and one that counts
                runs, frames, *kept = _record(given, runs, frames, jnp.asarray(static[padded]))
            recorded, exponents = map(np.asarray, kept)
            found += [
                _judge(given, recorded[row], static[padded[row]], exponents[row], bool(settled[row]))
                for row in range(len(rows))
            ]
    return found


class _Ignoring(eqx.Module):
    """A step without inputs, as one that ignores them."""

    step: Step

    def __call__(self, state: Any, inputs: Any) -> Any:
        return self.step(state, None)


def _bump(steps: int) -> NDArray[np.float64]:
    """Weights exp(−1/(t (1 − t))) for t from 0 to 1, normalised."""
    share = (np.arange(steps) + 0.5) / steps
    weights = np.exp(-1 / (share * (1 - share)))
    return np.asarray(weights / weights.sum())


def _settle(
    step: Step, states: Float[Array, "runs n"], inputs: Float[Array, "runs m"], max_steps: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Run windows until all runs have settled, or for ``max_steps``."""
    means = variances = np.full(states.shape, np.inf)
    settled = np.zeros(len(states), bool)
    for _ in range(-(-max_steps // WINDOW)):
        states, *statistics = _window(step, states, inputs)
        new_means, new_variances = map(np.asarray, statistics)
        power = np.maximum(new_variances.sum(axis=1), CLOSE**2)
        with np.errstate(invalid="ignore", over="ignore"):
            moved = np.linalg.norm(new_means - means, axis=1) > SETTLED * np.sqrt(power)
            grown = np.abs(new_variances - variances).sum(axis=1) > SETTLED * power
        settled = ~moved & ~grown
        means, variances = new_means, new_variances
        if (settled | ~(np.abs(means).max(axis=1) < EXPLODED)).all():
            break
    return states, settled


@eqx.filter_jit
def _window(step: Step, states: Float[Array, "runs n"], inputs: Float[Array, "runs m"]) -> tuple[Array, Array, Array]:
    """The states after a window, and the weighted mean and variance of the states in it."""

    def one(state: Float[Array, " n"], static: Float[Array, " m"]) -> tuple[Array, Array, Array]:
        def advance(carry: tuple[Array, Array, Array], weight: Array) -> tuple[tuple[Array, Array, Array], None]:
            now, mean, square = carry
            now = step(now, static)
            apart = now - state  # from where the window began, lest the square of a large mean hide the variance
            return (now, mean + weight * apart, square + weight * apart**2), None

        nothing = jnp.zeros_like(state)
        (now, mean, square), _ = jax.lax.scan(advance, (state, nothing, nothing), jnp.asarray(_bump(WINDOW)))
        return now, state + mean, square - mean**2

    return jax.vmap(one)(states, inputs)


@eqx.filter_jit
def _record(
    step: Step,
    states: Float[Array, "runs n"],
    frames: Float[Array, "runs n k"],
    inputs: Float[Array, "runs m"],
) -> tuple[Float[Array, "runs n"], Float[Array, "runs n k"], Float[Array, "runs window n"], Float[Array, "runs k"]]:
    """States and tangents after a window, the states in it, and the weighted mean log by which tangents grew."""

    def one(
        state: Float[Array, " n"], frame: Float[Array, "n k"], static: Float[Array, " m"]
    ) -> tuple[Array, Array, Array, Array]:
        def advance(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
            now, frame = carry
            now, tangent = jax.linearize(lambda h: step(h, static), now)
            frame, growth = jnp.linalg.qr(jax.vmap(tangent, in_axes=1, out_axes=1)(frame))
            return (now, frame), (now, jnp.log(jnp.abs(jnp.diagonal(growth))))

        (state, frame), (visited, growths) = jax.lax.scan(advance, (state, frame), length=WINDOW)
        return state, frame, visited, jnp.asarray(_bump(WINDOW)) @ growths

    return jax.vmap(one)(states, frames, inputs)


def _judge(
    step: Step,
    visited: NDArray[np.float64],
    inputs: NDArray[np.float64],
    exponents: NDArray[np.float64],
    settled: bool,
) -> Attractor:
    """What the states of a window are."""
    nothing = np.zeros(0, complex)
    if not np.abs(visited).max() < EXPLODED:  # NaN included
        return Attractor("diverges", visited, 0, nothing, np.nan, np.full(len(exponents), np.nan), np.nan)
    amplitude = _amplitude(visited)
    period = _first_return(visited, amplitude)
    if period and (orbit := _close(step, visited[-1], inputs, period, max(amplitude, 1e-3))) is not None:
        states, multipliers = orbit
        with np.errstate(divide="ignore"):
            exact = np.log(np.abs(multipliers[: len(exponents)])) / period
        if period == 1:
            return Attractor("fixed point", states, 1, multipliers, np.nan, exact, 0.0)
        rotation = _rotation_of_orbit(states)
        return Attractor("closed orbit", states, period, multipliers, rotation, exact, _amplitude(states))
    if exponents[0] > CHAOTIC:
        return Attractor("chaos", visited, 0, nothing, np.nan, exponents, amplitude)
    if not settled or exponents[0] < -CHAOTIC:
        return Attractor("unsettled", visited, 0, nothing, np.nan, exponents, amplitude)
    return Attractor("invariant curve", visited, 0, nothing, rotation_number(visited), exponents, amplitude)


def _first_return(visited: NDArray[np.float64], amplitude: float) -> int:
    """After how many steps the last state was there before; 0 if it was not."""
    if amplitude < CLOSE:
        return 1
    back = np.linalg.norm(visited[-1] - visited[-2 : -2 - LONGEST_PERIOD : -1], axis=1)
    near = np.flatnonzero(back < CLOSE * amplitude)
    return int(near[0]) + 1 if len(near) else 0


def _amplitude(states: NDArray[np.float64]) -> float:
    return float(np.sqrt(((states - states.mean(axis=0)) ** 2).sum(axis=1).mean()))


def _close(
    step: Step, state: NDArray[np.float64], inputs: NDArray[np.float64], period: int, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.complex128]] | None:
    """The orbit of this period next to a state, by Newton's method, and its multipliers; None if there is none."""
    start = state
    for _ in range(6):
        orbit, after, product = (
            np.asarray(part) for part in _around(step, jnp.asarray(state), jnp.asarray(inputs), jnp.asarray(period))
        )
        try:
            trial = state - np.linalg.solve(product - np.eye(len(state)), after - state)
        except np.linalg.LinAlgError:
            break
        if not np.linalg.norm(trial - start) < 1e-2 * scale:
            break
        state = trial
    orbit, after, product = (
        np.asarray(part) for part in _around(step, jnp.asarray(state), jnp.asarray(inputs), jnp.asarray(period))
    )
    if np.linalg.norm(after - state) > 1e-9 * max(scale, 1):
        return None
    multipliers = np.linalg.eigvals(product).astype(complex)
    return orbit[:period], multipliers[mode_order(multipliers)]


@eqx.filter_jit
def _around(
    step: Step, state: Float[Array, " n"], inputs: Float[Array, " m"], period: Int[Array, ""]
) -> tuple[Float[Array, "period n"], Float[Array, " n"], Float[Array, "n n"]]:
    """The states of ``period`` steps from a state, the state after them, and their Jacobian."""

    def advance(i: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        visited, now, product = carry
        jacobian = jax.jacfwd(lambda h: step(h, inputs))(now)
        return visited.at[i].set(now), step(now, inputs), jacobian @ product

    n = len(state)
    first = (jnp.zeros((LONGEST_PERIOD + 1, n)), state, jnp.eye(n))
    return jax.lax.fori_loop(0, period, advance, first)


def rotation_number(states: Any) -> float:
    """Turns per step of successive states on a closed curve, in [0, ½].

    A state on such a curve is a smooth function of a phase that grows by the rotation number at each step. Of the
    strongest lines of the spectrum that one is chosen in whose phase the states, put in order, follow the shortest
    path; its value is then refined by how far the line's phase turns between the two halves of the states.

    Args:
        states: [steps, n], in the order of time.

    Example:
        >>> time = np.arange(2000)[:, None]
        >>> round(rotation_number(np.cos(2 * np.pi * 0.123456789 * time + [0, 1, 2])), 9)
        0.123456789
    """
    states = np.asarray(states, np.float64)
    count = len(states)
    weights = _bump(count)
    centred = states - weights @ states
    power = (np.abs(np.fft.rfft(weights[:, None] * centred, n=PADDING * count, axis=0)) ** 2).sum(axis=1)
    candidates: list[float] = []
    while len(candidates) < LINES and power.max() > 0:
        strongest = int(power.argmax())
        candidates.append(_refined(centred, strongest / (PADDING * count)))
        power[max(strongest - LINE_WIDTH * PADDING, 0) : strongest + LINE_WIDTH * PADDING + 1] = 0
    if not candidates:
        return float("nan")
    return min(candidates, key=lambda turns: _path_length(centred, turns * np.arange(count, dtype=float)))


def _refined(centred: NDArray[np.float64], line: float) -> float:
    """The frequency of a spectral line, from how far its phase turns from one half of the states to the other."""
    half = len(centred) // 2
    for _ in range(3):
        turns = 2 * np.pi * line * np.arange(half)
        # Cosine and sine apart: products of complex with real numbers would first make all states complex.
        waves = _bump(half) * np.stack([np.cos(turns), -np.sin(turns)])
        first, second = ([1, 1j] @ (waves @ part) for part in (centred[:half], centred[half : 2 * half]))
        turned = float(np.angle(np.vdot(first, second))) / (2 * np.pi)
        line += ((turned - line * half + 0.5) % 1 - 0.5) / half
    return abs(line)


def _path_length(states: NDArray[np.float64], phases: NDArray[Any]) -> float:
    """The length of the closed path through all states in the order of their phases, in turns."""
    ordered = states[np.argsort(phases % 1, kind="stable")]
    return float(np.linalg.norm(ordered - np.roll(ordered, 1, axis=0), axis=1).sum())


def _rotation_of_orbit(states: NDArray[np.float64]) -> float:
    """Turns per step of a closed orbit: the k/period in whose phase the states follow the shortest path."""
    period = len(states)
    turns = [k / period for k in range(1, period // 2 + 1) if gcd(k, period) == 1]
    return min(turns, key=lambda turn: _path_length(states, np.round(np.arange(period) * turn * period) / period))

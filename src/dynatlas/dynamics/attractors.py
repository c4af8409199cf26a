"""Attractors of a map: fixed points, closed orbits, invariant curves, chaos.

A sine generator does not rest at its fixed point but circles around it. A closed orbit returns after a whole number of
steps. On an invariant curve the state never returns exactly, because the rotation number, in turns per step, is not a
simple fraction. Averages along an orbit are weighted by a smooth bump (Das et al. 2017): for quasi-periodic motion they
converge faster than any power of the number of steps, where a plain mean converges as 1/steps.
"""

from dataclasses import dataclass
from math import gcd
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas.dynamics.linearization import mode_order
from dynatlas.dynamics.step import Step, next_frame, next_state

Kind = Literal["fixed point", "closed orbit", "invariant curve", "chaos", "unsettled", "diverges"]

WINDOW = 2048  # steps that are classified
MAX_PERIOD = 512
CHUNK = 16  # runs per call of the compiled loops

# A run has settled if the weighted mean and variance of two successive windows agree to this, relative to its
# amplitude.
SETTLED = 1e-4

# A state is at a fixed point, or has returned, within this distance, relative to 1 or to the amplitude.
CLOSE = 1e-6

# A largest Lyapunov exponent above this, per step, means chaos; one window cannot distinguish smaller ones from 0.
CHAOTIC = 1e-3

# Larger states have diverged.
DIVERGED = 1e12

# Candidates for the rotation number: number of spectral lines, zero-padding of the spectrum, and width of a line in
# cycles per window.
LINES = 8
PADDING = 4
LINE_WIDTH = 6


@dataclass(frozen=True, eq=False)
class Attractor:
    """The attractor that a run reached.

    Attributes:
        kind: "fixed point"; "closed orbit" (of at most 512 steps); "invariant curve"; "chaos" (largest exponent above
            0.001 per step); "unsettled" (none of these within the steps allowed); "diverges" (not finite).
        states: the point [1, n], the states of the orbit in order [period, n], or the last 2,048 states [2048, n].
        period: steps after which a state returns; 0 if it does not.
        multipliers: eigenvalues of the Jacobian of ``period`` steps, by descending modulus [n]; empty without a period.
        rotation_number: turns per step, in [0, ½]; NaN without rotation.
        exponents: largest Lyapunov exponents per step, descending [k]; from the multipliers for points and orbits.
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
    step: Step, states: ArrayLike, inputs: ArrayLike | None = None, *, max_steps: int = 32_768, n_exponents: int = 3
) -> list[Attractor]:
    """Find the attractor that each run reaches, each under its own static input, in float64.

    A run continues until its statistics no longer change, for at most ``max_steps``; the next 2,048 steps are
    classified.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``.
        states: [runs, n], the initial state of each run.
        inputs: [runs, m], or None if ``step`` ignores them.
        max_steps: steps before a run is classified, whether or not it has settled.
        n_exponents: number of Lyapunov exponents; at most n are computed.

    Raises:
        ValueError: shapes do not fit, or states are not finite.

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
    starts, static = _checked(states, inputs, max_steps)
    mapped = _WithoutInputs(step) if inputs is None else step
    n_runs, n = starts.shape
    n_exponents = min(n_exponents, n)
    found: list[Attractor] = []
    with jax.enable_x64(True):
        for begin in range(0, n_runs, CHUNK):
            rows = np.arange(begin, min(begin + CHUNK, n_runs))
            padded = np.concatenate([rows, np.repeat(rows[-1:], min(CHUNK, n_runs) - len(rows))])
            runs, settled = _settle(mapped, jnp.asarray(starts[padded]), jnp.asarray(static[padded]), max_steps)
            frame = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n_exponents)))[0]
            frames = jnp.asarray(np.broadcast_to(frame, (len(padded), *frame.shape)))
            for _ in range(2):  # the first window turns the frame into the leading directions, the second counts
                runs, frames, *kept = _record(mapped, runs, frames, jnp.asarray(static[padded]))
            recorded, exponents = map(np.asarray, kept)
            found += [
                _classify(mapped, recorded[row], static[padded[row]], exponents[row], bool(settled[row]))
                for row in range(len(rows))
            ]
    return found


def _checked(
    states: ArrayLike, inputs: ArrayLike | None, max_steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the states and the inputs as float64 arrays, or raise a ValueError that says what is wrong."""
    starts = np.asarray(states, np.float64)
    if starts.ndim != 2:
        raise ValueError(f"states has shape {starts.shape}; expected [runs, n]")
    if not np.isfinite(starts).all():
        raise ValueError("states has NaN or infinity; remove those runs")
    if max_steps < 1:
        raise ValueError(f"max_steps is {max_steps}; expected at least 1")
    static = np.zeros((len(starts), 0)) if inputs is None else np.asarray(inputs, np.float64)
    if static.ndim != 2 or len(static) != len(starts):
        raise ValueError(f"inputs has shape {static.shape}; expected [{len(starts)}, m], a row for each run")
    return starts, static


class _WithoutInputs(eqx.Module):
    """A step that is called with None instead of its inputs."""

    step: Step

    def __call__(self, state: Float[Array, " n"], inputs: Float[Array, "0"]) -> Float[Array, " n"]:
        del inputs
        return next_state(self.step, state, None)


def _bump(steps: int) -> NDArray[np.float64]:
    """Return weights exp(−1/(t (1 − t))) for t from 0 to 1, normalised."""
    share = (np.arange(steps) + 0.5) / steps
    weights = np.exp(-1 / (share * (1 - share)))
    return np.asarray(weights / weights.sum())


def _settle(
    step: Step, states: Float[Array, "runs n"], inputs: Float[Array, "runs m"], max_steps: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Run window after window until all runs have settled, or for ``max_steps``."""
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
        if (settled | ~(np.abs(means).max(axis=1) < DIVERGED)).all():
            break
    return states, settled


@eqx.filter_jit
def _window(step: Step, states: Float[Array, "runs n"], inputs: Float[Array, "runs m"]) -> tuple[Array, Array, Array]:
    """Run a window; return the last states, and the weighted mean and variance of the states in it."""

    def one(state: Float[Array, " n"], static: Float[Array, " m"]) -> tuple[Array, Array, Array]:
        def advance(carry: tuple[Array, Array, Array], weight: Array) -> tuple[tuple[Array, Array, Array], None]:
            now, mean, square = carry
            now = next_state(step, now, static)
            offset = now - state  # relative to the first state, so that a large mean does not swamp the variance
            return (now, mean + weight * offset, square + weight * offset**2), None

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
    """Run a window; return the last states and tangents, all states, and the weighted mean log growth of tangents."""

    def one(
        state: Float[Array, " n"], frame: Float[Array, "n k"], static: Float[Array, " m"]
    ) -> tuple[Array, Array, Array, Array]:
        def advance(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
            now, frame, growth = next_frame(step, *carry, static)
            return (now, frame), (now, growth)

        (state, frame), (visited, growths) = jax.lax.scan(advance, (state, frame), length=WINDOW)
        return state, frame, visited, jnp.asarray(_bump(WINDOW)) @ growths

    return jax.vmap(one)(states, frames, inputs)


def _classify(
    step: Step,
    visited: NDArray[np.float64],
    inputs: NDArray[np.float64],
    exponents: NDArray[np.float64],
    settled: bool,
) -> Attractor:
    """Classify the states of a window."""
    nothing = np.zeros(0, complex)
    if not np.abs(visited).max() < DIVERGED:  # NaN included
        return Attractor("diverges", visited, 0, nothing, np.nan, np.full(len(exponents), np.nan), np.nan)
    amplitude = _amplitude(visited)
    period = _first_return(visited, amplitude)
    if period and (orbit := _solve_orbit(step, visited[-1], inputs, period, max(amplitude, 1e-3))) is not None:
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
    """Return the number of steps since the last state was visited before; 0 if it was not."""
    if amplitude < CLOSE:
        return 1
    distances = np.linalg.norm(visited[-1] - visited[-2 : -2 - MAX_PERIOD : -1], axis=1)
    near = np.flatnonzero(distances < CLOSE * amplitude)
    return int(near[0]) + 1 if len(near) else 0


def _amplitude(states: NDArray[np.float64]) -> float:
    return float(np.sqrt(((states - states.mean(axis=0)) ** 2).sum(axis=1).mean()))


def _solve_orbit(
    step: Step, state: NDArray[np.float64], inputs: NDArray[np.float64], period: int, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.complex128]] | None:
    """Solve for the orbit of this period near a state by Newton's method; None if there is none.

    Returns:
        The states of the orbit and its multipliers.
    """
    start = state
    for _ in range(6):
        _, following, product = follow_orbit(step, state, inputs, period)
        try:
            trial = state - np.linalg.solve(product - np.eye(len(state)), following - state)
        except np.linalg.LinAlgError:
            break
        if not np.linalg.norm(trial - start) < 1e-2 * scale:
            break
        state = trial
    orbit, following, product = follow_orbit(step, state, inputs, period)
    if np.linalg.norm(following - state) > 1e-9 * max(scale, 1):
        return None
    multipliers = np.linalg.eigvals(product).astype(complex)
    return orbit, multipliers[mode_order(multipliers)]


def follow_orbit(
    step: Step, state: NDArray[np.float64], inputs: NDArray[np.float64] | Array | None, period: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Take ``period`` steps, at most 512.

    Returns:
        The states before each step [period, n], the state after the last one [n], and the Jacobian of all steps [n, n].
    """
    static = None if inputs is None else jnp.asarray(inputs)
    orbit, following, product = _iterate(step, jnp.asarray(state), static, jnp.asarray(period))
    return np.asarray(orbit)[:period], np.asarray(following), np.asarray(product)


@eqx.filter_jit
def _iterate(
    step: Step, state: Float[Array, " n"], inputs: Float[Array, " m"] | None, period: Int[Array, ""]
) -> tuple[Float[Array, "period n"], Float[Array, " n"], Float[Array, "n n"]]:
    """Take ``period`` steps; return the states, the state after them, and the Jacobian of the steps together."""

    def advance(i: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        visited, now, product = carry
        jacobian = jax.jacfwd(lambda h: step(h, inputs))(now)
        return visited.at[i].set(now), next_state(step, now, inputs), jacobian @ product

    n = len(state)
    first = (jnp.zeros((MAX_PERIOD + 1, n)), state, jnp.eye(n))
    visited, following, product = jax.lax.fori_loop(0, period, advance, first)
    return visited, following, product


def rotation_number(states: ArrayLike) -> float:
    """Return the turns per step of successive states on a closed curve, in [0, ½].

    A state on such a curve is a smooth function of a phase that grows by the rotation number at each step. Candidates
    are the strongest lines of the spectrum, refined by the change of each line's phase between the two halves of the
    states. The result is the candidate in whose phase the ordered states follow the shortest path.

    Args:
        states: [steps, n], in the order of time.

    Example:
        >>> time = np.arange(2000)[:, None]
        >>> round(rotation_number(np.cos(2 * np.pi * 0.123456789 * time + [0, 1, 2])), 9)
        0.123456789
    """
    visited = np.asarray(states, np.float64)
    count = len(visited)
    weights = _bump(count)
    centred = visited - weights @ visited
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
    """Refine the frequency of a spectral line by the change of its phase between the two halves of the states."""
    half = len(centred) // 2
    for _ in range(3):
        turns = 2 * np.pi * line * np.arange(half)
        # Cosine and sine are separate: a complex wave would first convert all states to complex numbers.
        waves = _bump(half) * np.stack([np.cos(turns), -np.sin(turns)])
        first, second = ([1, 1j] @ (waves @ part) for part in (centred[:half], centred[half : 2 * half]))
        turned = float(np.angle(np.vdot(first, second))) / (2 * np.pi)
        line += ((turned - line * half + 0.5) % 1 - 0.5) / half
    return abs(line)


def _path_length(states: NDArray[np.float64], phases: NDArray[np.float64]) -> float:
    """Return the length of the closed path through all states in the order of their phases, in turns."""
    ordered = states[np.argsort(phases % 1, kind="stable")]
    return float(np.linalg.norm(ordered - np.roll(ordered, 1, axis=0), axis=1).sum())


def _rotation_of_orbit(states: NDArray[np.float64]) -> float:
    """Return the turns per step of a closed orbit: the k/period in whose phase the states follow the shortest path."""
    period = len(states)
    turns = [k / period for k in range(1, period // 2 + 1) if gcd(k, period) == 1]
    return min(turns, key=lambda turn: _path_length(states, np.round(np.arange(period) * turn * period) / period))

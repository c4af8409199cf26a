"""A ring attractor built by hand, which integrates angular velocity without error."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq


class RingAttractor(NamedTuple):
    """h' = tanh(cos v · W h + sin v · S h + a (cos θᵢ · x₁ + sin θᵢ · x₂)), on inputs (x₁, x₂, v).

    With preferred angles θᵢ, Wᵢⱼ = (2g/n) cos(θᵢ − θⱼ) and Sᵢⱼ = (2g/n) sin(θᵢ − θⱼ), the states
    h(φ) = tanh(a cos(θᵢ − φ)) are fixed points without input, for every φ, if a = g f(a) with
    f(a) = (2/n) Σ tanh(a cos θᵢ) cos θᵢ: Wh = a cos(θᵢ − φ) and Sh = a sin(θᵢ − φ), up to aliases of the harmonics
    n ± 1 of h, which fall off exponentially in n. By the addition theorem a velocity turns φ by v. The first input
    (cos φ, sin φ) leads from 0 to h(φ).

    W has rank 2, so that the Jacobian has two eigenvalues other than 0: 1 along the ring (by parts,
    g f(a)/a), and g f'(a) < 1 across it.
    """

    angles: np.ndarray  # [n]
    gain: float  # g
    amplitude: float  # a

    def step(self, state: Any, inputs: Any) -> Any:
        """Take one step."""
        difference = self.angles[:, None] - self.angles
        scale = 2 * self.gain / len(self.angles)
        turned = jnp.cos(inputs[2]) * jnp.cos(difference) + jnp.sin(inputs[2]) * jnp.sin(difference)
        shown = self.amplitude * (jnp.cos(self.angles) * inputs[0] + jnp.sin(self.angles) * inputs[1])
        return jnp.tanh(scale * turned @ state + shown)

    def state(self, angle: float | np.ndarray) -> np.ndarray:
        """Return the fixed point of each angle."""
        return np.tanh(self.amplitude * np.cos(self.angles - np.asarray(angle)[..., None]))

    def readout(self, states: np.ndarray) -> np.ndarray:
        """Return (cos φ, sin φ) of states on the ring."""
        directions = np.stack([np.cos(self.angles), np.sin(self.angles)], axis=1)
        return np.asarray(states) @ directions * (2 * self.gain / len(self.angles) / self.amplitude)

    def across(self) -> float:
        """Return the eigenvalue across the ring, g f'(a)."""
        cosine = np.cos(self.angles)
        slope = 1 - np.tanh(self.amplitude * cosine) ** 2
        return float(2 * self.gain / len(self.angles) * (slope * cosine**2).sum())


def ring_attractor(units: int, gain: float = 2.0) -> RingAttractor:
    """Return the ring attractor of this many units; the gain is above 1, where a bump first exists."""
    angles = 2 * np.pi * np.arange(units) / units

    def excess(amplitude: float) -> float:
        projected = 2 / units * (np.tanh(amplitude * np.cos(angles)) * np.cos(angles)).sum()
        return float(gain * projected - amplitude)

    return RingAttractor(angles, gain, brentq(excess, 1e-3, 2 * gain, xtol=1e-15, rtol=1e-15))

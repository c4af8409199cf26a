"""The full Lyapunov spectrum of a network of 128 units, against a plain scan with QR as a user writes it.

    python benchmarks/lyapunov.py [--quick] [--json FILE]

Both sides compute 128 exponents in float64 of a random tanh network, h' = tanh(g J h + U x), with gain g = 3: along an
autonomous trajectory, and along one driven by inputs that change at every step. The plain side is one jitted
``lax.scan`` over the same steps that multiplies the Jacobian (``jax.jacfwd``) with the frame and calls
``jnp.linalg.qr``; a second plain side writes the Jacobian by hand, which is less work than any general function can
do. The sides take turns, each first in turn, so that all meet the same load, and start from the same state and frame.
Seconds are of the processor, medians of repeated calls after one that compiles. Ours checks its arguments in every
call, which a short trajectory shows. The exponents are compared, too.
"""

import argparse
import itertools
import json
import os
import statistics
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as in the pipeline's workers

import jax
import jax.numpy as jnp
import numpy as np

from dynatlas import lyapunov_spectrum

UNITS = 128
GAIN = 3.0
SETTLE = 100  # steps
STEPS = (1_000, 10_000)
REPEATS = 5
QUICK_STEPS, QUICK_REPEATS = (200,), 3


def network():
    """Return the recurrent weights, the input weights and the first state of a chaotic network."""
    random = np.random.default_rng(0)
    weights = GAIN * random.normal(size=(UNITS, UNITS)) / np.sqrt(UNITS)
    return weights, random.normal(size=(UNITS, 1)), random.normal(size=UNITS)


def plain(weights, taken, by_hand):
    """Return the compiled function of a user: (state, frame, inputs) → the sum of logarithmic growths."""

    def step(state, inputs):
        return jnp.tanh(weights @ state + taken @ inputs)

    def jacobian(state, inputs, following):
        return (1 - following**2)[:, None] * weights if by_hand else jax.jacfwd(step)(state, inputs)

    def advance(carry, inputs):
        state, frame = carry
        following = step(state, inputs)
        frame, growth = jnp.linalg.qr(jacobian(state, inputs, following) @ frame)
        return (following, frame), jnp.log(jnp.abs(jnp.diagonal(growth)))

    return jax.jit(lambda state, frame, inputs: jax.lax.scan(advance, (state, frame), inputs)[1][SETTLE:].mean(axis=0))


def measure(inputs, is_driven, repeats):
    """Return the seconds of each side by name, and the largest difference between their exponents."""
    weights, taken, state = network()
    frame = np.linalg.qr(np.random.default_rng(0).normal(size=(UNITS, UNITS)))[0]  # as ours begins
    sides = {"plain": plain(weights, taken, by_hand=False), "by hand": plain(weights, taken, by_hand=True)}

    def step(state, inputs):
        return jnp.tanh(weights @ state + taken @ inputs)

    def ours():
        given = inputs if is_driven else inputs[0]
        return lyapunov_spectrum(step, state, given, steps=len(inputs) - SETTLE, settle=SETTLE).exponents

    calls = {"ours": ours} | {
        name: lambda side=side: np.sort(np.asarray(side(state, frame, inputs)))[::-1] for name, side in sides.items()
    }
    seconds, exponents = {name: [] for name in calls}, {}
    names = list(calls)
    for turn in range(repeats + 1):
        for name in names[turn % 3 :] + names[: turn % 3]:
            begun = time.process_time()
            exponents[name] = calls[name]()
            seconds[name].append(time.process_time() - begun)
    difference = max(float(np.abs(exponents[name] - exponents["ours"]).max()) for name in sides)
    return seconds, difference, float(exponents["ours"][0])


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    lengths, repeats = (QUICK_STEPS, QUICK_REPEATS) if options.quick else (STEPS, REPEATS)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    random = np.random.default_rng(1)
    rows = []
    print(f"{'trajectory':12}{'steps':>8}{'ours':>9}{'plain':>9}{'by hand':>9}{'plain/ours':>12}{'difference':>12}")
    with jax.enable_x64(True):
        for name, steps in itertools.product(("autonomous", "driven"), lengths):
            shape = (SETTLE + steps, 1)
            inputs = random.normal(size=shape) if name == "driven" else np.zeros(shape)
            seconds, difference, largest = measure(inputs, name == "driven", repeats)
            medians = {side: statistics.median(values[1:]) for side, values in seconds.items()}
            rows.append(
                {
                    "trajectory": name,
                    "steps": steps,
                    "seconds": medians,
                    "all_seconds": seconds,
                    "plain_over_ours": medians["plain"] / medians["ours"],
                    "by_hand_over_ours": medians["by hand"] / medians["ours"],
                    "largest_difference": difference,
                    "largest_exponent": largest,
                }
            )
            print(
                f"{name:12}{steps:8}{medians['ours']:9.3f}{medians['plain']:9.3f}{medians['by hand']:9.3f}"
                f"{rows[-1]['plain_over_ours']:12.3f}{difference:12.1e}",
                flush=True,
            )
    print(f"{UNITS} exponents, {SETTLE} settling steps, {repeats} repeats; load average before the run: {load}")
    if options.json:
        result = {"rows": rows, "units": UNITS, "settle": SETTLE, "repeats": repeats, "load_before": load}
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

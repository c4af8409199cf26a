"""Our gradient ("fast") against plain automatic differentiation, on the flip-flop, one thread.

    python benchmarks/gradient.py [--quick] [--json FILE]

Both sides run in turn in one process; the table shows medians of training steps per second, and their ratio.
"""

import argparse
import json
import os
import statistics
import time

os.environ |= {"NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_PLATFORMS": "cpu"}

import jax
import jax.numpy as jnp

from dynatlas.cells.registry import CELLS
from dynatlas.tasks.flip_flop import FlipFlop
from dynatlas.training.loss import mean_squared_error


def plain_error(cell, trials):
    """The same error, its gradient left to JAX."""
    _, outputs = jax.vmap(cell.respond)(trials.inputs)
    return jnp.mean((outputs - trials.targets) ** 2)


def descend(error, task, batch):
    """A compiled loop of plain gradient steps."""

    @jax.jit
    def loop(cell, key, steps):
        def step(i, cell):
            gradient = jax.grad(error)(cell, task.trials(jax.random.fold_in(key, i), batch))
            return jax.tree.map(lambda weight, slope: weight - 1e-3 * slope, cell, gradient)

        return jax.lax.fori_loop(0, steps, step, cell)

    return loop


def measure(architecture, units, rounds, steps):
    """Median steps per second of both sides."""
    task = FlipFlop()
    cell = CELLS[architecture](3, units, 3, "tanh", key=jax.random.key(0))
    sides = {"plain": descend(plain_error, task, 64), "fast": descend(mean_squared_error, task, 64)}
    rates = {name: [] for name in sides}
    for loop in sides.values():
        jax.block_until_ready(loop(cell, jax.random.key(1), 1))
    for _ in range(rounds):
        for name, loop in sides.items():
            begun = time.perf_counter()
            jax.block_until_ready(loop(cell, jax.random.key(1), steps))
            rates[name].append(steps / (time.perf_counter() - begun))
    row = {"architecture": architecture, "units": units} | {name: statistics.median(r) for name, r in rates.items()}
    return row | {"ratio": row["fast"] / row["plain"]}


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="32 and 64 units only, fewer rounds")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    rows = []
    print(f"{'':10}{'units':>6}{'plain/s':>10}{'fast/s':>10}{'ratio':>8}")
    for units in (32, 64) if options.quick else (32, 64, 128, 256):
        for architecture in CELLS:
            steps = max(4, (20 if options.quick else 60) * 32 // units)
            row = measure(architecture, units, 3 if options.quick else 7, steps)
            rows.append(row)
            print(f"{architecture:10}{units:6}{row['plain']:10.1f}{row['fast']:10.1f}{row['ratio']:8.2f}", flush=True)
    geomean = statistics.geometric_mean(row["ratio"] for row in rows)
    print(f"geometric mean of the ratios: {geomean:.2f}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"geomean_vs_plain": geomean, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()

"""Our side of training.py, one process per core: reads one JSON request a line, answers with one."""

import json
import resource
import sys
import time

import jax
import jax.numpy as jnp

from dynatlas.cells.registry import CELLS
from dynatlas.tasks.flip_flop import FlipFlop
from dynatlas.training.fit import Hyperparameters, _advance_lanes, start
from dynatlas.training.loss import Program

TASK = FlipFlop()
PAIRS = 30  # short runs of a network and of a Vanilla one, taking turns


class Ours:
    """The compiled loop as the pipeline runs it, for one network; it draws new trials at every iteration."""

    def __init__(self, architecture, units, settings, noise):
        cell = CELLS[architecture](TASK.n_inputs, units, TASK.n_outputs, key=jax.random.key(0), **settings)
        self.program = Program("sgd", 64, recurrent_noise=noise)
        self.fits = jax.tree.map(lambda leaf: leaf[None], start(cell, "sgd"))
        hyperparameters = Hyperparameters(
            learning_rate=1e-3, decay_rate=1.0, decay_steps=1.0, momentum=0.9, clip_norm=1.0, l2=0.0
        )
        self.settings = Hyperparameters(*(jnp.full(1, value, jnp.float32) for value in hyperparameters))
        self.keys = jax.random.key(1, impl="threefry2x32")[None]

    def run(self, iterations):
        """So many training steps."""
        self.fits = _advance_lanes(self.fits, self.settings, self.keys, jnp.asarray(iterations), TASK, self.program)
        jax.block_until_ready(self.fits)


@jax.jit
def products(matrix, count):
    """A chain of products, nothing else."""
    return jax.lax.fori_loop(0, count, lambda _, product: product @ matrix, matrix)


def peak(size=512, count=40):
    """FLOP/s of matrix products alone."""
    matrix = jnp.eye(size)
    jax.block_until_ready(products(matrix, 1))
    begun = time.perf_counter()
    jax.block_until_ready(products(matrix, count))
    return 2 * size**3 * count / (time.perf_counter() - begun)


def seconds(side, iterations):
    """The time of so many training steps."""
    begun = time.perf_counter()
    side.run(iterations)
    return time.perf_counter() - begun


def main():
    """Answer requests until the pipe closes."""
    side = vanilla = None
    for line in sys.stdin:
        request = json.loads(line)
        begun = time.perf_counter()
        answer = {}
        if "setup" in request:
            side = Ours(*request["setup"])
            side.run(1)
        elif "setup_vanilla" in request:
            vanilla = Ours("vanilla", request["setup_vanilla"], {}, 0.0)
            vanilla.run(1)
        elif "compare" in request:
            pairs = [[seconds(each, request["compare"]) for each in (side, vanilla)] for _ in range(PAIRS)]
            ours, theirs = (min(times) for times in zip(*pairs, strict=True))
            answer["over_vanilla"] = ours / theirs - 1
        elif "peak" in request:
            answer["peak"] = peak()
        else:
            side.run(request["run"])
        answer["seconds"] = time.perf_counter() - begun
        answer["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

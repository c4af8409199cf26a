"""Our side of training.py, one process per core: reads one JSON request a line, answers with one."""

import json
import resource
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp

from dynatlas.cells.backpropagation import batch_outputs
from dynatlas.cells.noise import gaussian
from dynatlas.cells.registry import CELLS
from dynatlas.tasks.flip_flop import FlipFlop
from dynatlas.training import fit
from dynatlas.training.fit import Hyperparameters, _advance_lanes, start

TASK = FlipFlop()
SHAPE = ("sgd", 64)  # optimiser, batch size
PAIRS = 30  # short runs of a network and of a Vanilla one, taking turns


class Ours:
    """The compiled loop as the pipeline runs it, for one network; it draws new trials at every iteration."""

    def __init__(self, architecture, units, settings, noise):
        cell = CELLS[architecture](TASK.n_inputs, units, TASK.n_outputs, key=jax.random.key(0), **settings)
        self.advance = _with_noise(noise) if noise else _advance_lanes
        self.fits = jax.tree.map(lambda leaf: leaf[None], start(cell, "sgd"))
        hyperparameters = Hyperparameters(
            learning_rate=1e-3, decay_rate=1.0, decay_steps=1.0, momentum=0.9, clip_norm=1.0, l2=0.0
        )
        self.settings = Hyperparameters(*(jnp.full(1, value, jnp.float32) for value in hyperparameters))
        self.keys = jax.random.key(1, impl="threefry2x32")[None]

    def run(self, iterations):
        """So many training steps."""
        self.fits = self.advance(self.fits, self.settings, self.keys, jnp.asarray(iterations), TASK, SHAPE)
        jax.block_until_ready(self.fits)


def _with_noise(size):
    """The same loop, with a loss whose network has noise of a size in every sum."""

    def advance(*arguments):
        plain = fit.mean_squared_error
        fit.mean_squared_error = partial(_noisy_error, size)
        try:
            return _advance_lanes.__wrapped__(*arguments)
        finally:
            fit.mean_squared_error = plain

    return jax.jit(advance, static_argnums=(4, 5), donate_argnums=0)


def _noisy_error(size, cell, trials):
    """The error with noise, whose key comes from the trials: the loss is not given one."""
    batch, steps, _ = trials.inputs.shape
    data = jax.lax.bitcast_convert_type(trials.inputs[:2, :1].sum((1, 2)) + trials.targets[:2, -1].sum(1), jnp.uint32)
    key = jax.random.wrap_key_data(data, impl="threefry2x32")
    noise = gaussian(key, (steps, batch, cell.units)) * (size * cell.noise_scale)
    return jnp.mean((batch_outputs(cell, trials.inputs, noise) - trials.targets.swapaxes(0, 1)) ** 2)


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

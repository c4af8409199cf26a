import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import find_fixed_points
from dynatlas.cells.architectures import GRU, LSTM
from dynatlas.dynamics import multistart, root_search
from dynatlas.dynamics.root_search import Outcome, follow_flow, search_roots
from support.known_networks import bistable_network

KEY = jax.random.key(0)


def roots_of(kind):
    """The roots of a network with 9, from starts that it is given; the step is compiled anew with each call."""
    cell = bistable_network(kind, 2, units=8, seed=6)
    size = len(cell.initial_state)
    starts = np.random.default_rng(0).normal(size=(300, size)) * 0.7
    with jax.enable_x64(True):
        box = cell.box(jnp.zeros(1))

    def step(state, inputs):
        return cell(state, inputs)

    return find_fixed_points(step, starts, np.zeros(1), box=box, key=KEY).roots()


def test_the_size_of_the_batches_changes_no_root(monkeypatch):
    whole = roots_of(LSTM)
    assert len(whole) == 9
    monkeypatch.setattr(root_search, "MAX_LANES", 7)
    monkeypatch.setattr(multistart, "CHUNK", 100)
    monkeypatch.setattr(multistart, "POLISH_CHUNK", 5)
    parts = roots_of(LSTM)
    np.testing.assert_allclose(parts.states, whole.states, atol=1e-9)
    assert parts.n_unstable.tolist() == whole.n_unstable.tolist()


@pytest.mark.usefixtures("processes")
def test_the_number_of_threads_changes_no_root():
    """The tests run on one thread; a process of its own has two."""
    names = ("NPROC", "XLA_FLAGS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in names} | {"NPROC": "2"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    script = "from test_root_search import GRU, roots_of; print(roots_of(GRU).states.tolist())"
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    np.testing.assert_allclose(json.loads(done.stdout), roots_of(GRU).states, atol=1e-9)


def test_a_search_ends_in_the_iteration_that_reaches_a_root(monkeypatch):
    """Damped by 1 % and less, h/2 takes two iterations to q ≤ 1e-20; there is no third in which to find that out."""
    monkeypatch.setattr(root_search, "MAX_ITERATIONS", 2)
    with jax.enable_x64(True):
        starts = jnp.array([[0.0, 0.0], [0.5, -0.25], [np.nan, 0.0], [5.0, 0.0]])
        region = (jnp.full(2, -1.0), jnp.full(2, 1.0))
        tolerances = (jnp.asarray(1e-20), jnp.asarray(1e-8))
        results = search_roots(lambda h, _: 0.5 * h, starts, jnp.asarray(4), None, tolerances, region)
    expected = [Outcome.ROOT, Outcome.ROOT, Outcome.NOT_FINITE, Outcome.ESCAPED]
    assert results.outcomes.tolist() == expected
    np.testing.assert_allclose(np.asarray(results.states)[:2], 0, atol=1e-9)


def test_the_flow_is_followed_until_it_rests_or_for_as_many_steps_as_given():
    def follow(states, steps, rest):
        with jax.enable_x64(True):
            given = (jnp.asarray(states), None, jnp.asarray(steps), jnp.asarray(rest))
            return np.asarray(follow_flow(lambda h, _: 0.5 * h, *given))

    assert follow([[1.0]], 3, 0.0).tolist() == [[0.125]]
    # Steps of ½, ¼, ⅛: the last is the first that is no longer than 0.2.
    assert follow([[1.0]], 100, 0.2).tolist() == [[0.125]]
    # The slowest decides, and what has left all numbers holds up no other.
    assert follow([[0.25], [1.0], [np.nan]], 100, 0.2)[:2].tolist() == [[0.25 / 8], [0.125]]

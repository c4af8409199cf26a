"""Searches take the key of the seed 0 by default, so that a call returns the same each time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from dynatlas import (
    Network,
    analyze,
    continue_network,
    find_fixed_points,
    find_periodic_points,
    lesion,
    smallest_perturbations,
    transition_graph,
)
from dynatlas._util.arrays import key_or_default

STARTS = np.random.default_rng(0).uniform(-1, 1, (30, 2))
WEIGHTS = np.array([[2.0, -0.4], [0.3, 1.8]])


def step(h, x):
    return jnp.tanh(WEIGHTS @ h)


SWITCH = Network(lambda h, x: jnp.tanh(2 * h + x), n_states=1, n_inputs=1, bounds=lambda x: (-1, 1))


def searched(**key):
    """The numbers that each search draws or orders by its key."""
    points = find_fixed_points(step, STARTS, box=(-1, 1), **key)
    yield points.hits
    yield find_periodic_points(step, STARTS, period=2, box=(-1, 1), **key).searches[2].hits
    yield transition_graph(step, points, trials=20, scale=0.9, **key)
    found = smallest_perturbations(step, points, n_directions=8, **key)
    yield np.hstack([found.sizes, found.angles])
    yield analyze(SWITCH, **key).visited.states
    yield lesion(SWITCH, units=[0], fixed_points=False, **key).table["mse"].to_numpy()
    yield continue_network(SWITCH, "input:0", 0.0, -0.2, n_values=4, **key).visited.states


def test_without_a_key_it_is_that_of_the_seed_0():
    for one, other in zip(searched(), searched(key=jax.random.key(0)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_key_is_used():
    pairs = zip(searched(), searched(key=jax.random.key(1)), strict=True)
    assert sum(not np.array_equal(one, other) for one, other in pairs) >= 4


def test_a_number_is_no_key():
    with pytest.raises((ValueError, TypeCheckError), match=r"key is 7; expected a JAX key|parameter 'key'"):
        key_or_default(7)
    for search in (find_periodic_points, find_fixed_points):
        with pytest.raises((ValueError, TypeCheckError), match=r"key is 7; expected a JAX key|parameter 'key'"):
            search(step, STARTS, box=(-1, 1), key=7)

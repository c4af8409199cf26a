"""Points are used with the step and the inputs with which they were found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import basins, find_fixed_points, smallest_perturbations, transition_graph
from dynatlas.dynamics.step import check_fixed_points

KEY = jax.random.key(0)
STARTS = np.random.default_rng(0).normal(size=(60, 2))
STATES = np.zeros((1, 2))


def driven(h, x):
    return jnp.tanh(2 * h + x)


USES = {
    "basins": lambda step, points, inputs: basins(step, STATES, points, inputs),
    "smallest_perturbations": lambda step, points, inputs: smallest_perturbations(step, points, inputs, key=KEY),
    "transition_graph": lambda step, points, inputs: transition_graph(step, points, inputs, trials=2, key=KEY),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_points_of_other_inputs_are_refused_with_their_q(use):
    points = find_fixed_points(driven, STARTS, np.zeros(2), box=(-1, 1), key=KEY)
    moved = 0.5 * ((np.tanh(2 * points.states + [0.3, 0]) - points.states) ** 2).sum(axis=1)
    with pytest.raises(ValueError, match="9 of 9 points are no fixed points of this step under these inputs") as told:
        use(driven, points, np.array([0.3, 0.0]))
    assert f"q is {moved.max():.3g} at point" in str(told.value)
    with pytest.raises(ValueError, match="are no fixed points of this step: "):
        use(lambda h, _: jnp.tanh(1.9 * h), points, None)


@pytest.mark.parametrize("name", ["relu", "large"])
def test_what_a_search_found_is_never_refused(name):
    step = {
        "relu": lambda h, _: jax.nn.relu(jnp.array([[0.5, -1.0], [-1.0, 0.5]]) @ h + 1),
        "large": lambda h, _: 1e6 + 1e6 * jnp.tanh(2 * (h - 1e6) / 1e6),
    }[name]
    points = find_fixed_points(step, STARTS * 1e6 + 1e6 if name == "large" else STARTS, key=KEY)
    assert len(points)
    with jax.enable_x64(True):
        check_fixed_points(step, points.states, points.q, None)


def test_a_slow_point_keeps_its_q():
    points = find_fixed_points(lambda h, _: h + h**2 + 1e-5, np.linspace(-0.5, 0.5, 20)[:, None], key=KEY)
    assert points.is_slow.all()
    assert (points.q > 1e-11).all()
    transition_graph(lambda h, _: h + h**2 + 1e-5, points, trials=2, key=KEY)
    with pytest.raises(ValueError, match="1 of 1 point are no fixed points"):
        transition_graph(lambda h, _: h + h**2 + 1e-4, points, trials=2, key=KEY)

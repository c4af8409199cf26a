"""Rates, and readouts that are not affine in the state: what the stages of the pipeline compute from them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.architectures import LSTM
from dynatlas.cells.ctrnn import CTRNN
from dynatlas.cells.responses import first_output, first_readout, linear_readout, probe_activity, read_out, responses
from dynatlas.dynamics.linearization import integrated_response, linearize
from dynatlas.dynamics.slow_manifolds import slow_manifold
from dynatlas.pipeline.stages.dynamics.findings import findings
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(2)


def cells():
    """The same weights as rates without a leak, and as currents without a leak."""
    return [CTRNN(2, 5, 3, form=form, dt=1.0, tau=1.0, key=KEY) for form in ("rates", "currents")]


def test_activity_is_that_of_the_rates():
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6, 2)), jnp.float32)
    rates, currents = cells()
    # v' = W φ(v) + U x + b is the sum whose φ is h' of the rates.
    np.testing.assert_allclose(probe_activity(currents, inputs), probe_activity(rates, inputs), atol=1e-6)
    states, outputs = responses(currents, inputs)
    assert np.abs(np.asarray(states).reshape(-1, 5) - probe_activity(currents, inputs)).max() > 0.1
    np.testing.assert_allclose(outputs, responses(rates, inputs)[1], atol=1e-6)


@pytest.mark.parametrize("kind", ["rates", "currents", "lstm"])
def test_a_readout_is_exact_at_each_state_and_its_weights_are_its_derivative(kind):
    cell = LSTM(2, 5, 3, key=KEY) if kind == "lstm" else CTRNN(2, 5, 3, form=kind, key=KEY)
    cell = eqx.tree_at(lambda cell: cell.readout_bias, cell, jnp.arange(3.0))
    states = np.random.default_rng(1).normal(size=(4, len(cell.initial_state)))
    weights, constant = linear_readout(cell, states)
    assert weights.shape == ((4, 3, 5) if kind == "currents" else (3, len(cell.initial_state)))
    with jax.enable_x64(True):
        exact = cell.astype(np.float64)
        outputs = np.array([exact.readout(jnp.asarray(state)) for state in states])
        jacobians = np.array([jax.jacobian(exact.readout)(jnp.asarray(state)) for state in states])
    np.testing.assert_allclose(read_out(cell, states), outputs, atol=1e-12)
    np.testing.assert_allclose(np.broadcast_to(weights, jacobians.shape), jacobians, atol=1e-12)
    np.testing.assert_allclose(first_output(cell, states), outputs[:, 0], atol=1e-12)
    differences = np.diff(first_output(cell, states, with_bias=False))
    np.testing.assert_allclose(differences, np.diff(outputs[:, 0]), atol=1e-12)
    np.testing.assert_allclose(constant if kind != "currents" else 0, [0, 1, 2] if kind != "currents" else 0, atol=1e-6)


def test_the_slow_manifold_of_a_curved_output_is_that_of_the_affine_one():
    """F(v) = v/2 + (a ⋅ v) a/2 holds v along a; y = tanh(a ⋅ v), sought to first order from many visited states."""
    along = np.array([0.6, 0.8])
    matrix = 0.5 * np.eye(2) + 0.5 * np.outer(along, along)
    visited = np.linspace(-1, 1, 801)[:, None] * along + 1e-3 * np.random.default_rng(0).normal(size=(801, 2))
    slopes = 1 - np.tanh(visited @ along) ** 2
    weights = slopes[:, None] * along
    bias = np.tanh(visited @ along) - (weights * visited).sum(axis=1)
    values = np.array([-0.5, 0.0, 0.7])
    line = slow_manifold(lambda v, _: jnp.asarray(matrix) @ v, weights, bias, values, visited)
    np.testing.assert_allclose(line.states, np.arctanh(values)[:, None] * along, atol=1e-5)
    assert (line.q < 1e-20).all()
    with pytest.raises(ValueError, match="readout_weights are 0 at a visited state"):
        slow_manifold(lambda v, _: v, np.eye(2) * [[0], [1]], np.zeros(2), [0.0, 0.1], np.zeros((2, 2)))


def test_the_response_of_points_takes_the_readout_at_each():
    points = np.array([[0.1, 0.2], [0.3, -0.4]])
    around = linearize(lambda h, x: jnp.tanh(h) * 0.5 + x, points, np.zeros(2))
    weights = np.array([[1.0, 2.0], [3.0, 4.0]])
    both = integrated_response(around, weights, [1.0, 0.0], 2)
    for row in range(2):
        np.testing.assert_array_equal(both[row], integrated_response(around, weights[row], [1.0, 0.0], 2)[row])


@pytest.mark.parametrize("settings", [{}, {"rank": 1}, {"excitatory": 0.5}, {"learn_tau": True}])
def test_what_networks_of_currents_compute_is_that_of_the_same_networks_of_rates(settings):
    """Without a leak the two are conjugate: v = W h + U x + b, h = φ(v): same roots, stability, outputs and lines."""
    study = tiny_study(
        tasks=[{"kind": "context_integration", "steps": 8}],
        analysis={"manifold_points": 5, "fixed_point_starts": 64},
    )
    task, member = study.task("context_integration"), study.members[0]
    tau = {"dt": 1.0, "tau": 1.0} if "learn_tau" not in settings else {"dt": 50.0}
    found = []
    for form in ("rates", "currents"):
        cell = CTRNN(task.n_inputs, 6, task.n_outputs, form=form, gain=0.9, key=KEY, **tau, **settings)
        # As it is read from an atlas.
        stored = jax.tree.map(np.asarray, cell)
        found.append(findings(study, task, member, stored.astype(np.float64)))
    tables = [one.tables["fixed_points"] for one in found]
    roots = [table[~table.is_slow.astype(bool)] for table in tables]
    assert len(roots[0]) >= 2
    np.testing.assert_array_equal(roots[0].n_unstable, roots[1].n_unstable)
    np.testing.assert_allclose(np.stack(list(roots[0].readout)), np.stack(list(roots[1].readout)), atol=1e-7)
    lines = [one.tables["line_attractors"] for one in found]
    assert np.isfinite(lines[1].q_max).all()
    if not settings:
        columns = ["low", "high", "spectral_radius", "response_first", "response"]
        np.testing.assert_allclose(lines[1][columns], lines[0][columns], atol=1e-4)
    assert first_readout(cell, np.zeros((2, 6)))[0].shape == (2, 6)

"""Steps outside JAX: the same results as inside, differentiable, mapped over any number of axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import Network, find_fixed_points, linearize, uniqueness
from dynatlas.networks.callbacks import numpy_step, torch_step

pytestmark = pytest.mark.usefixtures("quick_compilation")
W = np.random.default_rng(2).normal(size=(3, 3)) * 1.3
U = np.random.default_rng(3).normal(size=(3, 2))


def in_numpy(h, x):
    return np.tanh(W @ h + U @ x)


def in_jax(h, x):
    return jnp.tanh(W @ h + U @ x)


def exact_jacobians(h, x):
    slope = 1 - in_numpy(h, x) ** 2
    return slope[:, None] * W, slope[:, None] * U


@pytest.mark.parametrize(("jacobian", "digits"), [(exact_jacobians, 1e-14), (None, 1e-9)])
def test_a_step_of_numpy_is_linearised_as_one_of_jax(jacobian, digits):
    states, inputs = np.random.default_rng(0).normal(size=(5, 3)), np.array([0.3, -0.7])
    expected = linearize(in_jax, states, inputs)
    seen = linearize(numpy_step(in_numpy, jacobian=jacobian), states, inputs)
    np.testing.assert_allclose(seen.jacobian, expected.jacobian, atol=digits)
    np.testing.assert_allclose(seen.input_jacobian, expected.input_jacobian, atol=digits)


def test_it_has_the_same_fixed_points():
    starts = np.random.default_rng(1).normal(size=(20, 3))
    arguments = {"inputs": np.array([0.1, 0.0]), "box": (-1, 1), "max_starts": 200, "key": jax.random.key(0)}
    expected = find_fixed_points(in_jax, starts, **arguments)
    seen = find_fixed_points(numpy_step(in_numpy), starts, **arguments)
    assert len(expected) == 3
    np.testing.assert_allclose(seen.states, expected.states, atol=1e-10)
    assert (seen.n_unstable == expected.n_unstable).all()
    assert seen.certificate == expected.certificate == "complete"


def test_mapping_over_several_axes_calls_back_row_by_row():
    step = numpy_step(in_numpy)
    states = np.random.default_rng(4).normal(size=(2, 4, 3))
    with jax.enable_x64(True):
        seen = jax.vmap(jax.vmap(step, (0, None)), (0, 0))(jnp.asarray(states), jnp.ones((2, 2)))
    np.testing.assert_allclose(seen, np.tanh(states @ W.T + U.sum(axis=1)), atol=1e-15)


def test_a_network_of_it_is_slow_and_no_bounds_can_be_computed_on_it():
    network = Network(numpy_step(in_numpy), n_states=3, n_inputs=2)
    assert network.is_slow
    assert not Network(in_jax, n_states=3, n_inputs=2).is_slow
    with pytest.raises(ValueError, match="no bounds can be computed on this step function"):
        uniqueness(network.step, np.zeros((1, 3)), np.zeros(2))


class TestTorch:
    """Run where PyTorch is installed; it is no dependency."""

    def test_a_cell_of_pytorch_is_linearised_as_its_weights_say(self, tmp_path):
        torch = pytest.importorskip("torch")
        cell = torch.nn.GRUCell(2, 3).double()
        step = torch_step(lambda h, x: cell(x, h))
        np.savez(tmp_path / "cell.npz", **{name: values.detach().numpy() for name, values in cell.named_parameters()})
        from dynatlas import read_network

        states, inputs = np.random.default_rng(0).normal(size=(4, 3)), np.array([0.2, -0.4])
        expected = linearize(read_network(tmp_path / "cell.npz").step, states, inputs)
        seen = linearize(step, states, inputs)
        np.testing.assert_allclose(seen.jacobian, expected.jacobian, atol=1e-14)
        np.testing.assert_allclose(seen.input_jacobian, expected.input_jacobian, atol=1e-14)

    def test_single_precision_is_refused(self):
        torch = pytest.importorskip("torch")
        cell = torch.nn.GRUCell(2, 3)
        step = torch_step(lambda h, x: cell(x.float(), h.float()))
        with jax.enable_x64(True), pytest.raises(Exception, match=r"expected float64: call module\.double"):
            step(jnp.zeros(3), jnp.zeros(2)).block_until_ready()

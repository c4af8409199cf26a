"""Arrays of small networks, files of them, and one step against a formula."""

import numpy as np

N, I, O = 6, 2, 3  # noqa: E741


def relu(values):
    return np.maximum(values, 0)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def assert_steps(network, formula, outputs=None):
    """Compare one step, and the readout, with a formula on rows: states [samples, N], inputs [samples, I]."""
    states, inputs = normal(9, N, seed=7), normal(9, network.n_inputs, seed=8)
    computed = network.run(inputs[:, None], states)[:, 0]
    np.testing.assert_allclose(computed, formula(states, inputs), atol=1e-12)
    if outputs is not None:
        np.testing.assert_allclose(network.read_out(states), outputs(states), atol=1e-12)


def written(tmp_path, arrays):
    np.savez(tmp_path / "net.npz", **arrays)
    return tmp_path / "net.npz"

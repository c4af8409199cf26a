"""No array of a file is left aside in silence: used, explained, ignored on request, or an error."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from dynatlas import read_network
from dynatlas.errors import NetworkError
from dynatlas.networks.checking import check
from support.layout_files import I, N, O, assert_steps, normal, relu, written

pytestmark = pytest.mark.usefixtures("quick_compilation")


def cell(**more):
    """A user-defined cell with PyTorch's names and a single bias, called bias."""
    return {
        "rnn.weight_ih": normal(N, I),
        "rnn.weight_hh": normal(N, N),
        "readout.weight": normal(O, N),
        "readout.bias": np.zeros(O),
    } | {f"rnn.{name}": np.asarray(values) for name, values in more.items()}


def saved(tmp_path, arrays):
    save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


class TestOwnCells:
    def test_a_single_bias_has_to_be_named(self, tmp_path):
        path = saved(tmp_path, cell(bias=normal(N)))
        with pytest.raises(NetworkError) as error:
            read_network(path)
        assert str(error.value) == (
            "'rnn.bias' [6] is not used, and could be part of the dynamics by size. To go on, name the role with "
            "--part "
            "bias=rnn.bias (parts={'bias': 'rnn.bias'}), or if it has no effect leave it out with --ignore rnn.bias "
            "(ignore=['rnn.bias'])"
        )
        p = cell()
        drive = lambda h, x: x @ p["rnn.weight_ih"].T + h @ p["rnn.weight_hh"].T  # noqa: E731
        network = read_network(path, parts={"bias": "rnn.bias"})
        assert_steps(network, lambda h, x: np.tanh(drive(h, x) + normal(N)), lambda h: h @ p["readout.weight"].T)
        ignored = read_network(path, ignore="rnn.b*")
        assert_steps(ignored, lambda h, x: np.tanh(drive(h, x)))
        assert ignored.assumed == ("rnn.bias without effect", "activation tanh")
        leaky = saved(tmp_path, cell(bias=normal(N), alpha=np.float32(0.25)))
        with pytest.raises(
            NetworkError, match=r"'rnn.alpha' \[1\], 'rnn.bias' \[6\] are not used.*--part alpha=rnn.alpha"
        ):
            read_network(leaky)
        network = read_network(leaky, parts={"bias": "rnn.bias", "alpha": "rnn.alpha"}, activation="relu", form="rate")
        assert_steps(network, lambda h, x: 0.75 * h + 0.25 * relu(drive(h, x) + normal(N)))

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("gain", np.float64(2)),
            ("gain", normal(N)),
            ("scale", normal(I)),
            ("mask_hh", (normal(N, N) > 0).astype(float)),
            ("weight_ctx", normal(N, 4)),
            ("factor", normal(4, N)),
            ("norm.weight", np.ones(N)),
        ],
    )
    def test_what_fits_by_size_stops_the_reading(self, tmp_path, name, values):
        with pytest.raises(NetworkError, match=rf"'rnn.{name}' .*is not used, and could be part of the dynamics"):
            read_network(saved(tmp_path, cell(**{name: values})))

    def test_what_cannot_matter_is_named(self, tmp_path):
        weights = cell(h0=normal(N), sigma_rec=np.float64(0.1), mask_hh=np.ones((N, N)))
        more = {
            "optimizer.state.0.exp_avg": normal(N, N),
            "epoch": np.array(7),
            "value.weight": normal(I, N, seed=1),
            "value.bias": normal(I),
            "encoder.weight": normal(I, 9),
            "encoder.bias": normal(I, seed=2),
        }
        network = read_network(saved(tmp_path, weights | more), readout="readout")
        said = " ".join(network.source)
        for sentence in (
            "rnn.h0 (first state)",
            "optimizer.state.0.exp_avg (state of the optimiser)",
            "epoch (of training)",
            "rnn.sigma_rec (size of the noise)",
            "rnn.mask_hh (the weights have it already)",
            "value.weight, value.bias (it reads the state and does not act back)",
            "encoder.weight, encoder.bias (it does not touch the state)",
        ):
            assert sentence in said
        assert network.assumed == ("activation tanh",)

    def test_names_and_roles_that_do_not_exist(self, tmp_path):
        path = saved(tmp_path, cell())
        for options, message in (
            ({"ignore": ["rnn.bais"]}, "no array 'rnn.bais' to ignore; it has: "),
            ({"parts": {"bias": "rnn.bais"}}, "no array 'rnn.bais'; it has: "),
            ({"parts": {"bais": "rnn.bias"}}, "there is no role 'bais'; expected one of recurrent, input, bias"),
        ):
            with pytest.raises(NetworkError, match=message):
                read_network(path, **options)

    def test_any_names_with_their_roles(self, tmp_path):
        w, u = normal(N, N), normal(N, I)
        path = written(tmp_path, {"arr_0": w, "arr_1": u})
        with pytest.raises(NetworkError, match=r"it holds: arr_0 \[6, 6\], arr_1 \[6, 2\]. Name the roles"):
            read_network(path)
        network = read_network(path, parts={"recurrent": "arr_0", "input": "arr_1"})
        assert_steps(network, lambda h, x: np.tanh(h @ w.T + x @ u.T))


def test_the_first_layer_of_a_head_is_no_readout(tmp_path):
    head = {
        "head.0.weight": normal(8, N),
        "head.0.bias": normal(8),
        "head.2.weight": normal(O, 8),
        "head.2.bias": normal(O),
    }
    gru = {"rnn.weight_ih_l0": normal(3 * N, I), "rnn.weight_hh_l0": normal(3 * N, N)}
    network = read_network(saved(tmp_path, gru | head))
    assert network.readout is None
    assert network.source[-1] == (
        "no readout: head.0 is the first layer of a head, before head.2; --readout head.0 takes it alone"
    )
    chosen = read_network(tmp_path / "net.safetensors", readout="head.0")
    np.testing.assert_allclose(chosen.read_out(np.ones(N)), head["head.0.weight"].sum(axis=1) + head["head.0.bias"])


class TestParametrisations:
    W = normal(N, N, seed=3)
    MASK = (normal(N, N, seed=4) > 0).astype(float)

    def parts(self, name):
        u, v = normal(N, seed=5), normal(N, seed=6)
        original, normed = {}, self.W / np.linalg.norm(self.W, axis=1, keepdims=True)
        g = np.abs(normal(N, 1))
        at, parametrized = "rnn.weight_hh_l0", "rnn.parametrizations.weight_hh_l0"
        match name:
            case "pruned":
                original, effective = {f"{at}_orig": self.W, f"{at}_mask": self.MASK}, self.W * self.MASK
            case "weight_norm":
                original, effective = {f"{at}_g": g, f"{at}_v": self.W}, g * normed
            case "parametrised weight_norm":
                original = {f"{parametrized}.original0": g, f"{parametrized}.original1": self.W}
                effective = g * normed
            case "spectral_norm":
                original = {f"{parametrized}.original": self.W, f"{parametrized}.0._u": u, f"{parametrized}.0._v": v}
                effective = self.W / (u @ self.W @ v)
        return original, effective

    @pytest.mark.parametrize("name", ["pruned", "weight_norm", "parametrised weight_norm", "spectral_norm"])
    @pytest.mark.parametrize("prefix", ["", "_orig_mod.module."])
    def test_they_are_computed(self, tmp_path, name, prefix):
        original, effective = self.parts(name)
        weights = {
            f"{prefix}{name}": values for name, values in (original | {"rnn.weight_ih_l0": normal(N, I)}).items()
        }
        network = read_network(saved(tmp_path, weights))
        assert_steps(network, lambda h, x: np.tanh(x @ normal(N, I).T + h @ effective.T))
        assert network.source[-1].startswith("weight_hh_l0 ")

    def test_others_are_refused_by_name(self, tmp_path):
        at = "rnn.parametrizations.weight_hh_l0"
        weights = {f"{at}.original": self.W, f"{at}.0.base": self.W, "rnn.weight_ih_l0": normal(N, I)}
        with pytest.raises(NetworkError, match=r"'rnn.weight_hh_l0' is parametrised \(0.base \[6, 6\], .*remove_param"):
            read_network(saved(tmp_path, weights))


class TestHintsOfTheCheck:
    """What a record's axes are mistaken for is told."""

    @pytest.fixture
    def network(self, tmp_path):
        return read_network(saved(tmp_path, {"rnn.weight_ih_l0": normal(N, I), "rnn.weight_hh_l0": normal(N, N)}))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                lambda x, s: (x.swapaxes(0, 1), s.swapaxes(0, 1)),
                "With the first two axes swapped it does: save the record",
            ),
            (lambda x, s: (x, np.concatenate([0 * s[:, :1], s[:, :-1]], 1)), "With the states one step later it does"),
            (
                lambda x, s: (x, np.concatenate([0 * s[:, :1], s], 1)),
                r"expected \(4, 7, 6\); save the first state as `ini",
            ),
        ],
    )
    def test_told(self, network, change, message):
        inputs = normal(4, 7, I)
        given, states = change(inputs, network.run(inputs))
        with pytest.raises(NetworkError, match=message):
            check(network, {"inputs": given, "states": states})


def dense(rows, columns, seed=0):
    return {"kernel": normal(rows, columns, seed=seed), "bias": normal(columns, seed=seed)}


def test_layers_of_flax_around_a_cell_are_named_and_one_that_could_act_on_it_is_refused():
    tree = {"rnn": {"i": dense(I, N), "h": dense(N, N)}, "readout": dense(N, O), "encoder": dense(9, I)}
    network = read_network(tree)
    said = " ".join(network.source)
    assert "readout/kernel, readout/bias (it reads the state and does not act back)" in said
    assert "encoder/kernel, encoder/bias (it does not touch the state)" in said
    assert network.assumed == ("activation tanh",)
    with pytest.raises(NetworkError, match=r"'norm/scale' \[6\] is not used, and could be part of the dynamics"):
        read_network(tree | {"norm": {"scale": normal(N)}})
    assert read_network(tree | {"norm": {"scale": normal(N)}}, ignore="norm/*").n_states == N


def test_dictionaries_of_arrays_in_memory_are_read_as_files_are(tmp_path):
    arrays = {"W_rec": normal(N, N), "W_in": normal(N, I), "activation": "relu"}
    network = read_network(arrays)
    assert network.source == read_network(written(tmp_path, arrays)).source
    assert_steps(network, lambda h, x: relu(h @ arrays["W_rec"].T + x @ arrays["W_in"].T))
    with pytest.raises(NetworkError, match="'params' is a list of the type complex128; expected real numbers"):
        read_network(arrays | {"params": [1j]})

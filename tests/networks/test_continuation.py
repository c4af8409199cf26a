"""Fixed points of one network along an input, its weights, or the way to others: closed forms, folder and command."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from jaxtyping import TypeCheckError

from dynatlas import Network, continue_network, read_network
from dynatlas.cells.architectures import LSTM
from dynatlas.cli.continuation import read_along
from dynatlas.errors import NetworkError
from dynatlas.networks.continuation import write_folder
from dynatlas.networks.continuation.page import page
from dynatlas.networks.continuation.plots import branches_plot
from dynatlas.networks.continuation.ways import way_of
from dynatlas.networks.layouts.pytrees import network_of_cell
from support.command_line import call
from support.random_atlas import random_atlas

pytestmark = pytest.mark.usefixtures("quick_compilation")
# h = tanh(2 h + x) has a double root where 1 = 2 (1 − h²): h = √½, x = atanh(h) − 2 h.
FOLD = np.arctanh(0.5**0.5) - 2 * 0.5**0.5


def matrices(weight=2.0, readout=1.0, **more):
    """One tanh unit, h' = tanh(w h + x₀ + 3 x₁), as the arrays of a file."""
    arrays = {"W_rec": [[weight]], "W_in": [[1.0, 3.0]], "W_out": [[readout]], "b": [0.0], **more}
    return {name: np.array(values) for name, values in arrays.items()}


def unit(**settings):
    return read_network(matrices(**settings), activation="tanh", orientation="columns")


def found_along(along, start, stop, network=None, **settings):
    ends = float(start), float(stop)
    return continue_network(network or unit(), along, *ends, n_values=20, key=jax.random.key(0), **settings)


def kinds(found):
    return [(row.kind, round(row.parameter, 8)) for row in found.tables["bifurcations"].itertuples()]


@pytest.fixture(scope="module")
def fold():
    return found_along("input:1", 0, -0.5, inputs=[0.1, 7.0])


def test_an_input_has_its_fold_where_the_tangent_touches(fold):
    assert kinds(fold) == [("fold", round((FOLD - 0.1) / 3, 8))]
    assert len(fold.points) == 3
    assert fold.points.certificate == "complete"
    assert fold.tables["index_sums"].index_sum.eq(1).all()
    assert fold.tables["index_sums"].n_roots.tolist()[::20] == [3, 1]
    # The held value of the channel itself counts for nothing.
    np.testing.assert_allclose(way_of(unit(), "input:1", [0.1, 7.0]).inputs_at(0.5), [0.1, 0.5])


def test_the_recurrent_weights_have_their_pitchfork_where_the_slope_is_one():
    assert kinds(found_along("recurrent", 1.0, 0.25)) == [("pitchfork", 0.5)]


def test_the_way_between_inputs_is_straight():
    found = found_along("inputs", 0, 1, inputs=[[0.1, 0.0], [0.1, FOLD]])
    assert kinds(found) == [("fold", round((FOLD - 0.1) / (3 * FOLD), 8))]


def test_the_way_between_networks_mixes_all_weights_and_the_readouts():
    one, other = unit(weight=0.5, readout=1.0), unit(weight=2.0, readout=3.0)
    found = found_along("network", 0, 1, one, other=other)
    assert kinds(found) == [("pitchfork", round(1 / 3, 8))]
    states = np.concatenate([branch.states[:, 0] for branch in found.branches.branches])
    expected = (1 + 2 * found.tables["branches"].parameter) * states
    np.testing.assert_allclose(found.tables["branches"].output_0, expected, atol=1e-12)


def test_the_weights_of_all_gates_are_scaled():
    with jax.enable_x64(True):
        cell = LSTM(1, 2, 1, key=jax.random.key(0))
        way = way_of(network_of_cell(cell, 1), "recurrent")
        state = jnp.array([0.1, 0.2, 0.3, 0.4])
        half = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), cell)
        scaled = LSTM(1, 2, 1, key=jax.random.key(0))
        object.__setattr__(scaled, "recurrent_weights", 0.5 * half.recurrent_weights)
        np.testing.assert_allclose(way(state, 0.5), scaled(state, jnp.zeros(1)), rtol=1e-6)


def test_a_box_that_depends_on_the_parameter_certifies_too():
    found = found_along("input:0", 0, 1, network_of_cell(LSTM(1, 2, 1, key=jax.random.key(1)), 1))
    assert found.branches.has_box
    assert not found.branches.index_sums.is_wrong.any()


def test_without_a_box_nothing_is_certified():
    relu = read_network(matrices(weight=0.5), activation="relu", orientation="columns")
    found = found_along("recurrent", 1, 3, relu, inputs=[0.5, 0])  # from a weight of 1 the map has no box
    assert not found.branches.has_box
    assert "not certifiable" in repr(found)


@pytest.mark.parametrize(
    ("along", "settings", "said"),
    [
        ("input:2", {}, "the input channel is '2'; the network has channels 0 to 1"),
        ("input:-1", {}, "the input channel is '-1'"),
        ("weights", {}, "along is 'weights'; expected one of input:CHANNEL, inputs, recurrent, network"),
        ("inputs", {}, r"expected two static inputs, \(2, 2\)"),
        ("recurrent", {"inputs": [0.0]}, r"inputs has shape \(1,\); expected \(2,\)"),
        ("network", {}, "needs the other network"),
        ("recurrent", {"other": unit()}, "has no other network"),
        ("network", {"other": read_network(matrices(), activation="relu", orientation="columns")}, "differ in their"),
    ],
)
def test_a_parameter_that_the_network_does_not_have_is_named(along, settings, said):
    with pytest.raises(ValueError, match=said):
        found_along(along, 0, 1, **settings)


def test_functions_have_inputs_but_no_weights():
    network = Network(lambda h, x: jnp.tanh(2 * h + x), n_states=1, n_inputs=1, bounds=lambda x: (-1, 1))
    with pytest.raises(ValueError, match="no recurrent_weights"):
        found_along("recurrent", 1, 2, network)
    with pytest.raises(ValueError, match="a function without weights"):
        found_along("network", 0, 1, network, other=network)


def test_the_plot_has_every_branch_in_every_view(fold):
    plot, heights = branches_plot(fold)
    assert list(heights) == ["first principal component", "output 0"]
    lines = [trace for trace in plot["data"] if trace["mode"] == "lines"]
    (mark,) = [trace for trace in plot["data"] if trace["name"] == "fold (1)"]
    assert mark["x"] == [pytest.approx((FOLD - 0.1) / 3)]
    for values in heights.values():
        assert [len(each) for each in values] == [len(trace["x"]) for trace in (*lines, mark)]
    assert heights["output 0"][-1] == [pytest.approx(0.5**0.5, abs=1e-5)]
    assert {trace["name"] for trace in lines} == {"stable", "unstable"}


def test_the_folder_has_tables_figure_and_a_page_that_stands_alone(fold, tmp_path):
    page = write_folder(fold, tmp_path / "out", "</script><img src=x>", "output 0")
    names = {path.name for path in page.parent.iterdir()}
    tables = {f"{name}.{ending}" for name in fold.tables for ending in ("csv", "parquet")}
    assert names == tables | {"points.npz", "branches.svg", "branches.png", "index.html", "continuation.json"}
    same = pd.read_csv(page.parent / "bifurcations.csv")
    assert same.eigenvalue_real.tolist() == [pytest.approx(1)]
    with np.load(page.parent / "points.npz") as file:
        assert len(file["states"]) == len(fold.tables["branches"]) == len(file["eigenvalues"])
    text = page.read_text()
    assert "<img src=x>" not in text
    assert "<option selected>output 0</option>" in text
    data = text.split('id="atlas-data">')[1].split("</script>")[0]
    assert set(json.loads(data)) == {"plot", "heights"}
    (page.parent / "branches.csv").write_text("mine")
    with pytest.raises(NetworkError, match="has been edited"):
        write_folder(fold, page.parent, "same")
    with pytest.raises(NetworkError, match="there is no 'output 1' to show"):
        write_folder(fold, tmp_path / "other", "name", "output 1")


def test_the_command_follows_a_file_and_keeps_other_results(tmp_path, capsys):
    np.savez(tmp_path / "unit.npz", **matrices(activation="tanh"))
    options = ("--orientation", "columns", "--values", "20")
    along = ("--along", "input:1=0..-0.5", "--inputs", "0.1,0")
    assert call("continue", tmp_path / "unit.npz", *along, *options) == 0
    printed = capsys.readouterr().out
    assert "3 at 0, index sum 1, complete" in printed
    assert "1 fold" in printed
    assert (tmp_path / "unit-along-input-1-from-0-to--0.5" / "index.html").exists()
    np.savez(tmp_path / "two.npz", inputs=[[0.1, 0], [0.1, -0.5]])
    assert call("continue", tmp_path / "unit.npz", "--along", f"inputs:{tmp_path / 'two.npz'}=0..1", *options) == 0
    one, two = (
        pd.read_csv(tmp_path / f"unit-along-{name}" / "bifurcations.csv").parameter[0]
        for name in ("input-1-from-0-to--0.5", "inputs-two-from-0-to-1")
    )
    assert one == pytest.approx(-0.5 * two)
    elsewhere = ("--out", tmp_path)
    assert call("continue", tmp_path / "unit.npz", *along, *options, *elsewhere) == 8
    assert "exists and is no earlier continuation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("input:1", "expected WHAT=FROM..TO"),
        ("input:1=0", "expected WHAT=FROM..TO"),
        ("input:1=a..b", "from 'a' to 'b'; expected two numbers"),
        ("input=0..1", "names 'input'"),
        ("input:=0..1", "names 'input:'"),
        ("recurrent:2=0..1", "names 'recurrent:2'"),
        ("gain=0..1", "names 'gain'"),
        ("input:x=0..1", "names 'input:x'; expected the number of an input channel"),
        ("input:-1=0..1", "names 'input:-1'"),
        ("input:1=0..0", "from 0 to 0; expected two different finite numbers"),
        ("recurrent=nan..1", "from nan to 1"),
        ("recurrent=1..1e400", "from 1 to 1e400"),
    ],
)
def test_a_bad_parameter_of_the_command_says_what_is_expected(text, said):
    with pytest.raises(NetworkError, match=said):
        read_along(text)


def test_the_certificate_of_a_relu_network_is_not_used_along_branches():
    """h = relu(h/2 + x) has the one root 2 x, which a search certifies without a box."""
    relu = Network(lambda h, x: jax.nn.relu(0.5 * h + x), n_states=1, n_inputs=1)
    found = found_along("input:0", 0.1, 1, relu)
    assert found.points.certificate == "complete"
    np.testing.assert_allclose(found.points.states, [[0.2]])
    assert not found.branches.has_box
    assert "not certifiable: no box is known" in str(found)
    assert "that of a relu network, which needs no box, is not used along branches" in page(found, "relu")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--along", "input:1=0..0"), "from 0 to 0"),
        (("--along", "recurrent=1..2", "--values", "0"), "--values is 0; expected at least 2"),
        (("--along", "recurrent=1..2", "--max-starts", "0"), "--max-starts is 0; expected at least 1"),
        (("--along", "recurrent=1..2", "--max-seconds", "nan"), "--max-seconds is nan; expected 0 or more"),
    ],
)
def test_a_wrong_option_is_said_before_a_file_is_read(options, said, tmp_path, capsys):
    assert call("continue", tmp_path / "missing.npz", *options) == 8
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--along", "input:5=0..1"), "names 'input:5'; the network has input channels 0 to 1"),
        (("--along", "recurrent=1..2", "--output", "1"), "--output is 1; the network has outputs 0 to 0"),
        (("--along", "recurrent=1..2", "--inputs", "1"), "--inputs 1 has the shape [1]; expected 2 finite numbers"),
    ],
)
def test_what_the_network_does_not_have_is_said_without_lines_on_the_file(options, said, tmp_path, capsys):
    np.savez(tmp_path / "unit.npz", **matrices(activation="tanh"))
    assert call("continue", tmp_path / "unit.npz", "--orientation", "columns", *options) == 8
    printed = capsys.readouterr()
    assert said in printed.err
    assert not printed.out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_values": 0}, "n_values is 0; expected at least 2"),
        ({"max_starts": 0}, "max_starts is 0; expected at least 1"),
        ({"max_seconds": -1.0}, "max_seconds is -1.0; expected 0 or more"),
    ],
)
def test_a_bad_setting_is_refused_before_the_search(settings, said):
    with pytest.raises(ValueError, match=said):
        continue_network(unit(), "input:0", 0.0, 1.0, key=jax.random.key(0), **settings)


def test_a_number_is_no_key():
    with pytest.raises((ValueError, TypeCheckError), match=r"key is 7; expected a JAX key|parameter 'key'"):
        continue_network(unit(), "input:0", 0.0, 1.0, key=7)


def test_another_way_or_interval_has_another_folder(tmp_path, capsys, monkeypatch):
    """Two files of one name would have the same folder: the record distinguishes them, and the second is refused."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more").mkdir()
    for place in ("unit", "B", "C", "more/B"):
        np.savez(tmp_path / f"{place}.npz", **matrices(activation="tanh"))
    ways = ("input:1=0..0.1", "input:1=-0.1..0.1", "input:0=0..0.1", "recurrent=1..1.0000001", "recurrent=1..1.0000002")
    others = [f"network:{name}.npz=0..1" for name in ("B", "C", "more/B")]
    options = ("--orientation", "columns", "--values", "2")
    codes = [call("continue", tmp_path / "unit.npz", "--along", way, *options) for way in (*ways, *others)]
    assert codes == [0] * 7 + [8]
    assert "more/B.npz" in capsys.readouterr().err
    assert {path.name.removeprefix("unit-along-") for path in tmp_path.glob("unit-along-*")} == {
        "input-1-from-0-to-0.1",
        "input-1-from--0.1-to-0.1",
        "input-0-from-0-to-0.1",
        "recurrent-from-1-to-1.0000001",
        "recurrent-from-1-to-1.0000002",
        "network-B-from-0-to-1",
        "network-C-from-0-to-1",
    }


def test_names_of_files_may_have_any_signs():
    assert read_along("network:a=b:c.npz=-1e-1..2.5")[:] == ("network", "a=b:c.npz", -0.1, 2.5)


def test_the_command_follows_networks_of_an_atlas(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    atlas, _ = random_atlas(tmp_path / "atlas")
    one, two = (member for member in atlas.study.members if member.architecture == "gru" and member.seed < 2)
    within = ("--atlas", "atlas", "--values", "10")
    assert call("continue", one.id, "--along", f"network:{two.name}=0..1", *within) == 0
    folder = tmp_path / f"{one.id}-along-network-{two.name}-from-0-to-1"
    assert (folder / "branches.png").exists()
    assert json.loads((folder / "continuation.json").read_text())["subject"] == {
        "network": f"{one.name} {one.id}",
        "along": f"network:{two.name} {two.id}",
        "from": 0.0,
        "to": 1.0,
    }
    assert call("continue", one.id, "--along", "recurrent=1..2", *within, "--alpha", "1") == 8
    assert call("continue", one.id, "--along", "recurrent=1..2", *within, "--output", "9") == 8
    assert call("continue", "nobody", "--along", "recurrent=1..2", *within) == 4
    said = capsys.readouterr().err
    assert "--alpha cannot be chosen with --atlas" in said
    assert "--output is 9; the network has outputs 0 to" in said

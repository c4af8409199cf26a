"""What one network computes, from file to page: a flip-flop that PyTorch trained, networks known by hand."""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from dynatlas import Network, analyze
from dynatlas.errors import NetworkError
from dynatlas.networks.analysis import page
from dynatlas.networks.analysis.page import write_folder
from support.command_line import call

pytestmark = pytest.mark.usefixtures("quick_compilation")
DATA = Path(__file__).parents[1] / "data"
# Trained by validation/train_torch.py: nn.GRU, 64 units, seed 0, its weights alone.
FLIP_FLOP = DATA / "flip_flop_gru.safetensors"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}"


@pytest.fixture(scope="module")
def flip_flop(tmp_path_factory):
    """The folder that ``dynatlas analyze`` makes of the flip-flop, and what it printed."""
    folder = tmp_path_factory.mktemp("analysis") / "out"
    printed: list[str] = []
    with patch("builtins.print", lambda *texts, **_: printed.append(" ".join(map(str, texts)))):
        record = DATA / "flip_flop_gru_record.npz"
        assert call("analyze", FLIP_FLOP, "--check", record, "--out", folder) == 0
    return folder, "\n".join(printed)


def test_one_command_finds_the_27_roots_of_a_flip_flop_that_pytorch_trained(flip_flop):
    _, printed = flip_flop
    assert "GRU in PyTorch's layout: 3 inputs, 64 units (gru.weight_hh_l0 [192, 64])" in printed
    assert "the reset gate acts after the recurrent product" in printed
    assert re.search(r"verified: 16 single steps of whole states, largest difference \d\.\de-\d\d", printed)
    assert "starts: states visited on 64 random trials of 100 steps, from state 0" in printed
    assert "condition 0: 27 roots (8 + 12 + 6 + 1), index sum 1, complete; attractors that 16 runs reached" in printed


def test_the_tables_agree_with_each_other_and_with_the_states(flip_flop):
    folder, _ = flip_flop
    points = pd.read_parquet(folder / "fixed_points.parquet")
    (search,) = pd.read_parquet(folder / "searches.parquet").to_dict("records")
    assert (search["n_roots"], search["n_stable"], search["certificate"]) == (27, 8, "complete")
    assert points.n_unstable.value_counts().to_dict() == {0: 8, 1: 12, 2: 6, 3: 1}
    # Morse: the index of a root is the sign of the number of its real eigenvalues above 1.
    assert points["index"].sum() == 1
    assert (points.q < 1e-20).all()
    assert (points.unique_radius > 1e-6).all()
    with np.load(folder / "points.npz") as file:
        eigenvalues, states = file["eigenvalues"], file["states"]
    np.testing.assert_allclose(np.abs(eigenvalues[:, 0]), points.spectral_radius, rtol=1e-12)
    assert states.shape == (27, 64)
    assert np.abs(states).max() <= 1
    same = pd.read_csv(folder / "fixed_points.csv")
    pd.testing.assert_frame_equal(same, points, check_exact=False)


class Page(HTMLParser):
    """Elements, text and scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.text, self._inside = [], [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data


def test_the_page_stands_alone_and_shows_every_point(flip_flop):
    folder, _ = flip_flop
    text = (folder / "index.html").read_text()
    page_ = Page(text)
    for tag, attrs in page_.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attrs.get(name) or ""
            assert not value or (tag == "a" and value.startswith("#")), f"<{tag} {name}={value}>"
    policy = next(attrs["content"] for _, attrs in page_.elements if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    data = json.loads(page_.scripts[0])
    (space,) = data["spaces"]["network"]
    sizes = [len(trace["x"]) for trace in space["data"] if trace["mode"] == "markers"]
    assert sizes == [8, 12, 6, 1]
    eigenvalues = [len(trace["x"]) for trace in data["plots"]["spectrum"]["data"] if trace["mode"] == "markers"]
    assert eigenvalues == [64 * count for count in sizes]
    assert sum("data-task" in attrs for tag, attrs in page_.elements if tag == "tr") == 27
    assert "verified: 16 single steps" in page_.text
    assert {attrs["data-plot"] for _, attrs in page_.elements if "data-plot" in attrs} == set(data["plots"])


def switches(**settings):
    """Two bistable units, each with an input."""
    step = settings.pop("step", lambda h, x: jnp.tanh(2 * h + x))
    defaults = {"n_states": 2, "n_inputs": 2, "bounds": lambda inputs: (-1, 1), "readout": lambda h: h[:1] - h[1:]}
    return Network(step, **(defaults | settings))


@pytest.fixture(scope="module")
def found():
    """The switches under two conditions: without input, and with one so strong that each has but one state."""
    activity = np.random.default_rng(0).uniform(-1, 1, (4, 20, 2))
    conditions = [[0, 0], [3, -3]]
    return analyze(switches(), conditions=conditions, activity=activity, starts=128, key=jax.random.key(1))


def test_each_condition_is_searched_from_the_activity_given(found):
    first, second = found.fixed_points
    assert (len(first), len(second)) == (9, 1)
    assert found.visited.said == "the given activity (4 trials of 20 steps)"
    expected = np.array([[1.0], [-1.0]]) * 0.9999
    np.testing.assert_allclose(second.states.T, expected, atol=1e-3)
    said = " ".join(repr(found).split())
    assert "condition 0: 9 roots (4 + 4 + 1), index sum 1, complete; attractors that 4 runs reached: " in said
    assert "condition 1: 1 root (1), index sum 1, complete; attractors that 4 runs reached: 1 fixed point" in said


def test_points_are_in_the_order_of_stability_and_readout(found):
    points = found.tables["fixed_points"].query("condition == 0")
    root = 0.957504024
    stable = points[points.n_unstable == 0].output_0
    np.testing.assert_allclose(stable, [-2 * root, 0, 0, 2 * root], atol=1e-8)
    # h' = tanh(2h) has the slope 2 at 0 and 2(1 − h²) at its other roots.
    np.testing.assert_allclose(points[points.n_unstable == 0].spectral_radius, 2 * (1 - root**2), atol=1e-8)
    np.testing.assert_allclose(points[points.n_unstable == 2].time_constant, 1 / np.log(2), atol=1e-12)


def test_attractors_are_named_after_the_points_next_to_them(found):
    attractors = found.tables["attractors"].query("condition == 0")
    assert (attractors.kind == "fixed point").all()
    assert attractors.n_runs.sum() == 4
    points = found.tables["fixed_points"].query("condition == 0").set_index("point")
    assert (points.n_unstable[attractors.nearest_point] == 0).all()
    assert (attractors.distance < 1e-9).all()
    for attractor, nearest in zip(found.attractors[0], attractors.nearest_point, strict=True):
        np.testing.assert_allclose(found.fixed_points[0].states[nearest], attractor.states[-1], atol=1e-9)


def test_a_network_without_a_box_is_not_certified_and_one_that_runs_away_says_so():
    growing = switches(step=lambda h, x: 2 * h + x, bounds=None, readout=None)
    result = analyze(growing, trials=np.ones((2, 8, 2)), starts=64, max_starts=64, key=jax.random.key(0))
    said = " ".join(repr(result).split())
    assert "1 root (0 + 0 + 1), index sum 1, not certifiable" in said
    assert "2 ran away" in said
    assert result.warnings == (
        "No box that this network maps into itself is known: no count of fixed points can be certified.",
    )
    assert result.visited.said == "states visited on the 2 given trials, from state 0"


def test_the_page_explains_the_certificates_of_relu_networks():
    """Two units that inhibit each other: either wins, or they balance."""
    weights = np.array([[0.5, -1.0], [-1.0, 0.5]])
    relu = switches(step=lambda h, x: jax.nn.relu(weights @ h + x + 1), bounds=None, readout=None)
    result = analyze(relu, trials=np.zeros((2, 8, 2)), starts=64, max_starts=64, key=jax.random.key(0))
    with patch("plotly.offline.get_plotlyjs", lambda: "plotly"):
        text = " ".join(Page(page(result, "relu")).text.split())
    assert "all linear regions of 2 relus" in text  # the reason in the table
    assert "because all linear regions hold its fixed points, this is a proof" in text
    assert "Supported: its growth at infinity" in text
    assert "Not certifiable: neither a box" in text


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match=r"conditions has shape \(1, 3\); expected \[conditions, 2\]"):
        analyze(switches(), conditions=np.zeros((1, 3)), key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"activity has shape \(5, 3\); expected \[trials, steps, 2\] or \[samp"):
        analyze(switches(), activity=np.zeros((5, 3)), key=jax.random.key(0))
    with pytest.raises(ValueError, match="both trials and activity are given"):
        analyze(switches(), activity=np.zeros((5, 2)), trials=np.zeros((1, 1, 2)), key=jax.random.key(0))


def test_hostile_text_is_shown_as_text(found):
    network = switches(source=(HOSTILE,))
    hostile = type(found)(**(vars(found) | {"network": network, "warnings": (HOSTILE,)}))
    with patch("plotly.offline.get_plotlyjs", lambda: "plotly</script>"):
        page_ = Page(page(hostile, HOSTILE, HOSTILE))
        clean = Page(page(found, "switches"))
    assert len(page_.scripts) == len(clean.scripts) == 3
    assert page_.scripts == clean.scripts
    assert not [tag for tag, _ in page_.elements if tag == "img"]
    assert page_.text.count("alert(1)") >= 4
    assert "{{ 7*7 }}" in page_.text


def test_a_folder_that_is_no_analysis_is_kept(found, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(NetworkError, match="mine exists and is no earlier analysis; choose another folder with --out"):
        write_folder(found, tmp_path / "mine", "switches")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "precious"
    for _ in range(2):  # an earlier analysis is replaced
        with patch("plotly.offline.get_plotlyjs", lambda: "plotly"):
            assert write_folder(found, tmp_path / "new", "switches").exists()


class TestCommand:
    """Mistakes on the command line: the message, and exit code 8."""

    def test_a_file_that_cannot_be_read(self, tmp_path, capsys):
        assert call("analyze", tmp_path / "nothing.npz") == 8
        assert "nothing.npz: No such file" in capsys.readouterr().err

    def test_a_checkpoint_without_pytorch_says_what_to_do(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
        (tmp_path / "net.pt").write_bytes(b"\x80\x02}.")
        assert call("analyze", tmp_path / "net.pt") == 8
        assert f"dynatlas convert {tmp_path / 'net.pt'} NEW.safetensors" in capsys.readouterr().err
        assert call("convert", tmp_path / "net.pt", tmp_path / "net.safetensors") == 8
        assert "PyTorch is not installed here. Where it is, run: python -c" in capsys.readouterr().err
        (tmp_path / "mine.safetensors").write_text("notes")
        assert call("convert", tmp_path / "net.pt", tmp_path / "mine.safetensors") == 8
        assert "mine.safetensors exists and is not replaced" in capsys.readouterr().err  # nor by that command

    def test_what_needs_no_conversion_is_told(self, tmp_path, capsys):
        np.savez(tmp_path / "net.npz", W_rec=np.eye(2))
        for source in (tmp_path / "net.npz", FLIP_FLOP):
            assert call("convert", source, tmp_path / "new.safetensors") == 8
            assert f"{source} needs no conversion; run: dynatlas analyze {source}" in capsys.readouterr().err

    def test_inputs_that_do_not_fit(self, tmp_path, capsys):
        np.save(tmp_path / "inputs.npy", np.zeros((2, 5)))
        assert call("analyze", FLIP_FLOP, "--inputs", tmp_path / "inputs.npy") == 8
        assert "conditions has shape (2, 5); expected [conditions, 3]" in capsys.readouterr().err
        np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.zeros(2))
        assert call("analyze", FLIP_FLOP, "--inputs", tmp_path / "two.npz") == 8
        assert "holds a, b; expected one array, or `conditions` and `trials`" in capsys.readouterr().err
        assert call("analyze", FLIP_FLOP, "--activity", tmp_path / "two.npz") == 8
        assert "holds a, b; expected one array, or `activity`" in capsys.readouterr().err


class TestConvert:
    """Run where PyTorch is installed; it is no dependency."""

    def test_a_state_dict_becomes_the_same_tensors(self, tmp_path, capsys):
        torch = pytest.importorskip("torch")
        module = torch.nn.GRU(2, 3)
        torch.save({"model": module.state_dict(), "epoch": 3}, tmp_path / "net.pt")
        assert call("convert", tmp_path / "net.pt", tmp_path / "net.safetensors") == 0
        assert "4 tensors" in capsys.readouterr().out
        from safetensors.numpy import load_file

        written = load_file(tmp_path / "net.safetensors")
        for name, values in module.state_dict().items():
            np.testing.assert_array_equal(written[f"model.{name}"], values.numpy())

    def test_a_checkpoint_that_needs_more_than_tensors_is_refused(self, tmp_path, capsys):
        torch = pytest.importorskip("torch")
        torch.save(torch.nn.GRU(2, 3), tmp_path / "whole.pt")
        assert call("convert", tmp_path / "whole.pt", tmp_path / "net.safetensors") == 8
        assert "Save model.state_dict() instead of a whole model" in capsys.readouterr().err
        assert not (tmp_path / "net.safetensors").exists()

"""A study with a task, cells and a measure of the user's own, all the way: command line, workers, resuming, showing."""

import shutil

import jax
import numpy as np
import pytest

from dynatlas import Atlas, load_plugin
from dynatlas.errors import PluginError
from dynatlas.figures.catalogue import pictures
from dynatlas.report.page import build_page
from support.command_line import call
from support.plugin_files import forget, registries_kept, write_all

NESTED = "held_sign-nested-tanh-3-l2_1e-06-seed1"
pytestmark = pytest.mark.usefixtures("processes")


@pytest.fixture(scope="module", autouse=True)
def _forgotten():
    with registries_kept():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory, processes):
    """A folder with the user's files and the atlas, made by a worker; this process knows nothing of the files."""
    folder = tmp_path_factory.mktemp("own")
    study = write_all(folder, population={"architectures": ["leaky", "nested"]})
    assert call("run", study, folder / "atlas", "--workers", "1", "--until", "maps", "--quiet") == 0
    forget()
    return folder


@pytest.fixture
def own(made, tmp_path):
    """A copy of it."""
    shutil.copytree(made, tmp_path / "own")
    forget()
    return tmp_path / "own"


def test_every_stage_has_done_its_part(made):
    atlas = Atlas.open(made / "atlas")
    networks = atlas.table("networks")
    assert networks.passed.all()
    assert len(networks) == 4
    searches = atlas.table("searches").merge(networks[["network", "architecture"]], on="network")
    assert set(searches[searches.architecture == "nested"].certificate) == {"not certifiable"}
    assert set(searches[searches.architecture != "nested"].certificate) <= {"complete", "consistent", "incomplete"}
    assert set(atlas.table("attractors").network) == set(networks.network)
    assert set(atlas.table("transition_sensitivity").network) == set(networks.network)
    for measure in ("spread", "fused_transition_graph", "spectrum"):
        matrix = atlas.arrays(f"distances/held_sign/{measure}")["distance"]
        assert set(matrix.network.values) == set(networks.network)
    claims = atlas.table("claims")
    assert set(claims.verdict) == {"not testable here"}
    assert (claims.note == "the study does not have this task").sum() >= 9


def test_it_is_opened_checked_and_shown_without_running_its_code(own, tmp_path, monkeypatch, capsys):
    imported = tmp_path / "imported"
    monkeypatch.setenv("MY_TASK_IMPORTED", str(imported))
    atlas = Atlas.open(own / "atlas")
    assert atlas.verify() == []
    assert call("status", own / "atlas") == 0
    assert call("claims", own / "atlas") == 0
    page = build_page(atlas)["report/index.html"].decode()
    assert "Held sign" in page
    assert "Hold the sign of the first pulse." in page
    assert "adds up one of its noisy inputs" not in page
    drawn = pictures(atlas)
    assert {"trajectories-held_sign", "trial-held_sign", "distances-held_sign-spread"} <= drawn.keys()
    assert "held sign" in drawn["trajectories-held_sign"].caption.lower()
    drawn["performance"].draw()
    drawn["distances-held_sign-spread"].draw()
    drawn["trajectories-held_sign"].draw()
    with pytest.raises(PluginError, match="'nested' is not one of dynatlas' own"):
        atlas.network(NESTED)
    assert call("export", own / "atlas", NESTED, own / "nested.npz") == 3
    assert not imported.exists()
    capsys.readouterr()


def test_with_its_code_it_gives_its_networks(own, capsys):
    for file in ("my_task.py", "my_cell.py", "my_measure.py"):
        load_plugin(own / "atlas" / "plugins" / file)
    atlas = Atlas.open(own / "atlas")
    cell = atlas.network(NESTED)
    block = atlas.study.block_of(next(member for member in atlas.study.members if member.name == NESTED))
    np.testing.assert_array_equal(cell.inner.weight, atlas.read_block(block)["cell/inner.weight"][1])
    _, outputs = cell.respond(atlas.study.task("held_sign").trial(jax.random.key(0)).inputs)
    assert outputs.shape == (6, 1)
    plugins = own / "atlas" / "plugins"
    forget()
    assert call("probe", own / "atlas", own / "probe.npz") == 3
    assert call("probe", own / "atlas", own / "probe.npz", "--plugin", plugins / "my_task.py") == 0
    assert np.load(own / "probe.npz")["inputs"].shape == (64, 6, 1)
    capsys.readouterr()
    named = [part for file in ("my_task.py", "my_cell.py") for part in ("--plugin", plugins / file)]
    assert call("export", own / "atlas", NESTED, own / "nested.npz", *named) == 8
    assert "not a built-in cell of dynatlas" in capsys.readouterr().err


def test_it_goes_on_from_its_own_copies_where_the_files_are_gone(own, capsys):
    for file in ("my_task.py", "code/my_cell.py", "my_measure.py", "study.toml"):
        (own / file).unlink()
    atlas = Atlas.open(own / "atlas")
    name = "reduced/spread/held_sign-nested-tanh-3.safetensors"
    before = atlas.entries[name]
    atlas.discard(name)
    assert call("run", own / "atlas" / "study.toml", own / "atlas", "--workers", "1", "--until", "maps", "--quiet") == 0
    assert atlas.entries[name] == before
    capsys.readouterr()


def test_a_changed_file_is_another_study(own, capsys):
    (own / "my_task.py").write_text((own / "my_task.py").read_text() + "# a comment\n")
    assert call("run", own / "study.toml", own / "atlas", "--until", "maps", "--quiet") == 5
    assert "plugins.my_task.py" in capsys.readouterr().err


def test_a_damaged_copy_is_found_refused_and_made_again(own, capsys):
    copy = own / "atlas" / "plugins" / "my_task.py"
    whole = copy.read_bytes()
    copy.write_bytes(whole + b"\n")
    assert call("verify", own / "atlas") == 6
    assert "changed: plugins/my_task.py" in capsys.readouterr().out
    assert call("run", own / "atlas" / "study.toml", own / "atlas", "--until", "maps", "--quiet") == 3
    assert "is not what the study was made with" in capsys.readouterr().err
    assert call("verify", own / "atlas", "--repair") == 0
    assert call("run", own / "study.toml", own / "atlas", "--until", "maps", "--quiet") == 0
    assert copy.read_bytes() == whole
    assert Atlas.open(own / "atlas").verify() == []

"""The command that draws figures: where it writes, and what it leaves alone."""

from functools import cache

import pytest

from dynatlas.atlas.atlas import Atlas
from support.command_line import call
from support.synthetic_atlas import SyntheticAtlas, synthetic_atlas

QUICK = ("--only", "appendix-c", "--format", "svg")


@cache
def made() -> SyntheticAtlas:
    return synthetic_atlas(tasks=[{"kind": "flip_flop", "steps": 20}])


@pytest.fixture
def atlas(tmp_path):
    return made().store(tmp_path / "atlas")


def test_figures_go_to_a_folder_and_leave_the_atlas_as_it_is(atlas, tmp_path, capsys):
    before = sorted(atlas.path.rglob("*")), (atlas.path / "manifest.log").read_bytes()
    assert call("figures", atlas.path, *QUICK, "png", "--out", tmp_path / "figures") == 0
    names = ["appendix-c.svg", "appendix-c.png"]
    assert capsys.readouterr().out.split() == [str(tmp_path / "figures" / name) for name in names]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(names)
    assert before == (sorted(atlas.path.rglob("*")), (atlas.path / "manifest.log").read_bytes())


def test_a_folder_within_the_atlas_is_refused(atlas, capsys):
    assert call("figures", atlas.path, *QUICK, "--out", atlas.path / "report") == 4
    assert "is in the atlas; omit --out" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(atlas, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert call("figures", atlas.path, *QUICK, "--out", tmp_path / "file") == 1
    assert f"cannot write to {tmp_path / 'file'}" in capsys.readouterr().err


def test_figures_of_an_unfinished_run_are_not_taken_for_the_final_ones(atlas):
    assert call("figures", atlas.path, *QUICK) == 0
    assert (atlas.path / "report/figures/appendix-c.svg").exists()
    assert not atlas.has("report/figures/appendix-c.svg")


def test_figures_of_a_finished_run_are_entered(atlas):
    for name in ("index.html", "figures/fig1.svg", "figures/fig2.svg", "figures/fig3.svg"):
        atlas.enter(atlas.write_text(f"report/{name}", "drawn"))
    assert call("figures", atlas.path, *QUICK) == 0
    assert Atlas.open(atlas.path).has("report/figures/appendix-c.svg")
    assert not atlas.verify()


def test_an_unknown_figure_is_answered_with_the_nearest(atlas, capsys):
    assert call("figures", atlas.path, "--only", "fig1", "apendix-c") == 2
    error = capsys.readouterr().err
    assert "no figure 'apendix-c'; the nearest: appendix-c" in error
    assert "There are: fig1, fig2, fig3, fig4, appendix-c, appendix-e, effects" in error

"""Whatever an atlas lacks, every figure can be drawn and says what is missing."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dynatlas import figures
from dynatlas.atlas.view import Snapshot
from support.figures import PAPER, TABLES, full, small, svg, texts, tiny
from support.synthetic_atlas import synthetic_atlas

READ = (
    *("networks", "losses", "searches", "fixed_points", "embeddings", "maps", "effects", "transitions"),
    *("transition_sensitivity", "controls", "control_embeddings", "distances/", "trajectories/", "controls/"),
)


def test_a_study_without_a_task_says_so_in_the_figure_of_that_task() -> None:
    picture = figures.pictures(small())["fig2"]
    assert "has no sine wave task" in " ".join(texts(picture()).split())
    assert 'kind = "sine_wave"' in picture.caption


def test_a_study_without_a_measure_or_untrained_networks_says_so() -> None:
    atlas = synthetic_atlas(
        tasks=[{"kind": "flip_flop", "steps": 20}],
        analysis={"measures": ["svcca"]},
        population=full().study.population.model_dump() | {"untrained_controls": False},
    )
    pictures = figures.pictures(atlas)
    assert "does not compare by CKA" in " ".join(texts(pictures["appendix-e"]()).split())
    assert "population.untrained_controls = true" in " ".join(texts(pictures["fig4"]()).split())


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("networks", "performance"),
        ("losses", "loss-curves"),
        ("searches", "fixed-point-counts"),
        ("fixed_points", "fixed-point-counts"),
        ("embeddings", "distances-flip_flop-spectrum"),
        ("distances/", "distances-flip_flop-spectrum"),
        ("distances/", "fig1"),
        ("transitions", "fig1"),
        ("oscillations", "fig2"),
        ("attractors", "fig2"),
        ("spectra", "fig3"),
        ("control_embeddings", "fig4"),
        ("networks", "appendix-c"),
        ("distances/", "appendix-e"),
        ("effects", "effects"),
        ("trajectories/", "trajectories-sine_wave"),
        ("trajectories/", "fig1"),
        ("trajectories/", "fig3"),
    ],
)
def test_a_missing_part_is_said_in_its_panel_with_what_to_do(part: str, name: str) -> None:
    figure = figures.pictures(full().without(part))[name].draw()
    said = " ".join(texts(figure).split())
    assert "in this atlas" in said
    assert "dynatlas run" in said
    if name not in PAPER or part == "distances/":  # laying out a whole page takes a second
        svg(figure)


@cache
def readers() -> dict[str, set[str]]:
    """The figures that ask for each part of an atlas: a table, or the arrays of a kind."""
    asking: dict[str, set[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        asked: set[str] = set()
        for method in ("has", "table", "arrays"):
            patch.setattr(Snapshot, method, recorded(asked, getattr(Snapshot, method)))
        for name in figures.pictures(tiny()):
            asked.clear()
            picture = figures.pictures(tiny())[name]
            assert texts(picture.draw())
            assert picture.caption
            for part in asked:
                asking.setdefault(part, set()).add(name)
    return asking


def recorded(asked: set[str], method: Callable[[Snapshot, str], Any]) -> Callable[[Snapshot, str], Any]:
    def ask(snapshot: Snapshot, name: str) -> Any:
        kind, _, rest = name.removeprefix("arrays.zarr/").partition("/")
        asked.add(f"{kind}/" if kind != "tables" and rest else Path(name).stem)
        return method(snapshot, name)

    return ask


@pytest.mark.parametrize("part", READ)
def test_whatever_is_missing_every_figure_that_reads_it_can_be_drawn(part: str) -> None:
    pictures = figures.pictures(tiny().without(part))
    for name in readers()[part] & pictures.keys():
        assert texts(pictures[name].draw())
        assert pictures[name].caption


def test_every_part_that_figures_read_is_taken_away_above() -> None:
    assert readers().keys() == set(READ)


def test_an_empty_atlas_gives_every_figure() -> None:
    atlas = small().without(*TABLES, "distances/", "trajectories/")
    for picture in figures.pictures(atlas).values():
        missing = "has no" if picture.name in ("fig2", "fig3") else "not in this atlas"  # of tasks not studied
        assert missing in " ".join(texts(picture.draw()).split()), picture.name
        assert missing in picture.caption, picture.name


def test_a_task_on_which_no_network_passed_says_so() -> None:
    atlas = full().without("distances/sine_wave")
    networks = atlas.tables["networks"].copy()
    failed = networks["task"] == "sine_wave"
    networks.loc[failed, "passed"], networks.loc[failed, "reason"] = False, "MSE is not below 0.02"
    atlas.tables["networks"] = networks
    assert "No network of this task passed" in texts(figures.distance_map(atlas, "sine_wave", "svcca"))
    assert "22 — MSE" not in figures.pictures(atlas)["performance"].caption
    assert "24 — MSE is not below 0.02" in figures.pictures(atlas)["performance"].caption

"""What figures show is what the tables hold."""

import re
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from dynatlas import figures
from dynatlas.atlas.view import Missing, Snapshot, left_out, representatives, variants
from dynatlas.figures.counts import composition, count_roots
from dynatlas.figures.line_attractors import draw_responses, draw_spectra
from dynatlas.figures.oscillations import draw_frequencies
from dynatlas.figures.paper.untrained import _draw_map as draw_control_map
from dynatlas.figures.paper.untrained import _draw_matrix as draw_control_matrix
from dynatlas.figures.paper.untrained import control_rows
from dynatlas.figures.style import PAGE_WIDTH
from dynatlas.study.study import Study
from support.figures import PAPER, TABLES, full, small, texts, tiny
from support.synthetic_atlas import SyntheticAtlas, synthetic_atlas


def test_every_figure_of_a_full_atlas_is_drawn_and_described() -> None:
    pictures = figures.pictures(full())
    assert {"performance", "loss-curves", "effects", "fixed-point-counts", *PAPER} <= set(pictures)
    assert {"trajectories-sine_wave", "distances-flip_flop-transition_graph"} <= set(pictures)
    for picture in pictures.values():
        figure = picture.draw()
        assert "dynatlas run" not in texts(figure), picture.name
        assert len(picture.caption) > 80, picture.name
        for letter in PAPER.get(picture.name, ""):
            assert re.search(rf"^{letter}   \w", texts(figure), re.MULTILINE), f"{picture.name} has no panel {letter}"
            assert re.search(rf"\b{letter}, ", picture.caption), f"{picture.name} does not describe its panel {letter}"
        # Journals print no smaller type; it is 7.1 inches wide at most, two columns.
        assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 6, picture.name
        assert figure.get_figwidth() <= PAGE_WIDTH, picture.name


def test_captions_of_the_paper_count_the_networks_and_who_was_left_out() -> None:
    pictures = figures.pictures(full())
    assert "23 of 24 trained networks. Left out: 1 — MSE is not below 0.01" in pictures["fig1"].caption
    assert "(n = 21, stress 0.13; 2 left out: another number of fixed points" in pictures["fig1"].caption
    assert "22 of 24 trained networks" in pictures["fig2"].caption
    assert "flip-flop 0.20; sine wave 0.20" in pictures["fig4"].caption
    assert "(flip-flop 5; " in pictures["fig4"].caption  # Vanilla networks that passed
    assert "all 72 trained networks" in pictures["appendix-c"].caption
    assert "a, flip-flop (SVCCA: n = 23, stress 0.13; CKA: n = 23" in pictures["appendix-e"].caption


def test_a_histogram_counts_every_network_with_a_finite_error() -> None:
    figure = figures.pictures(full())["appendix-c"]()
    bars = [patch for axes in figure.axes for patch in axes.patches]
    counted = 0.0
    for bar in bars:
        x, y = bar.get_path().vertices[:-1].T  # the outline of a histogram on a logarithmic axis: area over its bins
        steps = np.unique(np.round(np.log(x), 9))
        width = np.diff(steps).min()
        counted += abs(np.trapezoid(y, np.log(x))) / width
    assert counted == pytest.approx(np.isfinite(full().table("networks")["mse"]).sum(), rel=1e-3)


@cache
def of_two_sizes(task: str) -> SyntheticAtlas:
    population = Study.load("demo").population.model_dump()
    return synthetic_atlas(tasks=[{"kind": task, "steps": 20}], population=population | {"units": [8, 16]})


def test_of_two_sizes_one_network_of_each_variant_is_drawn() -> None:
    atlas = of_two_sizes("flip_flop")
    chosen = representatives(atlas, "flip_flop")
    assert [one.variant for one in chosen] == variants(atlas)
    assert set(atlas.table("networks").set_index("network").loc[[one.network for one in chosen], "units"]) == {8}
    roots = (~atlas.table("fixed_points").set_index("network")["is_slow"]).groupby("network").sum()
    graphs = figures.transition_graphs(atlas, "flip_flop").axes
    drawn = [
        sum(len(marks.get_offsets()) for marks in axes.collections if marks.get_offsets().any()) for axes in graphs
    ]
    assert sorted(drawn) == sorted(roots[one.network] for one in chosen)
    for name in ("fig1", "trajectories-flip_flop"):
        assert re.search(r"\b8 (representative )?networks, one per variant", figures.pictures(atlas)[name].caption)


def curves(axes: Any) -> list[Any]:
    """The lines of a panel, without the one of what is ideal."""
    return [line.get_xydata() for line in axes.lines if len(line.get_xydata()) > 2]


def test_spectra_and_responses_are_means_over_the_networks_of_the_smallest_size() -> None:
    atlas = of_two_sizes("context_integration")
    axes = Figure().subplots()
    draw_spectra(axes, atlas, "context_integration")
    spectra = atlas.table("spectra")
    for line, variant in zip(curves(axes), variants(atlas), strict=True):
        rows = spectra[(spectra[["architecture", "activation"]] == variant).all(axis=1) & (spectra["units"] == 8)]
        expected = [np.average(of["modulus"], weights=of["n_networks"]) for _, of in rows.groupby("rank")]
        np.testing.assert_allclose(line[:, 1], expected)
        assert len(line) == 8
    axes = Figure().subplots()
    draw_responses(axes, atlas, "context_integration")
    assert len(curves(axes)) == len(variants(atlas))
    for line in curves(axes):
        np.testing.assert_allclose(line[:, 1], 1 - 0.5 ** (1 + np.arange(8)))
    for name in ("fig3", "line-attractors"):
        assert "networks of 8 units" in figures.pictures(atlas)[name].caption


def test_one_variant_of_huge_responses_does_not_set_the_scale_and_is_counted() -> None:
    atlas = deepcopy(of_two_sizes("context_integration"))
    axes = Figure().subplots()
    draw_responses(axes, atlas, "context_integration")
    assert axes.get_ylim() == (0.0, 1.5)
    assert not axes.texts
    (name,) = {name for name in atlas.groups if name.startswith("line_attractors/context_integration-vanilla-tanh-8")}
    atlas.groups[name]["response_median"] *= -1e5
    axes = Figure().subplots()
    draw_responses(axes, atlas, "context_integration")
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[1] == 1.5
    assert [text.get_text() for text in axes.texts] == [f"1 of {len(variants(atlas))} curves beyond the axis"]


def test_an_atlas_of_an_earlier_version_shows_no_averages_along_the_line() -> None:
    atlas = deepcopy(of_two_sizes("context_integration"))
    for name, group in atlas.groups.items():
        if name.startswith("line_attractors/"):
            atlas.groups[name] = group.drop_vars("response_median")
    with pytest.raises(Missing, match="no linear dynamics around fixed points: an earlier version made it"):
        draw_responses(Figure().subplots(), atlas, "context_integration")


def test_frequencies_are_medians_over_networks() -> None:
    axes = Figure().subplots()
    draw_frequencies(axes, full(), "sine_wave", "architecture")
    networks = full().table("networks")
    gru = networks[(networks["task"] == "sine_wave") & (networks["architecture"] == "gru")]["network"]
    rows = full().table("oscillations")
    medians = rows[rows["network"].isin(gru)].groupby("frequency")["linear_frequency"].median().reset_index()
    np.testing.assert_allclose(curves(axes)[2], medians)
    assert "(n = 22 per command)" in figures.pictures(full())["fig2"].caption


def test_effects_shows_the_stored_numbers() -> None:
    shown = texts(figures.effects(full()))
    rows = full().table("effects")
    for row in rows[rows.subset == "all"].itertuples():
        said = "no measure" if row.r2 < 0 or row.p_lower < 0.05 else f"p {'<' if row.p < 0.001 else '='}"
        assert f"{row.r2:.2f} ({said}" in shown


def test_searches_count_the_roots_of_the_flip_flop() -> None:
    found = count_roots(full(), "flip_flop")
    assert [search.by_unstable for search in found].count((8, 12, 6, 1)) == 21
    assert [search.by_unstable for search in found].count((7, 12, 6, 1)) == 2
    made = full().table("searches").set_index(["network", "condition"])["n_roots"]
    for task in ("flip_flop", "sine_wave", "context_integration"):
        for search in count_roots(full(), task):
            assert sum(search.by_unstable) == made[search.network, search.condition]


def test_a_composition_is_written_as_people_write_it() -> None:
    assert composition((8, 12, 6, 1)) == "8 + 12 + 6 + 1"
    assert composition((0, 0, 1)) == "0 + 0 + 1"
    assert composition((1, 0, 0, 0, 0, 2)) == "1 (0 unstable), 2 (5 unstable)"
    assert composition(()) == "none"


def test_reasons_that_differ_only_in_many_numbers_are_one() -> None:
    networks = full().table("networks").iloc[:6].copy()
    networks["passed"] = False
    networks["reason"] = [*(f"diverged at iteration {n}" for n in range(1, 6)), "MSE is not below 0.01"]
    assert left_out(networks) == {"diverged": 5, "MSE is not below 0.01": 1}


def test_the_performance_figure_marks_each_network_once() -> None:
    figure = figures.performance(full())
    for axes, task in zip(figure.axes, full().study.tasks, strict=True):
        marks = sum(len(points.get_offsets()) for points in axes.collections)
        assert marks == (full().table("networks")["task"] == task.kind).sum()


def test_a_snapshot_reads_each_part_once() -> None:
    class Counting(SyntheticAtlas):
        reads = 0

        def table(self, name: str) -> Any:
            self.reads += 1
            return super().table(name)

    atlas = Counting(full().study, full().tables, full().groups)
    snapshot = Snapshot(atlas)
    figures.effects(snapshot)
    figures.effects(snapshot)
    assert atlas.reads == 1


def test_trained_networks_are_filled_and_come_first_in_figure_4() -> None:
    part = Figure().subplots()
    draw_control_map(part, tiny(), "flip_flop", "svcca")
    marks = [(tuple(of_kind.get_facecolors()[0]), len(of_kind.get_offsets())) for of_kind in part.collections]
    rows = tiny().table("control_embeddings")
    rows = rows[(rows["measure"] == "svcca") & (rows["architecture"] == "vanilla")]
    filled = sum(count for color, count in marks if color[:3] != (1, 1, 1))
    assert filled == rows["is_trained"].sum() == sum(count for _, count in marks) - filled > 0
    drawn = {
        tuple(place)
        for of_kind in part.collections
        if tuple(of_kind.get_facecolors()[0])[:3] != (1, 1, 1)
        for place in of_kind.get_offsets().tolist()
    }
    assert drawn == set(rows.loc[rows["is_trained"], ["x", "y"]].itertuples(index=False, name=None))
    axes = Figure().subplots()
    draw_control_matrix(axes, tiny(), "flip_flop", "svcca")
    kinds = [f"{activation},\n{state}" for activation in ("tanh", "relu") for state in ("trained", "untrained")]
    assert [label.get_text() for label in axes.get_yticklabels()] == kinds


def test_a_task_with_too_few_networks_for_controls_says_so_and_costs_no_other_its_caption() -> None:
    atlas = full().without()
    networks, controls = atlas.table("networks"), atlas.table("controls")
    networks.loc[networks.index[networks["task"] == "sine_wave"][2:], "passed"] = False
    controls.loc[(controls["task"] == "flip_flop") & (controls["control"] == "reliability"), "value"] = np.nan
    atlas.tables |= {"networks": networks, "controls": controls[controls["task"] != "sine_wave"]}
    with pytest.raises(Missing, match="Controls need 3 networks that passed; 2 passed on this task"):
        control_rows(atlas, "sine_wave", "svcca")
    caption = figures.pictures(atlas)["fig4"].caption
    assert "sine wave none; " in caption
    assert "reliabilities: context-dependent integration 0.20." in caption
    assert "“untrained”, between two networks before training" in caption
    assert "own untrained" not in caption  # this atlas has no such row


def test_captions_name_what_the_study_has() -> None:
    captions = {name: picture.caption for name, picture in figures.pictures(full()).items()}
    assert "SVCCA and CKA compare geometry; " in captions["effects"]
    stored = next(data.sizes["trial"] for name, data in full().groups.items() if name.startswith("trajectories/"))
    assert f"At most {min(16, stored)} probe trials" in captions["trajectories-flip_flop"]


def test_every_one_of_seven_tasks_has_its_panel_in_appendix_e() -> None:
    atlas = small().without()
    kinds = [f"task_{number}" for number in range(7)]
    one = atlas.study.tasks[0]
    many = tuple(one.model_copy() for _ in kinds)
    for task, kind in zip(many, kinds, strict=True):
        object.__setattr__(task, "kind", kind)
        object.__setattr__(task, "name", kind)
        object.__setattr__(task, "title", kind)
    atlas.study = atlas.study.model_copy(update={"tasks": many})
    shown = texts(figures.pictures(atlas.without(*TABLES, "distances/"))["appendix-e"]())
    assert "g   Task_6" in shown

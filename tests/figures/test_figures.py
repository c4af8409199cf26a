"""The print figures: they are drawn from whatever is there, say what is not, and never change by themselves."""

import re
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from dynatlas import figures
from dynatlas.atlas.view import Missing, Snapshot, left_out, representatives, variants
from dynatlas.errors import UnknownFigureError
from dynatlas.figures.counts import composition, searches
from dynatlas.figures.line_attractors import draw_responses, draw_spectra
from dynatlas.figures.looks import ACTIVATIONS, ARCHITECTURES, architecture_looks, looks_of
from dynatlas.figures.oscillations import draw_frequencies
from dynatlas.figures.paper.untrained import _draw_map as draw_control_map
from dynatlas.figures.paper.untrained import _draw_matrix as draw_control_matrix
from dynatlas.figures.paper.untrained import control_rows
from dynatlas.figures.style import PAGE_WIDTH
from dynatlas.study.study import Study
from dynatlas.tasks.context_integration import ContextIntegration
from dynatlas.tasks.flip_flop import FlipFlop
from dynatlas.tasks.sine_wave import SineWave
from dynatlas.tasks.task import Trial
from support.synthetic_atlas import SyntheticAtlas, synthetic_atlas

TABLES = (
    *("networks", "losses", "searches", "fixed_points", "embeddings", "maps", "effects", "headline"),
    *("controls", "control_embeddings", "transitions"),
)
PAPER = {"fig1": "abcdef", "fig2": "abcdef", "fig3": "abcdef", "fig4": "abc", "appendix-c": "", "appendix-e": "abc"}


@cache
def full() -> SyntheticAtlas:
    return synthetic_atlas()


@cache
def small() -> SyntheticAtlas:
    return synthetic_atlas(tasks=[{"kind": "flip_flop", "steps": 20}])


@cache
def tiny() -> SyntheticAtlas:
    population = Study.load("demo").population.model_dump() | {"architectures": ["vanilla", "gru"], "seeds": 2}
    return synthetic_atlas(tasks=[{"kind": "flip_flop", "steps": 20}], population=population)


def svg(figure: Figure) -> str:
    return figures.render(figure, "svg").decode()


def texts(figure: Figure) -> str:
    """All text of a figure, without the time it takes to lay it out."""
    return "\n".join(text.get_text() for text in figure.findobj(Text))


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


def test_text_in_an_svg_stays_text() -> None:
    pictures = figures.pictures(small())
    for picture in (pictures["effects"], pictures["fig1"], pictures["distances-flip_flop-spectrum"]):
        root = ElementTree.fromstring(svg(picture.draw()))  # noqa: S314 - our own file
        shown = {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
        assert len(shown) > 5, f"{picture.name} has outlines instead of text"


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
        ("frequencies", "fig2"),
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


@pytest.mark.parametrize("part", [*TABLES, "distances/", "trajectories/", "controls/"])
def test_whatever_is_missing_every_figure_can_be_drawn(part: str) -> None:
    for picture in figures.pictures(tiny().without(part)).values():
        assert texts(picture.draw())
        assert picture.caption


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


def test_the_same_atlas_gives_the_same_svg_and_pdf() -> None:
    first, second = (figures.pictures(synthetic_atlas(tasks=[{"kind": "flip_flop"}])) for _ in range(2))
    for name in ("fig1", "trajectories-flip_flop"):
        assert svg(first[name].draw()) == svg(second[name].draw()), name
    assert b"CreationDate" not in figures.render(first["effects"].draw(), "pdf")


def test_a_users_own_matplotlib_settings_neither_matter_nor_change() -> None:
    plain = svg(figures.effects(full()))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        assert svg(figures.effects(full())) == plain
        assert dict(matplotlib.rcParams) == before


def test_a_users_matplotlib_backend_does_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "backend", "svg")  # the tests' own is the one that files are drawn with
    figures.render(figures.effects(small()), "png")
    assert matplotlib.rcParams["backend"] == "svg"


@cache
def of_two_sizes(task: str) -> SyntheticAtlas:
    population = Study.load("demo").population.model_dump()
    return synthetic_atlas(tasks=[{"kind": task, "steps": 20}], population=population | {"units": [8, 16]})


def test_of_two_sizes_one_network_of_each_variant_is_drawn() -> None:
    atlas = of_two_sizes("flip_flop")
    chosen = representatives(atlas, "flip_flop")
    assert [(one.architecture, one.activation) for one in chosen] == variants(atlas)
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


def test_frequencies_are_drawn_as_the_table_has_them() -> None:
    axes = Figure().subplots()
    draw_frequencies(axes, full(), "sine_wave", "architecture")
    rows = full().table("frequencies")
    assert rows["n_networks"].min() > 0
    gru = rows[(rows["factor"] == "architecture") & (rows["level"] == "gru")]
    np.testing.assert_allclose(curves(axes)[2], gru[["frequency", "linear_frequency"]])
    assert "(n = 22 per command)" in figures.pictures(full())["fig2"].caption


def test_save_all_names_its_files() -> None:
    files = figures.save_all(small().without(*TABLES, "distances/", "trajectories/"), formats=("svg",))
    assert "performance.svg" in files
    assert all(name.endswith(".svg") and content.startswith(b"<?xml") for name, content in files.items())
    assert list(figures.save_all(small(), ("png",), ["appendix_c"])) == ["appendix-c.png"]


def test_an_atlas_draws_its_figures_by_name(tmp_path: Path) -> None:
    plot = small().store(tmp_path / "atlas").plot
    assert {"fig1", "appendix_c", "performance", "trajectories_flip_flop"} <= set(dir(plot))
    assert "fig1" in repr(plot)
    assert plot.appendix_c.caption.startswith("Error on held-out trials")
    assert svg(plot.appendix_c()) == svg(plot("appendix-c")) == svg(figures.pictures(small())["appendix-c"]())
    with pytest.raises(AttributeError, match="no figure 'preformance'; the nearest: performance"):
        plot.preformance  # noqa: B018
    with pytest.raises(UnknownFigureError, match=r"no figure 'fig7'; the nearest: fig.* There are: fig1, fig2"):
        plot("fig7")


def test_a_figure_keeps_its_style_when_it_is_saved_and_is_shown_in_notebooks(tmp_path: Path) -> None:
    figure = figures.effects(small())
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    figure.savefig(tmp_path / "effects.svg")
    assert "<text" in (tmp_path / "effects.svg").read_text()


def test_png_and_pdf_are_what_they_say() -> None:
    figure = figures.effects(full())
    assert figures.render(figure, "png").startswith(b"\x89PNG")
    assert figures.render(figure, "pdf").startswith(b"%PDF")


def test_effects_shows_the_stored_numbers() -> None:
    shown = texts(figures.effects(full()))
    for r2 in full().table("effects")["r2"]:
        assert f"{r2:.2f} (p" in shown


def test_searches_count_the_roots_of_the_flip_flop() -> None:
    found = searches(full(), "flip_flop")
    assert [search.by_unstable for search in found].count((8, 12, 6, 1)) == 21
    assert [search.by_unstable for search in found].count((7, 12, 6, 1)) == 2
    made = full().table("searches").set_index(["network", "condition"])["n_roots"]
    for task in ("flip_flop", "sine_wave", "context_integration"):
        for search in searches(full(), task):
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
    assert left_out(networks) == {"diverged at iteration …": 5, "MSE is not below 0.01": 1}


def test_the_performance_figure_marks_each_network_once() -> None:
    figure = figures.performance(full())
    for axes, task in zip(figure.axes, full().study.tasks, strict=True):
        marks = sum(len(points.get_offsets()) for points in axes.collections)
        assert marks == (full().table("networks")["task"] == task.kind).sum()


def test_colours_differ_between_all_levels() -> None:
    colors = [look.color for look in (*ARCHITECTURES.values(), *ACTIVATIONS.values())]
    assert len(set(colors)) == 6


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


@pytest.mark.parametrize("task", [FlipFlop(steps=20), SineWave(steps=20), ContextIntegration(steps=12)])
def test_a_trial_is_drawn_with_and_without_an_output(task: Any) -> None:
    import jax

    trial = task.trial(jax.random.key(0))
    assert "network’s output" not in texts(figures.trial_figure("x", trial))
    figure = figures.trial_figure("x", trial, trial.targets)
    assert "network’s output" in texts(figure)
    rows = task.channels if isinstance(task, FlipFlop) else task.n_inputs + task.n_outputs
    assert len(figure.axes) == rows
    assert len(task.plot(jax.random.key(0)).axes) == rows


def test_a_trial_of_any_size_is_drawn() -> None:
    rng = np.random.default_rng(0)
    trial = Trial(rng.normal(size=(10, 30)), rng.normal(size=(10, 2)))  # type: ignore[arg-type]
    assert len(figures.trial_figure("$\\bad", trial).axes) == 8 + 2


@pytest.mark.parametrize(
    ("inputs", "targets", "output", "message"),
    [
        ((4, 10, 1), (4, 10, 1), None, "without a batch"),
        ((10, 1), (9, 1), None, "equal length"),
        ((10, 1), (10, 1), (10, 2), "output has shape"),
    ],
)
def test_a_trial_of_another_shape_is_refused(inputs: Any, targets: Any, output: Any, message: str) -> None:
    answer = None if output is None else np.zeros(output)
    with pytest.raises(ValueError, match=message):
        figures.trial_figure("x", type("Any", (), {"inputs": np.zeros(inputs), "targets": np.zeros(targets)})(), answer)


@cache
def with_own_names() -> SyntheticAtlas:
    """An atlas with a cell that dynatlas does not have, and a task title that is no formula."""
    atlas = tiny().without()
    atlas.study = atlas.study.model_copy(deep=True)
    population = atlas.study.population.model_copy(update={"architectures": ("vanilla", "my_cell")})
    atlas.study = atlas.study.model_copy(update={"population": population})
    [task] = atlas.study.tasks
    object.__setattr__(task, "title", "GO/NoGo for $x_ and \\frac{")
    atlas.tables["networks"] = atlas.tables["networks"].replace({"architecture": {"gru": "my_cell"}})
    return atlas


@pytest.mark.parametrize("name", ["performance", "trajectories-flip_flop", "shepard-flip_flop", "appendix-c", "fig4"])
def test_titles_and_cells_of_a_users_own_are_drawn_as_they_are_written(name: str) -> None:
    drawn = figures.pictures(with_own_names())[name]()
    assert "GO/NoGo for $x_ and \\frac{" in texts(drawn)
    svg(drawn)


def test_a_cell_of_a_users_own_looks_the_same_whatever_was_drawn_before() -> None:
    picture = figures.pictures(with_own_names())["performance"]
    before = svg(picture())
    other = with_own_names().study.population.model_copy(update={"architectures": ("first_cell", "gru", "my_cell")})
    looks = looks_of(with_own_names().study.model_copy(update={"population": other}))["architecture"]
    assert list(looks)[4:] == ["first_cell", "my_cell"]  # the second of its study, and so in other colours
    assert looks["my_cell"] != looks_of(with_own_names().study)["architecture"]["my_cell"]
    svg(figures.performance(full()))
    assert svg(picture()) == before


@given(st.lists(st.sampled_from([*ARCHITECTURES, *(f"cell_{number}" for number in range(9))]), unique=True))
def test_looks_are_those_of_dynatlas_and_then_the_next_free_ones_in_the_studys_order(names: list[str]) -> None:
    looks = architecture_looks(names)
    assert {name: looks[name] for name in ARCHITECTURES} == ARCHITECTURES
    own = [name for name in names if name.startswith("cell")]
    assert list(looks) == [*ARCHITECTURES, *own]
    assert [looks[name] for name in own] == list(architecture_looks(own).values())[4:]
    assert len({look.color for look in looks.values()}) == 4 + min(len(own), 6)
    assert [looks[name].label for name in own] == [name.replace("_", " ") for name in own]


def test_an_atlas_with_a_cell_of_its_own_is_drawn_without_a_snapshot() -> None:
    assert "my cell" in texts(figures.performance(with_own_names()))
    assert [one.architecture for one in representatives(with_own_names(), "flip_flop")][-1] == "my_cell"


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
    with pytest.raises(Missing, match="Controls need 3 networks that passed; of this task 2 did"):
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
        object.__setattr__(task, "title", kind)
    atlas.study = atlas.study.model_copy(update={"tasks": many})
    shown = texts(figures.pictures(atlas.without(*TABLES, "distances/"))["appendix-e"]())
    assert "g   Task_6" in shown

"""Figures of studies whose factors are not architecture and activation."""

import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from dynatlas import figures
from dynatlas.atlas.view import representatives, sort_networks, variants
from dynatlas.figures.counts import fixed_point_counts
from dynatlas.figures.distances import draw_map, draw_matrix
from dynatlas.figures.line_attractors import draw_responses, draw_spectra
from dynatlas.figures.looks import PALETTE, looks_of
from dynatlas.figures.state_spaces import each_variant, variant_grid
from dynatlas.figures.training.performance import performance
from dynatlas.study.study import Study
from support.figures import PAPER, gains, rates, svg, texts
from support.synthetic_atlas import SyntheticAtlas, synthetic_atlas

RATES = [0.001, 0.01, 0.03, 0.1]
GAINS = [(activation, noise) for activation in ("tanh", "relu", "sigmoid") for noise in (0.05, 0.2)]
ATLASES = {"gains": gains, "rates": rates}


@pytest.mark.parametrize("name", ATLASES)
def test_every_figure_is_drawn_from_the_factors_that_vary(name: str) -> None:
    atlas = ATLASES[name]()
    word = {"gains": "recurrent noise", "rates": "learning rate"}[name]
    absent = {"gains": r"architecture\b(?!s)", "rates": r"architecture\b(?!s)|activation"}[name]
    pictures = figures.pictures(atlas)
    assert {"fig1", "fig2", "fig3", "fig4", "line-attractors", "oscillation-frequencies"} <= pictures.keys()
    for picture in pictures.values():
        figure = picture()
        drawn = texts(figure)
        assert "dynatlas run" not in drawn, picture.name
        assert "_" not in drawn.replace("$\\mathdefault", ""), picture.name  # names of factors are words
        assert not re.search(absent, drawn), picture.name
        if not picture.name.startswith(("shepard", "fixed-point", "effects", "fig4")):
            assert word in drawn, picture.name
        for letter in PAPER.get(picture.name, ""):
            assert re.search(rf"^{letter}   \w", drawn, re.MULTILINE), picture.name
        assert "{" not in picture.caption
        assert not re.search(absent, picture.caption), picture.name


@pytest.mark.parametrize("name", ["fig1", "distances-sine_wave-spectrum"])
@pytest.mark.parametrize("atlas", ATLASES)
def test_its_files_are_the_same_each_time(atlas: str, name: str) -> None:
    pictures = figures.pictures(ATLASES[atlas]())
    assert svg(pictures[name]()) == svg(pictures[name]())


def test_networks_are_sorted_by_number_and_not_as_text_or_as_in_the_study() -> None:
    assert rates().study.levels["learning_rate"] == (0.1, 0.001, 0.01, 0.03)
    networks = rates().table("networks")
    shuffled = networks.sample(frac=1, random_state=0)
    of_task = sort_networks(rates().study, shuffled[shuffled["task"] == "flip_flop"])
    assert list(dict.fromkeys(of_task["learning_rate"])) == RATES
    assert of_task["seed"].tolist() == [0, 1, 2, 3] * 4


def test_each_variant_has_its_representative_also_where_one_block_has_several() -> None:
    assert len({rates().study.block_of(member) for member in rates().study.members}) == 3
    for task in ("flip_flop", "sine_wave", "context_integration"):
        assert [one.variant for one in representatives(rates(), task)] == [(rate, "gru") for rate in RATES]
        assert [one.variant for one in representatives(gains(), task)] == GAINS == variants(gains())


def curves(axes: Any) -> list[Any]:
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def test_spectra_and_responses_are_those_of_each_level_in_its_colour() -> None:
    looks = looks_of(rates().study)["learning_rate"]
    spectra = rates().table("spectra")
    axes = Figure().subplots()
    draw_spectra(axes, rates(), "context_integration")
    for line, rate in zip(curves(axes), RATES, strict=True):
        np.testing.assert_allclose(line.get_ydata(), spectra.loc[spectra["learning_rate"] == rate, "modulus"])
        assert line.get_color() == looks[rate].color
    assert len({tuple(line.get_ydata()) for line in curves(axes)}) == 4
    axes = Figure().subplots()
    draw_responses(axes, rates(), "context_integration")
    [stored] = [group for name, group in rates().groups.items() if name.startswith("line_attractors/")]
    rate_of = rates().table("networks").set_index("network")["learning_rate"]
    expected = {
        looks[rate_of[str(network)]].color: row
        for network, row in zip(stored["network"].values, stored["response_median"].values, strict=True)
    }
    assert len(curves(axes)) == 4
    for line in curves(axes):
        np.testing.assert_allclose(line.get_ydata(), expected[line.get_color()])


def test_lines_of_the_second_factor_differ() -> None:
    axes = Figure().subplots()
    draw_spectra(axes, gains(), "context_integration")
    styles = {(line.get_color(), line.get_linestyle()) for line in curves(axes)}
    assert len(styles) == 6


@pytest.mark.parametrize("factor", ["activation", "recurrent_noise"])
def test_a_map_has_each_network_once_in_the_colour_of_its_level(factor: str) -> None:
    axes = Figure().subplots()
    draw_map(axes, gains(), "sine_wave", "cka", factor)
    looks = looks_of(gains().study)[factor]
    networks = gains().table("networks")
    passed = networks[networks["passed"] & (networks["task"] == "sine_wave")]
    for level, look in looks.items():
        marks = [kind for kind in axes.collections if to_hex(kind.get_facecolor()[0]) == look.color.lower()]
        assert sum(len(kind.get_offsets()) for kind in marks) == (passed[factor] == level).sum() > 0


def test_bars_beside_a_matrix_mark_what_varies() -> None:
    for atlas, count in ((gains(), 3 + 6), (rates(), 4)):
        axes = Figure().subplots()
        draw_matrix(axes, atlas, "flip_flop", "svcca")
        assert len(axes.child_axes[0].collections) == count


@cache
def of_text() -> SyntheticAtlas:
    """A number and a text vary; the builder sorts them by name."""
    return synthetic_atlas(
        tasks=[{"kind": "flip_flop", "steps": 8}],
        population={"architectures": ["vanilla"], "activations": ["tanh"], "units": [8], "l2": [0], "seeds": 2},
        factors={"training": {"optimizer": ["sgd", "adam"], "momentum": [0.1, 0.9]}},
    )


def test_texts_and_numbers_stand_side_by_side_in_their_own_looks() -> None:
    assert variants(of_text()) == [(0.1, "sgd"), (0.1, "adam"), (0.9, "sgd"), (0.9, "adam")]
    drawn = texts(performance(of_text()))
    assert {"0.1, sgd", "momentum, optimizer", "momentum 0.1"} <= set(drawn.split("\n"))
    assert "momentum 0.9, optimizer: adam" in texts(fixed_point_counts(of_text()))
    looks = looks_of(of_text().study)
    assert looks["optimizer"]["sgd"].color == PALETTE[0] != looks["momentum"][0.1].color


@cache
def crossed() -> Study:
    factors = {"learning_rate": [10.0**-power for power in range(1, 10)], "momentum": [0.1 * n for n in range(8)]}
    one = {"architectures": ["gru"], "activations": ["tanh"], "units": [8], "l2": [0], "seeds": 1}
    return Study.model_validate(
        {"name": "x", "tasks": [{"kind": "flip_flop"}], "population": one, "factors": {"training": factors}}
    )


def test_of_many_levels_an_even_selection_has_panels_and_the_caption_says_so() -> None:
    columns, rows = variant_grid(crossed())
    assert (len(columns), len(rows)) == (6, 4)
    assert (columns[0], columns[-1]) == (1e-9, 0.1)
    assert each_variant(crossed()) == "one per variant of an even selection"
    assert each_variant(gains().study) == "one per variant"

"""Colours and markers, also of a user's own cells."""

from collections.abc import Iterable
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynatlas import figures
from dynatlas.atlas.view import representatives, shown_factors, varying_factors
from dynatlas.figures.looks import (
    ACTIVATIONS,
    ARCHITECTURES,
    LINES,
    PALETTE,
    Look,
    level_title,
    looks_of,
    looks_of_levels,
)
from dynatlas.study.study import Study
from support.figures import full, svg, texts, tiny
from support.synthetic_atlas import SyntheticAtlas

ONE = {"architectures": ["gru"], "activations": ["tanh"], "units": [8], "l2": [0]}
NORMAL = np.eye(3)
# Simulation of dichromats in linear RGB: Machado, Oliveira & Fernandes 2009, severity 1.
DICHROMATS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(color: str, vision: Any) -> Any:
    """Return CIELAB coordinates of a colour as seen with this vision."""
    channels = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    ratios = XYZ @ np.clip(vision @ linear, 0, 1) / XYZ.sum(axis=1)
    f = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def least_difference(colors: Iterable[str]) -> float:
    """Return the least distance between two of the colours, with any common colour vision."""
    return min(
        float(np.linalg.norm(lab(one, np.array(vision)) - lab(other, np.array(vision))))
        for vision in (NORMAL, *DICHROMATS.values())
        for one, other in combinations(colors, 2)
    )


def test_colours_differ_between_all_levels() -> None:
    colors = [look.color for look in (*ARCHITECTURES.values(), *ACTIVATIONS.values())]
    assert len(set(colors)) == len(colors) == 13


@pytest.mark.parametrize("looks", [ARCHITECTURES, ACTIVATIONS], ids=["architecture", "activation"])
def test_levels_differ_with_any_common_colour_vision_and_without_colour(looks: dict[str, Look]) -> None:
    assert least_difference(look.color for look in looks.values()) > 16  # CIELAB; 2 is just noticeable
    assert len({look.marker for look in looks.values()}) == len(looks)
    assert len({look.line for look in ACTIVATIONS.values()}) == len(ACTIVATIONS) == len(set(LINES))


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_numbers_have_an_ordered_scale_and_other_levels_a_palette(count: int) -> None:
    levels: dict[str, list[Any]] = {"gain": list(range(count)), "form": list("abcdef"[:count]), "tau": [*range(count)]}
    looks = looks_of_levels(levels)
    for factor in ("gain", "tau"):
        lightness = [lab(look.color, NORMAL)[0] for look in looks[factor].values()]
        assert lightness == sorted(lightness)
        assert least_difference(look.color for look in looks[factor].values()) > 9
    assert looks["gain"][0].color != looks["tau"][0].color  # two numeric factors may stand side by side
    assert [look.color for look in looks["form"].values()] == list(PALETTE[:count])
    assert least_difference(PALETTE[:count]) > 16
    assert (
        len({look.line for look in looks["gain"].values()}) == len({m.marker for m in looks["gain"].values()}) == count
    )


@pytest.mark.parametrize(
    ("study", "shown", "varying"),
    [
        ({}, ("architecture", "activation"), ("architecture", "activation")),
        ({"architectures": ["gru"]}, ("activation", "units"), ("activation", "units")),
        ({"architectures": ["gru"], "units": [8]}, ("activation", "l2"), ("activation", "l2")),
        ({"activations": ["tanh"], "gain": 2}, ("architecture", "learning_rate"), ("architecture", "learning_rate")),
        ({**ONE, "gain": 2}, ("learning_rate", "architecture"), ("learning_rate",)),
        ({**ONE, "gain": 2, "units": [8, 16]}, ("learning_rate", "units"), ("learning_rate", "units")),
        ({**ONE, "l2": [0, 1]}, ("l2", "architecture"), ("l2",)),
        ({**ONE, "gain": 1}, ("architecture", "activation"), ("architecture",)),
    ],
)
def test_pictures_show_the_first_two_factors_that_vary(
    study: dict[str, Any], shown: tuple[str, str], varying: tuple[str, ...]
) -> None:
    population = dict(study)
    rates = [0.1, 0.01][: population.pop("gain", 0)]
    factors = {"training": {"learning_rate": rates}} if rates else {}
    made = Study.model_validate(
        {"name": "x", "tasks": [{"kind": "flip_flop"}], "population": population, "factors": factors}
    )
    assert shown_factors(made) == shown
    assert varying_factors(made) == varying


def test_the_two_shown_factors_have_different_scales_whatever_else_varies() -> None:
    one = {"architectures": ["gru"], "activations": ["tanh"], "units": [8, 16], "l2": [0, 1]}
    factors = {"training": {"momentum": [0.5, 0.9]}}
    study = Study.model_validate({"name": "x", "tasks": [{"kind": "flip_flop"}], "population": one, "factors": factors})
    first, second = (looks_of(study)[factor] for factor in shown_factors(study))
    assert least_difference(look.color for look in (*first.values(), *second.values())) > 9


def test_levels_are_named_by_one_rule() -> None:
    names = {
        ("architecture", "ctrnn"): "CTRNN",
        ("activation", "leaky_relu"): "leaky relu",
        ("units", 64): "64 units",
        ("l2", 1e-5): "L2 1e-5",
        ("learning_rate", 0.1): "learning rate 0.1",
        ("dale", False): "dale: no",
        ("tau", "50 to 200"): "tau: 50 to 200",
    }
    assert {key: level_title(*key) for key in names} == names


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
    assert list(looks) == ["gru", "first_cell", "my_cell"]  # the second of its study, and so in other colours
    assert looks["my_cell"] != looks_of(with_own_names().study)["architecture"]["my_cell"]
    svg(figures.performance(full()))
    assert svg(picture()) == before


@given(st.lists(st.sampled_from([*ARCHITECTURES, *(f"cell_{number}" for number in range(9))]), unique=True))
def test_looks_are_those_of_dynatlas_and_then_the_next_free_ones_in_the_studys_order(names: list[str]) -> None:
    looks = looks_of_levels({"architecture": names})["architecture"]
    built_in, own = [[name for name in names if name.startswith("cell") == is_own] for is_own in (False, True)]
    assert list(looks) == names
    assert [looks[name].color for name in built_in] == [ARCHITECTURES[name].color for name in built_in]
    alone = looks_of_levels({"architecture": own})["architecture"]
    assert [looks[name].color for name in own] == [alone[name].color for name in own]
    assert len({look.color for look in looks.values()}) == len(built_in) + min(len(own), 6)
    assert [looks[name].label for name in own] == [name.replace("_", " ") for name in own]


def test_an_atlas_with_a_cell_of_its_own_is_drawn_without_a_snapshot() -> None:
    assert "my cell" in texts(figures.performance(with_own_names()))
    assert [one.variant[0] for one in representatives(with_own_names(), "flip_flop")][-1] == "my_cell"

"""Colours and markers, also of a user's own cells."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynatlas import figures
from dynatlas.atlas.view import representatives
from dynatlas.figures.looks import ACTIVATIONS, ARCHITECTURES, architecture_looks, looks_of
from support.figures import full, svg, texts, tiny
from support.synthetic_atlas import SyntheticAtlas


def test_colours_differ_between_all_levels() -> None:
    colors = [look.color for look in (*ARCHITECTURES.values(), *ACTIVATIONS.values())]
    assert len(set(colors)) == 6


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

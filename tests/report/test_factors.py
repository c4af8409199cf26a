"""The page of studies whose factors are not architecture and activation."""

import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from playwright.sync_api import expect

from dynatlas import figures
from dynatlas.atlas.view import Snapshot
from dynatlas.cells.architectures import Vanilla
from dynatlas.cells.registry import CELLS, register_cell
from dynatlas.report import page as report
from dynatlas.report.details import network_details
from dynatlas.report.headline import question
from dynatlas.report.maps import map_details
from dynatlas.report.provenance import departures
from dynatlas.report.rendering import detail_file
from dynatlas.report.tables import table_details
from dynatlas.study.study import Study
from support.browser import PAYLOADS, in_browser, write_page
from support.figures import gains, rates, svg, texts
from support.synthetic_atlas import SyntheticAtlas, synthetic_atlas


@cache
def page_of(atlas: Any) -> tuple[str, dict[str, Any]]:
    """The page without its scripts, and its data."""
    with patch("plotly.offline.get_plotlyjs", lambda: "plotly"):
        text = report.page(Snapshot(atlas), [])
    data = json.loads(re.search(r'id="atlas-data"[^>]*>(.*?)</script>', text, re.DOTALL).group(1))  # type: ignore[union-attr]
    return re.sub("<script.*?</script>", "", text, flags=re.DOTALL), data


def test_the_data_of_the_page_name_every_factor_and_its_levels() -> None:
    _, data = page_of(gains())
    assert data["shown"] == ["activation", "recurrent_noise"]
    assert data["factors"] == ["activation", "recurrent_noise", "architecture", "units", "l2"]
    assert data["further"] == ["recurrent_noise"]
    assert [level for level, _ in data["looks"]["recurrent_noise"]] == [0.05, 0.2]
    assert set(data["networks"]["recurrent_noise"]) == {0.05, 0.2}
    assert "noise" in data["meanings"]["recurrent_noise"]
    hover = [
        point[0] for trace in data["plots"]["performance-sine_wave"]["data"] for point in trace.get("customdata", [])
    ]
    assert len(hover) == 24
    assert sum(text.endswith("<br>recurrent noise: 0.2") for text in hover) == 12
    assert data["plots"]["performance-sine_wave"]["layout"]["xaxis"]["title"]["text"] == "activation, recurrent noise"


def test_levels_among_the_looks_are_those_of_the_networks() -> None:
    """The browser finds the look of a network by its level, whatever numbers are rounded to."""
    third = 1 / 3
    atlas = synthetic_atlas(
        tasks=[{"kind": "flip_flop", "steps": 8}],
        population={"architectures": ["vanilla"], "activations": ["tanh"], "units": [8], "l2": [0], "seeds": 1},
        factors={"training": {"learning_rate": [third, 1e-5, 1]}, "tasks": {"pulse_probability": [third / 10, 0.5]}},
    )
    _, data = page_of(atlas)
    for factor in ("learning_rate", "pulse_probability"):
        assert {level for level, _ in data["looks"][factor]} == set(data["networks"][factor])


def test_sentences_and_headings_name_the_factor_in_words() -> None:
    text, _ = page_of(rates())
    assert '<th scope="col">Learning rate</th>' in text
    assert re.search(r"Learning rate (does not separate|separates) networks", text)
    assert "differ in learning rate." in " ".join(re.sub("<[^>]*>", "", text).split())
    assert "or does the factor learning rate?" in text
    assert question(gains().study) == "do the factors activation and recurrent noise"
    assert '<li><span class="dot" style="--c:#46327e"></span>learning rate 0.001</li>' in text


def test_departures_list_factors_settings_of_cells_and_noise() -> None:
    study = Study.model_validate(
        {
            "name": "x",
            "tasks": [{"kind": "flip_flop", "name": "short", "steps": 20}, {"kind": "flip_flop", "steps": 30}],
            "factors": {"training": {"learning_rate": [0.1, 0.01]}, "tasks": {"pulse_probability": [0.1, 0.2]}},
            "training": {"recurrent_noise": 0.05},
        }
    )
    found = {
        one.setting: one for one in departures(study.model_copy(update={"cells": {"dale": True, "tau": [50, 200]}}))
    }
    assert found["factor learning rate"] == ("factor learning rate", "not varied", "0.1, 0.01")
    assert found["factor pulse probability"].here == "0.1, 0.2"
    assert found["noise of hidden units, in training"] == ("noise of hidden units, in training", "0", "0.05")
    assert "noise on inputs, in training" not in found
    assert (found["dale of the cells"].here, found["tau of the cells"].here) == ("yes", "50 to 200")
    assert found["trial length of short"].here == "20 steps"
    assert found["trial length of the flip-flop"].here == "30 steps"


def test_tasks_have_their_own_names_in_links_and_files() -> None:
    atlas = synthetic_atlas(
        tasks=[{"kind": "flip_flop", "name": "two_bits", "steps": 8}, {"kind": "flip_flop", "steps": 20}],
        population={"architectures": ["vanilla"], "activations": ["tanh"], "units": [8], "l2": [0], "seeds": 2},
        factors={"training": {"learning_rate": [0.1, 0.01]}},
    )
    text, data = page_of(atlas)
    assert '<a href="#/task/two_bits">Two bits</a>' in text
    assert data["tasks"].keys() == {"two_bits", "flip_flop"}
    assert "map-two_bits-svcca" in {one["file"] for one in data["maps"]}
    drawn = figures.pictures(atlas)
    assert {"trajectories-two_bits", "distances-two_bits-spectrum", "transition-graphs-flip_flop"} <= drawn.keys()
    assert drawn["fig1"].caption.startswith("Two bits, ")


@pytest.fixture
def worded() -> Iterator[None]:
    """A cell with a setting that may be any text."""

    @register_cell("worded")
    class Worded(Vanilla):
        def __init__(
            self, n_inputs: int, units: int, n_outputs: int, activation: str = "tanh", *, words: str = "", key: Any
        ) -> None:
            super().__init__(n_inputs, units, n_outputs, activation, key=key)  # type: ignore[arg-type]

    yield
    CELLS.pop("worded")


def of_words(levels: list[str]) -> SyntheticAtlas:
    """The only factor that varies is a text."""
    return synthetic_atlas(
        tasks=[{"kind": "flip_flop", "steps": 8}],
        population={"architectures": ["worded"], "activations": ["tanh"], "units": [8], "l2": [0], "seeds": 4},
        factors={"cells": {"words": levels}},
    )


HOSTILE = ["</script><img src=x onerror=alert(1)>", "$x_{\\frac &amp;"]


@pytest.mark.usefixtures("worded")
def test_hostile_levels_are_text_on_the_page_and_in_figures() -> None:
    atlas = of_words(HOSTILE)
    text, data = page_of(atlas)
    assert "<img" not in text
    assert "words: &lt;/script&gt;&lt;img" in text
    ticks = data["plots"]["performance-flip_flop"]["layout"]["xaxis"]["ticktext"]
    assert ticks == ["&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;", "$x_{\\frac &amp;amp;"]
    for _, content in chain(network_details(atlas), map_details(atlas), table_details(atlas)):
        assert b"<" not in detail_file("x", content)
    for name, picture in figures.pictures(atlas).items():
        drawn = picture()
        if name in ("performance", "trajectories-flip_flop", "fixed-point-counts", "loss-curves", "fig4", "fig1"):
            assert "$x_{\\frac &amp;" in texts(drawn).replace("\\$", "$").replace("\n", " "), name
            assert "<img" not in svg(drawn), name


@in_browser[0]
@in_browser[1]
def test_a_map_is_coloured_and_filtered_by_the_factors_of_the_study(opened: Any, tmp_path: Path) -> None:
    one = opened(at=write_page(gains(), tmp_path))
    page = one.go("map/sine_wave/cka")
    page.wait_for_selector(".map[data-drawn]")
    menu = page.get_by_label("Colour by")
    assert menu.locator("option").all_text_contents() == ["activation", "recurrent noise", "seed", "error (MSE)", "R²"]
    page.goto(f"{one.index.as_uri()}#/map/sine_wave/cka?color=recurrent_noise")
    expect(menu).to_have_value("recurrent_noise")
    page.wait_for_selector(".map[data-drawn]")
    traces = page.locator(".map").evaluate("plot => plot.data.map((t) => [t.marker.color, t.marker.symbol, t.text])")
    assert {color for color, _, _ in traces} == {"#46327e", "#5ec962"}
    assert {symbol for _, symbol, _ in traces} == {"circle", "diamond", "square"}
    for color, _, hover in traces:
        level = {"#46327e": "0.05", "#5ec962": "0.2"}[color]
        assert all(text.endswith(f"<br>recurrent noise: {level}") for text in hover)
    menu.select_option("activation")
    hover = page.locator(".map").evaluate("plot => plot.data.flatMap((t) => t.text)")
    assert all(re.search(r"<br>activation: \w+<br>recurrent noise: 0", text) for text in hover)
    count = "plot => plot.data.reduce((sum, trace) => sum + trace.x.length, 0)"
    networks = gains().table("networks").query("task == 'sine_wave' and passed")
    page.get_by_role("checkbox", name="0.2", exact=True).uncheck()
    assert page.locator(".map").evaluate(count) == (networks["recurrent_noise"] == 0.05).sum()
    expect(page.locator("ul.legend:visible")).to_have_text(re.compile("tanh.*sigmoid.*recurrent noise 0.05"))
    network = networks.iloc[0]
    noise = f"recurrent noise {network.recurrent_noise:g}"
    page = one.go(f"network/{network.network}")
    expect(page.locator("#view p.numbers")).to_contain_text(f"{network.activation}, {noise}")
    expect(page.locator("dl.settings")).to_contain_text("recurrent noise")
    page = one.go("network")
    expect(page.get_by_role("columnheader", name="recurrent noise")).to_be_visible()


@in_browser[0]
@in_browser[1]
@pytest.mark.usefixtures("worded")
def test_hostile_levels_run_nothing_in_a_browser(opened: Any, tmp_path: Path) -> None:
    payloads = [payload.format("window.__ran=1") for payload in PAYLOADS]
    atlas = of_words(["".join(payloads[:6]), "".join(payloads[6:12])])
    one = opened(at=write_page(atlas, tmp_path), viewport={"width": 1200, "height": 3000})
    ids = list(atlas.table("embeddings")["network"][:2])
    views = ("overview", "task/flip_flop", "map/flip_flop/svcca?color=words", "network", f"network/{ids[0]}")
    for view in (*views, f"compare/{','.join(ids)}", "tables/networks", "tables/effects"):
        page = one.go(view)
        page.wait_for_selector("h1:visible")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)))")
        page.mouse.move(600, 700)
        assert page.evaluate("window.__ran") is None, view
        assert page.locator("img, iframe, object, embed, form, base, link, video, audio").count() == 0, view

"""The page: it stands alone, shows the stored numbers, and runs nothing that a user wrote."""

import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from dynatlas import report
from dynatlas.figures.reading import Snapshot
from dynatlas.report.departures import departures
from dynatlas.report.headline import Effect, HeadlineRow, sentence, summary
from dynatlas.report.history import command, history
from dynatlas.study import Study
from synthetic_atlas import SyntheticAtlas, synthetic_atlas

PARTS = (
    "networks",
    "losses",
    "searches",
    "fixed_points",
    "embeddings",
    "maps",
    "effects",
    "distances/",
    "trajectories/",
)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' & \u2028 {{ 7*7 }}"


class Page(HTMLParser):
    """Elements, the text outside scripts, the texts of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])


def render(atlas: Any) -> str:
    """The page, without the megabytes of plotly that take most of the time to parse."""
    with patch("plotly.offline.get_plotlyjs", lambda: "plotly</script>"):
        return report.page(Snapshot(atlas), [])


@cache
def full() -> SyntheticAtlas:
    return synthetic_atlas()


@cache
def small() -> SyntheticAtlas:
    return synthetic_atlas(tasks=[{"kind": "flip_flop", "steps": 20}])


@cache
def full_page() -> tuple[str, Page]:
    text = render(full())
    return text, Page(text)


def test_build_gives_the_page_and_each_figure_that_it_links(tmp_path: Path) -> None:
    # One task and no geometry: fewer pictures to draw.
    atlas = synthetic_atlas(tasks=[{"kind": "sine_wave", "commands": 3, "steps": 20}]).without(
        "distances/", "losses", "trajectories/"
    )
    files = report.build(atlas.store(tmp_path / "atlas"))
    page = Page(files["report/index.html"].decode())
    assert "not in this atlas" in page.text
    linked = {attrs["href"] for tag, attrs in page.elements if tag == "a" and "figures/" in (attrs.get("href") or "")}
    assert linked == {name.removeprefix("report/") for name in files} - {"index.html"}
    assert {name.rsplit(".", 1)[1] for name in files} == {"html", "svg", "pdf", "png"}
    assert sum(map(len, files.values())) < 15e6


def test_the_page_stands_alone() -> None:
    text = report.page(Snapshot(full()), [])
    page = Page(text)
    assert 4e6 < len(text.encode()) < 15e6
    assert len(page.scripts) == 3
    assert "plotly.js v" in page.scripts[1]
    for tag, attrs in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attrs.get(name) or ""
            assert tag == "a" or not value, f"<{tag} {name}={value}>"
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "showSendToCloud: false" in page.scripts[-1]


def test_every_plot_that_the_page_places_is_in_its_data_and_labelled() -> None:
    _, page = full_page()
    plots = [attrs for _, attrs in page.elements if "data-plot" in attrs]
    assert {attrs["data-plot"] for attrs in plots} == set(page.data["plots"])
    assert all(attrs["aria-label"] and attrs["role"] == "img" for attrs in plots)
    assert set(page.data["spaces"]) == {"flip_flop", "sine_wave", "context_integration"}
    assert all(len(spaces) == 8 for spaces in page.data["spaces"].values())


def test_the_performance_plot_shows_the_stored_errors() -> None:
    plot = full_page()[1].data["plots"]["performance-flip_flop"]
    shown = {
        name: y
        for trace in plot["data"]
        if trace["mode"] == "markers"
        for (name, _, _), y in zip(trace["customdata"], trace["y"], strict=True)
    }
    networks = full().table("networks")
    stored = networks[networks["task"] == "flip_flop"].set_index("name")["mse"]
    assert set(shown) == set(stored.index)
    assert all(shown[name] == pytest.approx(stored[name], rel=1e-4) for name in shown)


def test_the_matrix_shows_the_stored_distances_under_the_right_names() -> None:
    trace = full_page()[1].data["plots"]["matrix-sine_wave-cka"]["data"][0]
    ids = full().table("networks").set_index("name")["network"]
    stored = full().arrays("distances/sine_wave/cka")["distance"]
    order = [ids[name] for name in trace["names"]]
    expected = stored.sel(network=order, other_network=order).values
    np.testing.assert_allclose(np.array(trace["z"]), expected, rtol=1e-3)


def test_the_map_shows_the_stored_coordinates() -> None:
    embeddings, networks = full().table("embeddings"), full().table("networks")
    stored = embeddings[(embeddings["task"] == "flip_flop") & (embeddings["measure"] == "transition_graph")]
    stored = stored.merge(networks, on="network").set_index("name")
    for factor in ("architecture", "activation"):
        plot = full_page()[1].data["plots"][f"map-flip_flop-transition_graph-{factor}"]
        points = [
            (name, x, y)
            for trace in plot["data"]
            for (name, _), x, y in zip(trace["customdata"], trace["x"], trace["y"], strict=True)
        ]
        assert len(points) == len(stored) == 21
        for name, x, y in points:
            assert (x, y) == pytest.approx((stored.loc[name, "x"], stored.loc[name, "y"]), rel=1e-4)


def test_the_state_space_has_every_fixed_point() -> None:
    space = full_page()[1].data["spaces"]["flip_flop"][0]
    sizes = [len(trace["x"]) for trace in space["data"] if trace["mode"] == "markers"]
    assert sizes == [8, 12, 6, 1]
    lines = [trace for trace in space["data"] if trace["mode"] == "lines" and "legendgroup" not in trace]
    assert len(lines) == 16


def test_a_point_far_from_all_activity_is_counted_instead_of_drawn() -> None:
    atlas = synthetic_atlas(tasks=[{"kind": "flip_flop", "steps": 20}])
    group = next(name for name in atlas.groups if name.startswith("trajectories/"))
    atlas.groups[group] = atlas.groups[group].copy(deep=True)
    atlas.groups[group]["points"][0] = 1e6
    space = next(one for one in Page(render(atlas)).data["spaces"]["flip_flop"] if group.endswith(one["network"]))
    assert space["n_outside"] == 1
    assert sum(len(trace["x"]) for trace in space["data"] if trace["mode"] == "markers") == 26


def test_the_headline_table_and_the_counts_show_the_stored_numbers() -> None:
    text, page = full_page()
    for r2 in full().table("effects")["r2"]:
        assert f"<strong>{r2:.2f}</strong>" in text
    rows = re.findall(r'<tr data-task="flip_flop">(.*?)</tr>', text, re.DOTALL)
    assert len(rows) == 23
    assert sum("8 + 12 + 6 + 1" in row and ">complete<" in row for row in rows) == 11
    assert sum("7 + 12 + 6 + 1" in row for row in rows) == 2
    assert "8 + 12 + 6 + 1, in 21 of 23 searches" in page.text
    sines = re.findall(r'<tr data-task="sine_wave">(.*?)</tr>', text, re.DOTALL)
    assert all("0 + 0 + 1" in row for row in sines)


def test_the_summary_counts_those_left_out_by_reason() -> None:
    facts = summary(full())
    assert (facts["trained"], facts["passed"], sum(facts["left_out"].values())) == (72, 69, 3)
    assert facts["sentence"] in full_page()[1].text
    assert "1 because diverged at iteration 312" in facts["sentence"]


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_said_and_the_rest_is_shown(part: str) -> None:
    page = Page(render(small().without(part)))
    assert "How much does each factor explain?" in page.text
    if part != "losses":  # the page itself draws no loss curves
        assert "dynatlas run" in page.text or part in ("fixed_points", "maps")
    plots = {attrs["data-plot"] for _, attrs in page.elements if "data-plot" in attrs}
    assert plots == set(page.data["plots"])


def test_an_empty_atlas_gives_a_page() -> None:
    page = Page(render(small().without(*PARTS)))
    assert page.data == {"plots": {}, "spaces": {}}


def test_hostile_text_is_shown_as_text() -> None:
    atlas = synthetic_atlas(name=HOSTILE[:150], description=HOSTILE)
    for table in ("networks", "maps", "searches"):
        frame = atlas.tables[table]
        for column in {"name", "reason", "left_out_reason", "certificate", "condition_name"} & set(frame.columns):
            frame[column] = HOSTILE + "".join(["\u2029"])
    atlas.provenance = {"command": HOSTILE, HOSTILE: {HOSTILE: [HOSTILE]}}
    atlas.path = Path.home() / HOSTILE.replace("/", "")
    text = render(atlas)
    page = Page(text)
    clean = full_page()[1]
    count = len(page.scripts)
    assert count == len(clean.scripts) == 3
    assert page.scripts[1:] == clean.scripts[1:]
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    assert not re.search("[<>&\u2028\u2029]", page.scripts[0])
    assert page.text.count("alert(1)") > 70
    assert "{{ 7*7 }}" in page.text
    names = json.dumps(page.data["plots"]["matrix-flip_flop-svcca"]["data"][0]["names"])
    assert "<script" not in names
    assert "&lt;script" in names


def test_script_json_is_json_and_closes_nothing() -> None:
    value = {"a": [1, None, HOSTILE], "</script>": "<!--"}
    text = report.script_json(value)
    assert json.loads(text) == value
    assert "<" not in text
    with pytest.raises(ValueError, match="JSON"):
        report.script_json({"a": float("nan")})


class TestDepartures:
    def test_the_demo_departs_where_its_file_says(self) -> None:
        found = {one.setting: one for one in departures(Study.load("demo"))}
        assert found["hidden units"].here == "32"
        assert found["hidden units"].paper == "64, 128, 256"
        assert found["seeds per configuration"] == ("seeds per configuration", "30", "3")
        assert found["optimiser"].here == "Adam"
        assert found["trial length of the sine wave"].here == "100 steps"
        assert found["commands at which the sine is compared"].here == "11"
        assert "trial length of the context-dependent integration" not in found
        assert "architectures" not in found
        assert "tasks" not in found

    def test_the_papers_settings_depart_only_by_not_being_searched(self) -> None:
        kinds = ("flip_flop", "sine_wave", "context_integration")
        study = Study.model_validate({"name": "x", "tasks": [{"kind": kind} for kind in kinds]})
        assert [one.setting for one in departures(study)] == ["learning rate, decay, momentum and clipping"]

    def test_an_override_counts(self) -> None:
        study = Study.model_validate(
            {
                "name": "x",
                "tasks": [{"kind": "flip_flop"}],
                "population": {"units": [64], "l2": [1e-5], "seeds": 30, "activations": ["tanh"]},
                "overrides": [{"architecture": "gru", "training": {"iterations": 5}}],
            }
        )
        found = {one.setting: one for one in departures(study)}
        assert found["training iterations"].here == "5, 20,000"
        assert found["activations"] == ("activations", "tanh, relu", "tanh")
        assert found["tasks"].here == "flip-flop"
        assert "optimiser" not in found

    def test_the_study_paper_departs_nowhere(self) -> None:
        assert departures(Study.load("paper")) == []

    def test_the_few_that_have_another_optimiser_are_named(self) -> None:
        adam = {"architecture": "lstm", "activation": "relu", "training": {"optimizer": "adam"}}
        study = Study.model_validate({"name": "x", "tasks": [{"kind": "sine_wave"}], "overrides": [adam]})
        found = {one.setting: one.here for one in departures(study)}
        assert found["optimiser"] == (
            "SGD with momentum; but Adam for: sine wave LSTM relu 128, sine wave LSTM relu 256, sine wave LSTM relu 64"
        )

    def test_none_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(report, "departures", lambda study: [])
        assert "Nowhere, in the settings that this page compares." in Page(render(small().without(*PARTS))).text


def test_the_sentence_follows_the_p_values() -> None:
    def row(measure: str, kind: str, p: float, r2: float = 0.4) -> HeadlineRow:
        return HeadlineRow("flip_flop", "Flip-flop", measure, kind, 24, {"architecture": Effect(r2, p)})

    both = [row("SVCCA", "geometry", 0.0005), row("transition graph", "topology", 0.5, 0.1)]
    assert sentence(both, "architecture") == (
        "Architecture tells networks apart in SVCCA geometry (40 % of the variance, p < 0.001), "
        "but not beyond chance in transition graphs (10 % of the variance, p = 0.5)."
    )
    assert sentence(both[:1], "architecture").endswith("p < 0.001).")
    assert sentence(both[1:], "architecture").startswith("Architecture does not tell networks apart beyond chance")
    assert sentence([row("SVCCA", "geometry", float("nan"), float("nan"))], "architecture") == ""
    assert sentence(both, "units") == ""


def test_history_is_flat_and_without_the_command() -> None:
    provenance = {"command": ["dynatlas", "run"], "a_b": {"c": [1, 2]}, "runs": [{"started": "x"}]}
    assert command(provenance) == "dynatlas run"
    assert history(provenance) == [("a b · c", "1, 2"), ("runs 1 · started", "x")]
    assert command({}) == ""

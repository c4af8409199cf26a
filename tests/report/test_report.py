"""The page: it stands alone, shows the stored numbers, and runs nothing that a user wrote."""

import json
import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from dynatlas.atlas.schema import tables_of
from dynatlas.atlas.view import Missing, Snapshot
from dynatlas.figures.catalogue import PAPER
from dynatlas.report import page as report
from dynatlas.report import tables as stored_tables
from dynatlas.report.details import network_details
from dynatlas.report.headline import Share, SharesRow, claim_results, sentence, summary
from dynatlas.report.maps import map_details
from dynatlas.report.provenance import command, departures, history
from dynatlas.report.rendering import PARTS, detail_file, script_json
from dynatlas.report.spaces import state_space
from dynatlas.report.tables import network_files
from dynatlas.report.values import cells, rounded
from dynatlas.study.members import Member
from dynatlas.study.study import Study
from support.figures import full, small
from support.synthetic_atlas import SyntheticAtlas, synthetic_atlas

PARTS_OF_ATLAS = (
    "networks",
    "losses",
    "searches",
    "fixed_points",
    "embeddings",
    "maps",
    "effects",
    "distances/",
    "trajectories/",
    "state_spaces/",
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
def tiny() -> SyntheticAtlas:
    four = {"architectures": ["vanilla", "gru"], "units": [32], "l2": [1e-5], "seeds": 1}
    return synthetic_atlas(tasks=[{"kind": "flip_flop", "steps": 20}], population=four)


@cache
def full_files() -> dict[str, bytes]:
    return report.build_page(full())


@cache
def full_page() -> tuple[str, Page]:
    text = full_files()["report/index.html"].decode()
    before, plotly, after = re.split("(?s)(<script>.*?</script>)", text, maxsplit=1)
    text = f"{before}<script>{'plotly.js v' in plotly}</script>{after}"  # those megabytes take seconds to parse
    return text, Page(text)


def details(name: str) -> Any:
    """What a file beside the full page hands to the page."""
    return received(full_files()[f"report/detail/{name}.js"])


def received(file: bytes) -> Any:
    """The value of the one call that the file makes."""
    text = file.decode("ascii")
    assert text.startswith("dynatlas.receive(")
    assert text.endswith(");\n")
    [_, value] = json.loads(f"[{text.removeprefix('dynatlas.receive(').removesuffix(');' + chr(10))}]")
    return value


def member_of(task: str, architecture: str, activation: str, seed: int = 0) -> tuple[Member, Any]:
    """A network of the full atlas, and its details."""
    study = full().study
    wanted = (task, architecture, activation, seed)
    member = next(m for m in study.members if (m.task, m.architecture, m.activation, m.seed) == wanted)
    [file] = [name for name, ids in network_files(study).items() if member.id in ids]
    return member, details(file)[member.id]


def test_a_part_that_is_not_in_an_atlas_on_the_disk_is_said(tmp_path: Path) -> None:
    atlas = synthetic_atlas(tasks=[{"kind": "sine_wave", "commands": 3, "steps": 20}]).without(
        "distances/", "losses", "trajectories/"
    )
    files = report.build_page(atlas.store(tmp_path / "atlas"))
    page = Page(files["report/index.html"].decode())
    assert "not in this atlas" in page.text + files["report/detail/map-sine_wave-svcca.js"].decode()


def test_a_run_writes_the_page_its_details_and_each_figure_that_it_links(tiny_atlas: Path) -> None:
    paths = [path for path in (tiny_atlas / "report").rglob("*") if path.is_file()]
    files = {path.relative_to(tiny_atlas).as_posix(): path.read_bytes() for path in paths}
    page = Page(files["report/index.html"].decode())
    linked = {attrs["href"] for tag, attrs in page.elements if tag == "a" and "figures/" in (attrs.get("href") or "")}
    figures = {name.removeprefix("report/") for name in files if name.startswith("report/figures/")}
    assert linked == figures == {f"figures/{name}.{kind}" for name in PAPER for kind in ("svg", "png")}
    assert {name.rsplit(".", 1)[1] for name in files} == {"html", "svg", "png", "js"}
    assert sum(map(len, files.values())) < 15e6


def test_the_page_stands_alone_and_runs_nothing_but_its_own_scripts() -> None:
    file = full_files()["report/index.html"]
    text, page = full_page()
    assert 4e6 < len(file) < 15e6
    assert len(page.scripts) == 3
    for tag, attrs in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attrs.get(name) or ""
            assert tag == "a" or not value, f"<{tag} {name}={value}>"
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    scripts = re.findall(b"(?s)<script>(.*?)</script>", file)
    hashes = [f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in scripts]
    assert rules["script-src"].split() == ["'self'", "file:", *hashes]
    assert "innerHTML" not in page.scripts[2]
    assert "showSendToCloud: false" in page.scripts[2]


def test_every_part_of_the_script_is_read_and_every_file_that_the_page_names_is_there() -> None:
    assert {path.stem for path in (Path(report.__file__).parent / "assets").glob("*.js")} == set(PARTS)
    data = full_page()[1].data
    named = {
        *data["networks"]["file"],
        *(one["file"] for one in data["maps"]),
        *(t["file"] for t in data["tables"] if not t["missing"]),
    }
    made = {name.removeprefix("report/detail/").removesuffix(".js") for name in full_files() if "/detail/" in name}
    assert named == made
    plots = {attrs["data-plot"] for _, attrs in full_page()[1].elements if "data-plot" in attrs}
    assert plots == set(data["plots"])


def test_the_networks_are_shared_out_among_files_of_at_most_eight() -> None:
    study = Study.model_validate({"name": "x", "tasks": [{"kind": "flip_flop"}]})
    files = network_files(study)
    assert max(map(len, files.values())) == 8
    assert [network for ids in files.values() for network in ids] == [
        member.id for members in study.blocks.values() for member in members
    ]


def test_the_performance_plot_shows_the_stored_errors() -> None:
    plot = full_page()[1].data["plots"]["performance-flip_flop"]
    shown = {
        name: y
        for trace in plot["data"]
        if trace["mode"] == "markers"
        for (name, *_), y in zip(trace["customdata"], trace["y"], strict=True)
    }
    networks = full().table("networks")
    stored = networks[networks["task"] == "flip_flop"].set_index("name")["mse"]
    assert set(shown) == set(stored.index)
    assert all(shown[name] == pytest.approx(stored[name], rel=1e-4) for name in shown)


def test_a_map_has_the_stored_distances_and_places_under_the_right_networks() -> None:
    map_ = details("map-sine_wave-cka")
    stored = full().arrays("distances/sine_wave/cka")["distance"]
    order = map_["matrix"]["network"]
    expected = stored.sel(network=order, other_network=order).values
    np.testing.assert_allclose(np.array(map_["matrix"]["distance"]), expected, atol=1e-3)
    for table, part, axes in (("embeddings", "flat", "xy"), ("embeddings_3d", "solid", "xyz")):
        rows = full().table(table)
        rows = rows[(rows["task"] == "sine_wave") & (rows["measure"] == "cka")].set_index("network")
        assert set(map_[part]["network"]) == set(rows.index)
        for axis in axes:
            np.testing.assert_allclose(map_[part][axis], rows.loc[map_[part]["network"], axis], atol=2e-3)
    assert map_["facts"]["n_networks"] == len(order) == 22


def test_the_nearest_networks_are_those_at_the_least_distances() -> None:
    member, shown = member_of("flip_flop", "lstm", "tanh")
    away = full().arrays("distances/flip_flop/svcca")["distance"].sel(network=member.id).to_series().drop(member.id)
    expected = away.sort_values(kind="stable")[:6]
    found = shown["neighbors"]["svcca"]
    assert [network for network, _ in found] == list(expected.index)
    assert [distance for _, distance in found] == pytest.approx(list(expected), rel=1e-3)


def test_a_network_has_its_own_fixed_points_where_its_own_activity_is() -> None:
    member, shown = member_of("flip_flop", "ugrnn", "relu", seed=2)  # not the representative of its block
    assert f"trajectories/{member.id}" not in full().groups
    block = full().study.block_of(member).name
    spectra = full().arrays(f"fixed_points/{block}")
    own = spectra["network"].values == member.id
    space = shown["space"]
    assert np.shape(space["paths"]) == (16, 3, full().study.task("flip_flop").steps)
    stored = full().arrays(f"state_spaces/{block}")
    np.testing.assert_allclose(np.transpose(space["at"]), stored["points"].values[own], atol=2e-3)
    path = stored["trajectory"].sel(network=member.id).values
    np.testing.assert_allclose(np.moveaxis(space["paths"], 1, 2), path, atol=2e-3)
    kinds = [shown["fixed_points"]["n_unstable"][row] for row in space["row"]]
    assert np.bincount(kinds).tolist() == [8, 12, 6, 1]
    # Of 40 eigenvalues the 32 largest, and among them every one outside the unit circle.
    modulus = np.hypot(shown["eigenvalues"]["real"], shown["eigenvalues"]["imaginary"])
    all_ = -np.sort(-np.abs(spectra["eigenvalues"].values[own]), axis=1)
    np.testing.assert_allclose(modulus, all_[:, :32], atol=2e-3)
    assert shown["eigenvalues"]["n_all"] == 40
    assert (modulus > 1).sum(axis=1).tolist() == shown["fixed_points"]["n_unstable"]


def test_a_network_that_failed_has_its_losses_and_says_why_there_is_no_more() -> None:
    networks = full().table("networks")
    failed = networks[~networks["passed"]].iloc[0]
    _, shown = member_of(*failed[["task", "architecture", "activation", "seed"]])
    losses = full().table("losses")
    expected = losses[losses["network"] == failed["network"]]
    assert shown["losses"]["validation_mse"] == pytest.approx(list(expected["validation_mse"]), rel=1e-4)
    assert "only networks that passed" in shown["space"]["missing"]
    assert shown["neighbors"] == {}


def test_a_point_far_from_all_activity_is_counted_instead_of_drawn() -> None:
    atlas = synthetic_atlas(tasks=[{"kind": "flip_flop", "steps": 20}])
    member = atlas.study.members[0]
    group = f"state_spaces/{atlas.study.block_of(member).name}"
    atlas.groups[group] = atlas.groups[group].copy(deep=True)
    atlas.groups[group]["points"][0] = 1e6
    points = atlas.table("fixed_points")
    space = state_space(atlas, member, points[points["network"] == member.id])
    assert space["n_outside"] == 1
    assert space["row"] == list(range(1, 27))


def test_an_atlas_without_them_shows_the_state_spaces_of_representatives() -> None:
    atlas = small().without("state_spaces/")
    first, second = atlas.study.members[:2]
    points = atlas.table("fixed_points")
    assert len(state_space(atlas, first, points[points["network"] == first.id])["row"]) == 27
    with pytest.raises(Missing, match=r"(?s)state_spaces.*Run the same"):
        state_space(atlas, second, points[points["network"] == second.id])


def test_the_headline_shows_the_stored_shares_and_the_task_the_counts() -> None:
    text, page = full_page()
    for r2 in full().table("headline")["r2"]:
        assert f"<strong>{round(100 * r2)} %</strong>".replace("-", "−") in text
    assert "8 + 12 + 6 + 1, in 21 of 23 searches" in page.text
    claims = full().table("claims")
    for statement in claims["statement"].unique():
        assert statement in page.text
    tested = claim_results(full())
    assert [claim.number for claim in tested] == list(dict.fromkeys(claims["claim"]))
    assert sum(sum(claim.verdicts.values()) for claim in tested) == len(claims)


def test_a_stored_table_is_there_to_the_last_row_or_says_how_many_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = details("table-effects")
    stored = full().table("effects")
    assert columns["measure"] == list(stored["measure"])
    assert columns["r2"] == pytest.approx(list(stored["r2"]), rel=1e-5)
    described = {one["name"]: one for one in full_page()[1].data["tables"]}
    assert set(described) == set(tables_of(full().study))
    assert described["effects"]["n_rows"] == len(stored)
    monkeypatch.setattr(stored_tables, "MOST_ROWS", 3)
    files = dict(stored_tables.table_details(tiny()))
    assert {len(next(iter(columns.values()))) for columns in files.values()} == {3}


def test_the_summary_counts_those_left_out_by_reason() -> None:
    facts = summary(full())
    assert (facts["trained"], facts["passed"], sum(facts["left_out"].values())) == (72, 69, 3)
    assert facts["sentence"] in full_page()[1].text
    assert "1 because diverged at iteration 312" in facts["sentence"]


@pytest.mark.parametrize("part", PARTS_OF_ATLAS)
def test_a_missing_part_is_said_and_the_rest_is_shown(part: str) -> None:
    atlas = tiny().without(part)
    text = Page(render(atlas)).text
    assert "How much does each factor explain?" in text
    said = [text] + [json.dumps(content) for _, content in chain(network_details(atlas), map_details(atlas))]
    said += [one["missing"] for one in stored_tables.table_list(atlas)]
    assert "dynatlas run" in " ".join(said)


def test_an_empty_atlas_gives_a_page() -> None:
    atlas = tiny().without(*PARTS_OF_ATLAS, "headline", "claims")
    data = Page(render(atlas)).data
    assert data["plots"] == {}
    assert data["networks"] == {"network": []}
    assert all("missing" in content["flat"] for _, content in map_details(atlas))


def test_hostile_text_is_shown_as_text() -> None:
    one_seed = {"units": [32], "l2": [1e-5], "seeds": 1}
    tasks = [{"kind": "flip_flop", "steps": 20}]
    atlas = synthetic_atlas(tasks=tasks, population=one_seed, name=HOSTILE[:150], description=HOSTILE)
    for table in ("networks", "maps", "searches", "claims"):
        frame = atlas.tables[table]
        texts = {"name", "reason", "left_out_reason", "certificate", "condition_name", "statement", "note", "quantity"}
        for column in texts & set(frame.columns):
            frame[column] = HOSTILE + "\u2029"
    atlas.provenance = {"command": HOSTILE, HOSTILE: {HOSTILE: [HOSTILE]}}
    atlas.path = Path.home() / HOSTILE.replace("/", "")
    page = Page(render(atlas))
    clean = full_page()[1]
    assert len(page.scripts) == 3
    assert page.scripts[2] == clean.scripts[2]
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    assert not re.search("[<>&\u2028\u2029]", page.scripts[0])
    assert page.text.count("alert(1)") > 10
    assert "{{ 7*7 }}" in page.text
    for _, content in chain(network_details(atlas), map_details(atlas), stored_tables.table_details(atlas)):
        file = detail_file(HOSTILE, content)
        assert received(file) == json.loads(json.dumps(content))
        assert b"<" not in file


def test_script_json_is_json_and_closes_nothing() -> None:
    value = {"a": [1, None, HOSTILE], "</script>": "<!--"}
    text = script_json(value)
    assert json.loads(text) == value
    assert "<" not in text
    with pytest.raises(ValueError, match="JSON"):
        script_json({"a": float("nan")})


def test_numbers_are_rounded_to_digits_of_the_largest_and_unknown_ones_are_none() -> None:
    assert rounded([[1234.5678, -0.04], [float("nan"), 2.5]]) == [[1235.0, 0.0], [None, 2.0]]
    assert rounded([0.00012345678, 0.00001]) == [0.0001235, 1e-05]
    assert rounded([]) == []
    assert cells(pd.Series([1.23456789, float("inf"), None])) == [1.23457, None, None]
    assert cells(pd.Series([[0.5, -1.0], "a"])) == ["0.5 -1", "a"]


class TestDepartures:
    def test_the_demo_departs_where_its_file_says(self) -> None:
        found = {one.setting: one for one in departures(Study.load("demo"))}
        assert found["hidden units"].here == "32"
        assert found["hidden units"].paper == "64, 128, 256"
        assert found["seeds per configuration"] == ("seeds per configuration", "30", "3")
        assert found["optimiser"].here == "Adam"
        assert found["trial length of the sine wave"].here == "125 steps"
        assert found["seconds per step of the sine wave"] == ("seconds per step of the sine wave", "0.01", "0.04")
        assert found["commands at which the sine is compared"].here == "11"
        assert "trial length of the flip-flop" not in found
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
        assert (
            "Nowhere, in the settings that this page compares." in Page(render(small().without(*PARTS_OF_ATLAS))).text
        )


def test_the_sentence_follows_the_p_values() -> None:
    def row(measure: str, aspect: str, p: float, r2: float = 0.4) -> SharesRow:
        share = Share(r2, r2 - 0.1, r2 + 0.1, p, p_lower=1 - p)
        return SharesRow("flip_flop", "Flip-flop", aspect, measure, measure, 24, {"architecture": share})

    both = [row("SVCCA", "geometry", 0.0005), row("transition graph", "topology", 0.5, 0.1)]
    assert sentence(both, "architecture") == (
        "Architecture separates networks in SVCCA geometry, but not beyond chance in transition graphs."
    )
    assert sentence(both[:1], "architecture") == "Architecture separates networks in SVCCA geometry."
    assert sentence(both[1:], "architecture").startswith("Architecture does not separate networks beyond chance")
    assert sentence([row("SVCCA", "geometry", float("nan"), float("nan"))], "architecture") == ""
    few = row("SVCCA", "geometry", 0.3)._replace(n_networks=5)
    assert sentence([few], "architecture") == (
        "Fewer than 6 networks cannot tell whether architecture separates them in SVCCA geometry."
    )
    # A share below what chance gives is nothing that a factor does not do.
    for below in (row("SVCCA", "geometry", 1.0, -0.45), row("SVCCA", "geometry", 0.99, 0.01)):
        text = sentence([below], "architecture")
        assert "this distance is no measure of difference between these groups" in text
        assert "beyond chance" not in text
        assert below.shares["architecture"].p_text == "no measure of difference"
    assert sentence([both[0], below], "architecture").startswith(
        "Architecture separates networks in SVCCA geometry. Architecture: by SVCCA geometry (R² 1 %)"
    )
    assert sentence(both, "units") == ""


def test_history_is_flat_and_without_the_command() -> None:
    provenance = {"command": ["dynatlas", "run"], "a_b": {"c": [1, 2]}, "runs": [{"started": "x"}]}
    assert command(provenance) == "dynatlas run"
    assert history(provenance) == [("a b · c", "1, 2"), ("runs 1 · started", "x")]
    assert command({}) == ""

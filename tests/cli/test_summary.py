"""What an atlas says in a terminal."""

import io
import re

import pandas as pd
import pytest
from rich.console import Console

from dynatlas.atlas.view import lost_levels
from dynatlas.cli.summary import print_claims, print_summary, times
from support.studies import tiny_study
from support.synthetic_atlas import synthetic_atlas


def printed(show, atlas):
    target = io.StringIO()
    show(atlas, Console(file=target, width=80))
    return target.getvalue()


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    arrays = ("distances", "fixed_points/", "trajectories", "state_spaces", "line_attractors/")
    return synthetic_atlas().without(*arrays).store(tmp_path_factory.mktemp("summary") / "atlas")


def test_the_summary_holds_the_headline_table_in_order(atlas):
    text = printed(print_summary, atlas)
    networks, headline = atlas.table("networks"), atlas.table("headline")
    assert f"demo: {networks.passed.sum()} of {len(networks)} networks learned their task" in text
    lines = [line.rstrip() for line in text.splitlines()]
    tables = {task: lines.index(task) for task in ("flip_flop", "sine_wave", "context_integration")}
    of_matrices = [line for line in lines if re.match("  [a-z ]+(: [a-z ]+)?  +[-0-9]", line)]
    assert len(of_matrices) == len(headline.groupby(["task", "measure"]))
    assert all(len(line) <= 80 for line in of_matrices)
    flip_flop = lines[tables["flip_flop"] + 1 : tables["sine_wave"]]
    rows = headline[(headline.task == "flip_flop") & (headline.measure == "cka")]
    [line] = [line for line in flip_flop if ": cka " in line]
    for row in rows.itertuples():
        star = "*" if row.p_adjusted < 0.05 else ""
        assert f"{row.r2:.2f}{star}" in line
    aspects = [re.split(":|  ", line.strip())[0] for line in flip_flop]
    assert aspects == [*["geometry"] * 2, "dynamics", *["topology"] * 3, "linearized dynamics", "behavior", "weights"]
    [line] = [line for line in flip_flop if line.startswith("  weights ")]
    assert line.count("‡") == 2  # architecture and activation


def test_every_finding_is_printed_with_its_source(atlas):
    text = " ".join(printed(print_claims, atlas).split())
    for finding in atlas.table("claims").itertuples():
        assert finding.verdict in text
        for part in (finding.statement, finding.quantity, finding.note, finding.source):
            assert " ".join(part.split()) in text


def test_the_time_of_the_last_run_is_listed_by_stage():
    runs = [
        {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T09:00:00+00:00", "worker_seconds": {}},
        {
            "started": "2026-01-02T00:00:00+00:00",
            "finished": "2026-01-02T00:05:00+00:00",
            "worker_seconds": {"training": 150.0, "fixed points": 90.0, "tuning": 0.0},
        },
    ]
    assert list(times({"runs": runs})) == [
        "time: 5.0 minutes; of all workers: training 2.5 minutes, fixed points 90.0 seconds"
    ]
    assert list(times({})) == []


def test_a_level_of_which_nothing_was_learned_is_named():
    """A factor that has no row because one level alone is left must not vanish in silence."""
    study = tiny_study(
        tasks=[{"kind": "flip_flop", "steps": 6}, {"kind": "flip_flop", "steps": 6, "name": "one_bit", "channels": 1}],
        factors={"cells": {"gain": [0.5, 1.0, 1.5]}},
    )
    rows = [{"task": member.task, "passed": member.task == "one_bit"} | member.factors for member in study.members]
    networks = pd.DataFrame(rows)
    assert lost_levels(study, networks) == []  # nothing of the flip-flop is compared at all
    networks.loc[(networks.task == "flip_flop") & (networks.gain == 1.0), "passed"] = True
    assert lost_levels(study, networks) == ["Flip-flop: no network with gain 0.5 or 1.5"]

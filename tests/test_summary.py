"""What an atlas says in a terminal."""

import io
import re

import pytest
from rich.console import Console

from dynatlas.summary import print_claims, print_summary
from synthetic_atlas import synthetic_atlas


def printed(show, atlas):
    target = io.StringIO()
    show(atlas, Console(file=target, width=200))
    return target.getvalue()


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    arrays = ("distances", "fixed_points/", "trajectories", "state_spaces", "line_attractors/")
    return synthetic_atlas().without(*arrays).store(tmp_path_factory.mktemp("summary") / "atlas")


def test_the_summary_holds_the_headline_table_in_order(atlas):
    text = printed(print_summary, atlas)
    networks, headline = atlas.table("networks"), atlas.table("headline")
    assert f"demo: {networks.passed.sum()} of {len(networks)} networks learned their task" in text
    assert len([line for line in text.splitlines() if re.match("flip_flop|sine_wave|context", line)]) == len(
        headline.groupby(["task", "measure"])
    )
    rows = headline[(headline.task == "flip_flop") & (headline.measure == "cka")]
    [line] = [line for line in text.splitlines() if line.startswith("flip_flop") and " cka " in line]
    for row in rows.itertuples():
        star = "*" if row.p_adjusted < 0.05 else ""
        assert f"{row.r2:.2f}{star}" in line
    aspects = [line.split()[1] for line in text.splitlines() if line.startswith("flip_flop")]
    assert aspects == ["geometry", "geometry", "topology", "topology", "linearized"]


def test_every_finding_is_printed_with_its_source(atlas):
    text = " ".join(printed(print_claims, atlas).split())
    for finding in atlas.table("claims").itertuples():
        assert finding.verdict in text
        for part in (finding.statement, finding.quantity, finding.note, finding.source):
            assert " ".join(part.split()) in text

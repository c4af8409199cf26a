"""One entry makes a measure: everything else follows from it."""

import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import dynatlas.measures
from dynatlas.atlas.atlas import Atlas
from dynatlas.measures.aspects import ASPECTS
from dynatlas.measures.findings import (
    EIGENVALUES,
    FINDING_MEASURES,
    OF_STUDIES,
    TOPOLOGY,
    FindingMeasure,
    aspect,
    check_topology,
    comparing,
)
from dynatlas.measures.measure import Measure
from dynatlas.measures.pairs import Comparison
from dynatlas.measures.registry import BUILT_IN, MEASURES, measure_label
from dynatlas.pipeline.jobs import jobs_of
from dynatlas.pipeline.stages.reduction import reduce_findings
from dynatlas.registry import check_name
from dynatlas.study.members import Matrix
from dynatlas.tasks.flip_flop import FlipFlop
from support.random_atlas import joined, quiet, random_atlas


def test_every_measure_of_the_package_is_in_its_register_with_a_label():
    classes = {
        each for each in vars(dynatlas.measures).values() if isinstance(each, type) and issubclass(each, Measure)
    }
    assert set(MEASURES.values()) == classes - {Measure}
    assert MEASURES.keys() == BUILT_IN
    labels = [measure_label(name) for name in (*MEASURES, *FINDING_MEASURES)]
    assert all(labels)
    assert len(set(labels)) == len(labels)


def test_declarations_agree_with_themselves():
    assert not FINDING_MEASURES.keys() & MEASURES.keys()
    assert not TOPOLOGY.keys() & OF_STUDIES.keys()
    for name, measure in FINDING_MEASURES.items():
        check_name("measure", name)
        assert measure.aspect in list(ASPECTS)[1:]
        holes = {hole for _, hole, _, _ in string.Formatter().parse(measure.left_out) if hole}
        assert holes == ({"modal"} if measure.only_modal else set()), name


def test_the_page_on_comparing_lists_every_measure():
    page = (Path(__file__).parents[2] / "docs" / "comparing.md").read_text(encoding="utf-8")
    for name in (*MEASURES, *FINDING_MEASURES):
        assert f"\n| `{name}` |" in page, name


@dataclass(frozen=True)
class Largest(Comparison):
    """How far apart the largest eigenvalues are."""

    def between(self, first, second):
        return float(abs(first["real"].max() - second["real"].max()))


@pytest.fixture
def with_points(tmp_path):
    """An atlas of eight networks, of which all but one have a fixed point; and their largest eigenvalues."""
    atlas, _ = random_atlas(tmp_path / "atlas")
    largest = {member.id: 0.1 * number for number, member in enumerate(atlas.study.members[:-1])}
    for block, members in atlas.study.blocks.items():
        own = [member.id for member in members if member.id in largest]
        rows = xr.Dataset(
            {
                "states": (("row", "state"), np.zeros((len(own), 6))),
                "eigenvalues": (("row", "state"), np.array([[largest[name], *[0.0] * 5] for name in own], complex)),
                "network": (("row",), np.array(own, dtype=str)),
                "condition": (("row",), np.zeros(len(own), int)),
                "point": (("row",), np.zeros(len(own), int)),
            }
        )
        atlas.enter(atlas.write_arrays(f"fixed_points/{block.name}", rows))
    return atlas.path, largest


def test_a_new_measure_needs_one_entry(with_points, monkeypatch):
    path, largest = with_points
    declared = FindingMeasure("largest eigenvalue", "linearized dynamics", EIGENVALUES, Largest(), "no point at all")
    monkeypatch.setitem(TOPOLOGY, "largest", declared)
    check_topology("the task 'mine'", ["largest"], n_conditions=3)
    monkeypatch.setattr(FlipFlop, "topology", ("largest",))
    atlas, matrix = Atlas.open(path), Matrix("flip_flop", "largest")
    assert matrix in atlas.study.matrices
    assert {f"join {matrix.name}", f"map {matrix.name}"} <= {job.name for job in jobs_of(atlas.study)}
    for block in atlas.study.blocks:
        atlas.enter(*reduce_findings(path, block, quiet))
    stored = joined(atlas, matrix)
    values = np.array([largest[name] for name in stored["network"].values])
    assert len(values) == 7
    np.testing.assert_allclose(stored, abs(values[:, None] - values), atol=1e-12)
    assert stored.attrs["left_out_reason"] == "no point at all"
    assert (measure_label("largest"), aspect("largest")) == ("largest eigenvalue", "linearized dynamics")
    assert comparing(EIGENVALUES) == {"largest", "spectrum"}

"""Recordings among networks, and representatives, where other factors than architecture and activation vary."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from dynatlas import place_recording
from dynatlas.atlas.view import shown_factors
from dynatlas.figures.looks import looks_of
from dynatlas.pipeline.stages.dynamics.findings import find_dynamics
from dynatlas.pipeline.stages.dynamics.oscillations import mean_frequencies
from dynatlas.recordings.page import page
from dynatlas.recordings.sentences import level_words
from support.random_atlas import quiet, random_atlas

POPULATION = {"architectures": ["vanilla"], "activations": ["tanh"], "units": [6], "l2": [0.0], "seeds": 3}
RATES = [0.1, 0.001, 0.01]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    """Networks of three learning rates, in one block."""
    population = POPULATION | {"untrained_controls": True}
    factors = {"training": {"learning_rate": RATES}}
    return random_atlas(tmp_path_factory.mktemp("rates") / "atlas", population=population, factors=factors)


@pytest.fixture(scope="module")
def placement(atlas):
    activity = next(iter(atlas[1].values()))
    return place_recording(atlas[0], activity, measures=["cka"], shuffles=19)


def test_a_placement_shows_the_factor_that_varies(atlas, placement):
    assert placement.shown == shown_factors(atlas[0].study) == ("learning_rate", "architecture")
    assert placement.levels["learning_rate"] == (0.001, 0.01, 0.1)
    text = page(placement)
    data = json.loads(re.search(r'id="atlas-data">(.*?)</script>', text).group(1))
    looks = looks_of(atlas[0].study)["learning_rate"]
    traces = data["plots"]["map-0-cka"]["data"]
    rate_of = {member.name: member.factors["learning_rate"] for member in atlas[0].study.members}
    for trace in traces[:-1]:
        for name, _ in trace["customdata"]:
            assert trace["marker"]["color"] == looks[rate_of[name]].color
    assert sum(len(trace["x"]) for trace in traces) == 10
    ticks = data["plots"]["strip-0-cka"]["layout"]["yaxis"]["ticktext"]
    assert {"learning rate 0.001", "learning rate 0.001, before training"} <= set(ticks)
    assert '<th scope="row">learning rate</th><td>learning rate 0.01</td>' in text
    assert "Vanilla" not in text.split("<script>")[0]


@pytest.mark.parametrize(
    ("factor", "level", "words"),
    [
        ("units", "64", "64 units"),
        ("l2", "1e-05", "L2 1e-5"),
        ("learning_rate", "0.01", "learning rate 0.01"),
        ("dale", "True", "dale: yes"),
        ("form", "<b>", "form: <b>"),
        ("architecture", "gru", "GRU"),
        ("activation", "relu", "relu"),
    ],
)
def test_levels_in_tables_are_written_as_people_write_them(factor, level, words):
    assert level_words(factor, level) == words


def test_each_variant_of_a_block_has_its_representative(atlas):
    opened = atlas[0]
    [block] = opened.study.blocks
    with opened.lock():
        entries = find_dynamics(opened.path, block, quiet)
    prefix = "arrays.zarr/trajectories/"
    stored = [entry.name.removeprefix(prefix) for entry in entries if entry.name.startswith(prefix)]
    members = {member.id: member for member in opened.study.members}
    assert [(members[network].factors["learning_rate"], members[network].seed) for network in stored] == [
        (rate, 0) for rate in RATES
    ]


def test_frequencies_are_averaged_over_the_levels_of_any_factor():
    rates = [0.1, 0.1, 0.01]
    networks = pd.DataFrame({"network": list("abc"), "frequency": rates, "task": "x"})  # named as another column
    each = {"network": list("abcd"), "condition": 0}
    rows = pd.DataFrame(each | {"frequency": 0.5, "linear_frequency": [1, 3, 7, 100.0]})
    turns = pd.DataFrame(each | {"rotation_number": [2, 4, np.nan, 100.0]})
    means = mean_frequencies(rows, turns, networks, ["frequency"])
    assert means["level"].tolist() == ["0.01", "0.1"]
    assert means["linear_frequency"].tolist() == [7, 2]
    assert means["linear_frequency_se"].tolist()[1] == 1
    assert means["n_networks"].tolist() == [1, 2]
    assert means["rotation_number"].tolist()[1] == 3
    assert set(means["frequency"]) == {0.5}

"""The most common value is the same wherever it is asked for."""

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynatlas._util.modes import mode
from dynatlas.atlas.atlas import Atlas
from dynatlas.figures.counts import modal_composition
from dynatlas.pipeline.stages.comparison import modal_count
from dynatlas.statistics.claims import topology
from support.synthetic_atlas import synthetic_atlas


@given(st.lists(st.integers(0, 4), min_size=1), st.randoms())
def test_no_value_is_more_common_and_none_as_common_is_larger(values, random):
    found, times = mode(values)
    counts = Counter(values)
    assert times == counts[found] == max(counts.values())
    assert all(value <= found for value, count in counts.items() if count == times)
    random.shuffle(values)
    assert mode(values) == (found, times)


def test_of_nothing_there_is_none():
    with pytest.raises(ValueError, match="there are no values"):
        mode([])


@pytest.fixture
def tied():
    """Of eight flip-flop networks four have three roots, and four others five."""
    tasks = [{"kind": "flip_flop", "steps": 20, "channels": 1}]
    population = {"architectures": ["vanilla", "gru"], "activations": ["tanh"], "units": [8], "l2": [0.0], "seeds": 4}
    atlas = synthetic_atlas(tasks=tasks, population=population)
    networks = atlas.tables["networks"].network.tolist()
    roots = [[0, 1, 0]] * 4 + [[0, 0, 0, 1, 1]] * 4
    table = atlas.tables["searches"].iloc[:1]
    rows = [table.assign(network=name, n_roots=len(of)) for name, of in zip(networks, roots, strict=True)]
    atlas.tables["searches"] = pd.concat(rows, ignore_index=True)
    point = atlas.tables["fixed_points"].iloc[:1]
    rows = [
        point.assign(network=name, point=number, n_unstable=n_unstable, is_slow=False)
        for name, of in zip(networks, roots, strict=True)
        for number, n_unstable in enumerate(of)
    ]
    atlas.tables["fixed_points"] = pd.concat(rows, ignore_index=True)
    return atlas


def test_where_two_numbers_of_roots_tie_the_matrix_the_claims_and_the_page_take_the_larger(tied, tmp_path):
    claimed, off = topology.modal_count(tied, "flip_flop")
    assert "most often 5 = 3 + 2 (4)" in claimed.note
    assert "4 of 8 networks do not have 5" in off.note
    assert modal_composition(tied, "flip_flop") == ((3, 2), 4, 8)
    atlas = Atlas.create(tmp_path / "atlas", tied.study)
    for block, members in tied.study.blocks.items():
        rows = tied.tables["searches"]
        part = rows[rows.network.isin([member.id for member in members])]
        atlas.enter(atlas.write_part("searches", block, part))
    assert modal_count(atlas, "flip_flop") == 5

"""Text and HTML representations for terminals and notebooks."""

import html
import re
import shutil

import numpy as np
import pytest

from dynatlas import Atlas, Network, Study
from dynatlas._util.display import WIDTH, Summary
from dynatlas.dynamics.linearization import Linearization
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.slow_manifolds import SlowManifold
from support.synthetic_atlas import synthetic_atlas

HOSTILE = "<script>alert(1)</script>\"'&\x1b[2J\nsecond line \u202e"


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    arrays = ("fixed_points/", "trajectories", "state_spaces", "line_attractors/")
    tasks = [{"kind": "flip_flop", "steps": 8}, {"kind": "sine_wave", "steps": 8}]
    return synthetic_atlas(name=HOSTILE, tasks=tasks).without(*arrays).store(tmp_path_factory.mktemp("x") / "atlas")


def points(count):
    random = np.random.default_rng(0)
    return FixedPoints(
        states=random.normal(size=(count, 3)),
        q=np.zeros(count),
        is_slow=np.arange(count) >= 2,
        n_unstable=np.array([0, 1, 2, 2, 2])[:count],
        eigenvalues=np.zeros((count, 3), complex),
        index=np.array([1, -1, 0, 0, 0])[:count],
        newton_step=np.zeros(count),
        on_kink=np.zeros(count, bool),
        hits=np.ones(count, int),
        certificate="incomplete",
        rejected={"outside the box": 3, "ran away": 0},
        n_starts=1024,
    )


def manifold():
    values = np.array([-1.0, 0.0, 1.0])
    return SlowManifold(values, np.outer(values, [1.0, 2.0]), np.array([1e-12, 0, 1e-14]), np.full(3, 0.02))


def linearization():
    matrices = np.array([np.diag([0.5, -2.0]), np.diag([0.5, 0.25])])
    values = np.array([[-2.0, 0.5], [0.5, 0.25]], complex)
    basis = np.broadcast_to(np.eye(2, dtype=complex), (2, 2, 2))
    return Linearization(matrices, np.zeros((2, 2, 1)), values, basis, basis, np.array([1.0, 1e9]))


def shown(atlas):
    network = Network(step=lambda h, x: h, n_states=300, n_inputs=0, source=(HOSTILE, "a sentence " * 20))
    study = Study.model_validate(Study.load("paper").model_dump(mode="json") | {"description": HOSTILE * 5})
    return [atlas, study, points(5), points(0), manifold(), linearization(), network]


def test_every_summary_fits_a_terminal_and_escapes_foreign_text(atlas):
    for one in shown(atlas):
        text, markup = repr(one), one._repr_html_()
        assert max(map(len, text.replace(str(atlas.path), "PATH").splitlines())) <= WIDTH
        assert str(one) == text
        assert not re.search("[\x1b\u202e]", text + markup)
        assert set(re.findall(r"</?(\w+)", markup)) <= {"div", "strong", "table", "tr", "th", "td", "code"}
        # The same words in both.
        plain = html.unescape(re.sub("<[^>]+>", " ", markup))
        assert set(text.split()) <= set(plain.split())


def test_a_long_value_wraps_within_its_column():
    summary = Summary("title", (("a", "x"), ("longer", "word " * 30)), "call()")
    lines = summary.text().splitlines()
    assert lines[0] == "title"
    assert lines[1] == "  a       x"
    assert lines[2].startswith("  longer  word word")
    assert lines[3].startswith("          word")
    assert lines[-1] == "next: call()"


def test_an_atlas_summarises_its_findings(atlas):
    rows = atlas._summary().rows
    networks, headline = atlas.table("networks"), atlas.table("headline")
    assert ("networks", f"{networks.passed.sum()} of 48 learned their task") in rows
    assert ("done", "distances, tables") in rows
    svcca = headline[(headline.task == "sine_wave") & (headline.measure == "svcca")].set_index("factor")
    [said] = [text for name, text in rows if name == "sine_wave" and text.startswith("svcca:")]
    for factor, row in svcca.iterrows():
        assert f"{factor} {round(row.r2, 2) + 0.0:.2f}{'*' if row.p_adjusted < 0.05 else ''}" in said


def test_an_empty_atlas_says_how_to_begin(tmp_path):
    atlas = Atlas.create(tmp_path / "atlas", Study.load("demo"))
    assert dict(atlas._summary().rows)["networks"] == "0 of 72 trained"
    assert " ".join(repr(atlas).split()).endswith("resumes")


def test_a_damaged_table_is_reported_not_raised(atlas, tmp_path):
    atlas = Atlas.open(shutil.copytree(atlas.path, tmp_path / "atlas"))
    (atlas.path / "tables" / "headline.parquet").write_bytes(b"")
    assert "headline.parquet is truncated" in " ".join(repr(atlas).split())


def test_a_study_lists_its_factors():
    text = repr(Study.load("demo"))
    assert text.startswith("Study 'demo'\n")
    assert "architectures  vanilla, ugrnn, gru, lstm" in text
    assert "networks       72 in 24 blocks" in text


def test_fixed_points_count_by_instability():
    text = repr(points(5))
    assert "roots        2 (1 with 0 unstable, 1 with 1 unstable)" in text
    assert "index sum    0: incomplete" in text
    assert "rejected: 3 outside the box" in text
    assert "roots        0\n" in repr(points(0))


def test_results_of_the_library_say_what_they_hold():
    assert "spectral radius  0.5 to 2" in repr(linearization())
    assert "ill-conditioned  1 of 2 eigenbases" in repr(linearization())
    text = repr(manifold())
    assert "drift         0.01 of the outputs' range per step" in text
    assert "straightness  1.0000 of the variance" in text

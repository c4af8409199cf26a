import math
from functools import cache

import numpy as np
import pytest
import xarray as xr

from dynatlas.atlas.schema import TABLES
from dynatlas.statistics.claims import CLAIMS, check_claims, dynamics, geometry, topology
from dynatlas.statistics.claims.verdicts import above, below, differs, does_not_separate, separates
from dynatlas.statistics.resampling import Interval
from support.synthetic_atlas import synthetic_atlas


@cache
def full():
    return synthetic_atlas()


def changed(table, change):
    """The synthetic atlas with one table changed."""
    atlas = full().without(table)
    atlas.tables[table] = change(full().table(table))
    return atlas


@pytest.mark.parametrize(
    ("value", "ends", "is_below", "is_above"),
    [
        (0.05, (0.02, 0.08), "holds", "does not hold"),
        (0.15, (0.12, 0.2), "does not hold", "holds"),
        (0.05, (0.02, 0.2), "not testable here", "not testable here"),
        (0.05, (math.nan, math.nan), "not testable here", "not testable here"),
        (math.nan, (0.0, 0.01), "not testable here", "not testable here"),
    ],
)
def test_the_interval_decides(value, ends, is_below, is_above):
    assert below("flip_flop", "a number", value, Interval(*ends), 0.1, "a table").verdict == is_below
    finding = above("flip_flop", "a number", value, Interval(*ends), 0.1, "a table", "of ten")
    assert finding.verdict == is_above
    assert finding.quantity == "a number; claimed: above 0.1"
    if is_above == "not testable here":
        assert finding.note.startswith("of ten")


@pytest.mark.parametrize(
    ("p", "high", "separate", "not_separate"),
    [
        (0.01, 0.6, "holds", "does not hold"),
        (0.2, 0.25, "does not hold", "holds"),
        (0.2, 0.6, "not testable here", "not testable here"),
    ],
)
def test_no_significance_is_no_proof_of_no_effect(p, high, separate, not_separate):
    atlas = changed("effects", lambda rows: rows.assign(p_adjusted=p, r2=0.2, r2_low=0.1, r2_high=high, r2_chance=0.2))
    finding = separates(atlas, "flip_flop", "cka", "architecture")
    assert (finding.verdict, finding.value, finding.low, finding.high) == (separate, 0.2, 0.1, high)
    assert finding.source == "effects: task=flip_flop, measure=cka, factor=architecture"
    assert does_not_separate(atlas, "flip_flop", "cka", "architecture").verdict == not_separate


def test_a_study_of_one_activation_cannot_say_what_activations_do():
    atlas = synthetic_atlas(population=full().study.population.model_dump(mode="json") | {"activations": ["tanh"]})
    finding = separates(atlas, "flip_flop", "cka", "activation")
    assert finding.verdict == "not testable here"
    assert finding.note == "the study has one activation only, tanh"


def test_groups_that_differ_by_hand():
    finding = differs("sine_wave", "offset", {"gru": [0.0, 1, 2, 3], "lstm": [10.0, 11, 12, math.nan]}, "a table")
    assert finding.verdict == "holds"
    assert finding.value == 9.5
    assert "gru 1.5, lstm 11" in finding.note
    alike = differs("sine_wave", "offset", {"gru": [0.0, 1, 2], "lstm": [0.5, 1.5, 2.5]}, "a table")
    assert alike.verdict == "not testable here"
    assert differs("sine_wave", "offset", {"gru": [1.0, 2.0]}, "a table").note.startswith("needs two groups")


def test_the_modal_count():
    whole, off = topology.modal_count(full(), "flip_flop")
    assert (whole.verdict, whole.value) == ("holds", 27.0)
    searches = full().table("searches")
    flip_flop = searches[searches.task == "flip_flop"]
    assert off.value == pytest.approx((flip_flop.n_roots != 27).mean())
    # A stable point more and a saddle less: the number is right, what it consists of is not.
    points = full().table("fixed_points")
    one = points[(points.task == "flip_flop") & (points.n_unstable == 3)].index
    wrong = changed(
        "fixed_points", lambda rows: rows.assign(n_unstable=rows.n_unstable.where(~rows.index.isin(one), 0))
    )
    assert next(topology.modal_count(wrong, "flip_flop")).verdict == "does not hold"


def test_without_any_root_the_modal_number_is_0():
    atlas = changed("searches", lambda rows: rows.assign(n_roots=0))
    atlas.tables["fixed_points"] = atlas.tables["fixed_points"][:0]
    whole = next(topology.modal_count(atlas, "flip_flop"))
    assert (whole.verdict, whole.value) == ("does not hold", 0.0)
    assert "networks have 0 = 0 + 0 + 0 + 0" in whole.note


def test_few_networks_off_the_modal_count_need_many_networks():
    def none_off(rows):
        return rows.assign(n_roots=27)

    [_, off] = topology.modal_count(changed("searches", none_off), "flip_flop")
    assert off.value == 0
    assert off.verdict == "not testable here"  # of two dozen networks none is off: up to 15 % could be


def test_trained_and_untrained_networks():
    atlas = full().without()
    networks = atlas.table("networks")
    mine = networks[(networks.task == "context_integration") & networks.passed]
    names = [*mine.network, *(f"{name} untrained" for name in mine.network)]
    trained = np.repeat([True, False], len(mine))
    activation = np.tile((mine.activation == "relu").to_numpy(), 2)
    # Relu to relu 0.1, trained or not; relu to tanh 0.5.
    matrix = np.where(activation[:, None] == activation[None], 0.1, 0.5)
    atlas.groups["controls/context_integration/svcca"] = xr.Dataset(
        {"distance": (("network", "other_network"), matrix), "is_trained": ("network", trained)},
        coords={"network": names, "other_network": names},
    )
    [finding] = geometry.untrained_are_nearer(atlas, "context_integration")
    assert (finding.verdict, finding.value) == ("holds", pytest.approx(-0.4))
    atlas.groups["controls/context_integration/svcca"]["distance"].values[:] = 0.6 - matrix
    assert next(geometry.untrained_are_nearer(atlas, "context_integration")).verdict == "does not hold"
    [missing] = geometry.untrained_are_nearer(
        full().without("controls/context_integration/svcca"), "context_integration"
    )
    assert missing.verdict == "not testable here"
    assert "untrained_controls" in missing.quantity or "untrained_controls" in missing.note


def test_relu_lstm_on_sine():
    def nobody(rows):
        relu_lstm = (rows.task == "sine_wave") & (rows.architecture == "lstm") & (rows.activation == "relu")
        return rows.assign(passed=rows.passed & ~relu_lstm)

    assert next(dynamics.relu_lstm_does_not_learn(changed("networks", nobody), "sine_wave")).verdict == "holds"
    assert next(dynamics.relu_lstm_does_not_learn(full(), "sine_wave")).verdict == "does not hold"


def test_every_claim_is_answered_with_what_the_schema_asks_for():
    rows = check_claims(full())
    assert list(rows.columns) == list(TABLES["claims"])
    assert list(dict.fromkeys(rows.claim)) == [claim.number for claim in CLAIMS]
    assert set(rows.verdict) <= {"holds", "does not hold", "not testable here"}
    assert (rows.source.str.len() > 0)[rows.value.notna()].all()
    inside = rows.dropna(subset=["value", "low"])
    assert ((inside.low <= inside.value) & (inside.value <= inside.high)).all()


def test_a_task_that_is_missing_is_said():
    tasks = full().study.model_dump(mode="json")["tasks"]
    atlas = synthetic_atlas(tasks=[task for task in tasks if task["kind"] == "flip_flop"])
    rows = check_claims(atlas)
    others = rows[rows.task != "flip_flop"]
    assert (others.verdict == "not testable here").all()
    assert others.note.str.len().min() > 0

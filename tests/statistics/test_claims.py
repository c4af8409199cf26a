import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dynatlas.atlas.schema import TABLES
from dynatlas.statistics.claims import CLAIMS, check_claims, dynamics, geometry, topology
from dynatlas.statistics.claims.verdicts import (
    Finding,
    above,
    below,
    corrected,
    differs,
    does_not_separate,
    separates,
)
from dynatlas.statistics.effects import factor_effects
from dynatlas.statistics.intervals import Interval
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


def effects(main, interactions=None, networks=24):
    """The synthetic atlas with these numbers of architecture, and of its interactions, in every row."""

    def change(rows):
        return pd.concat(
            rows[rows.factor == factor].assign(**numbers, n_networks=networks)
            for factor, numbers in (("architecture", main), ("interactions", interactions or small()))
        )

    return changed("effects", change)


def small(p=0.5, high=0.18, **others):
    """A share of 0.1 where chance gives 0.1."""
    return {"r2": 0.1, "r2_low": 0.05, "r2_high": high, "r2_chance": 0.1, "p": p, "p_lower": 1 - p} | others


@pytest.mark.parametrize(
    ("main", "interactions", "separate", "not_separate"),
    [
        (small(p=0.001, high=0.6), small(), "holds", "does not hold"),
        (small(), small(), "does not hold", "holds"),
        # No significance is no proof of no effect.
        (small(high=0.6), small(), "not testable here", "not testable here"),
        (small(), small(high=0.6), "not testable here", "not testable here"),
        # A crossover: no main effect, but architectures differ.
        (small(), small(p=0.001, high=0.6), "not testable here", "does not hold"),
        # The distance is no measure of difference.
        (small(p=1.0, r2=-0.45, high=-0.2), small(), "not testable here", "not testable here"),
        (small(p=0.999, p_lower=0.002), small(), "not testable here", "not testable here"),
        (small(), small(r2=-0.1, high=0.05), "not testable here", "not testable here"),
        # No interval.
        (small(high=math.nan), small(), "not testable here", "not testable here"),
    ],
)
def test_effect_and_interactions_decide_together(main, interactions, separate, not_separate):
    atlas = effects(main, interactions)
    finding = separates(atlas, "flip_flop", "cka", "architecture")
    assert (finding.verdict, finding.value, finding.low) == (separate, main["r2"], 0.05)
    assert finding.source == "effects: task=flip_flop, measure=cka, factor=architecture"
    assert does_not_separate(atlas, "flip_flop", "cka", "architecture").verdict == not_separate


def test_a_distance_that_measures_no_difference_says_so():
    for numbers in (small(p=1.0, r2=-0.45), small(p=0.99, p_lower=0.01)):
        for claim in (separates, does_not_separate):
            finding = claim(effects(numbers), "flip_flop", "svcca", "architecture")
            assert finding.note.startswith("this distance is no measure of difference between these groups")
            assert math.isnan(finding.p)


def test_five_networks_are_too_few_for_a_verdict():
    finding = separates(effects(small(p=0.001), networks=5), "flip_flop", "cka", "architecture")
    assert (finding.verdict, finding.note) == ("not testable here", "5 networks; a verdict needs at least 6")


def test_the_papers_subset_has_its_own_verdict():
    def change(rows):
        is_tanh = (rows.subset == "tanh") & (rows.factor == "architecture")
        return rows.assign(p=rows.p.where(~is_tanh, 0.001), r2=rows.r2.where(~is_tanh, 0.321), p_lower=0.9)

    finding = separates(changed("effects", change), "flip_flop", "cka", "architecture", "tanh")
    assert (finding.verdict, finding.value) == ("holds", 0.321)
    assert "among tanh networks" in finding.quantity
    assert finding.source.endswith("subset=tanh")


def test_networks_that_are_all_the_same_are_not_separated():
    def change(rows):
        networks = full().table("networks")
        networks = networks[(networks.task == "sine_wave") & networks.passed]
        labels = {factor: networks[factor].tolist() for factor in ("architecture", "activation", "units", "l2")}
        same = factor_effects(np.zeros((len(networks), len(networks))), labels, 9, 9)
        of = {"task": "sine_wave", "measure": "neighbor_graph", "subset": "all"}
        others = rows[~((rows.task == "sine_wave") & (rows.measure == "neighbor_graph"))]
        return pd.concat([others, pd.DataFrame(of | row for row in same)])

    findings = list(topology.chains_do_not_separate(changed("effects", change), "sine_wave"))
    assert [(finding.verdict, finding.note) for finding in findings] == [("holds", "all networks are the same")] * 2


def test_a_verdict_of_a_test_is_corrected_for_all_tests_of_the_table():
    tests = [Finding("a task", "holds", "a number").tested(p, "not testable here") for p in (0.001, 0.03, 0.2)]
    assert [finding.verdict for finding in tests] == ["holds", "holds", "not testable here"]
    by_interval = Finding("a task", "holds", "a number", 1.0, 0.9, 1.1)
    revised = corrected([tests[1], by_interval, tests[0], tests[2]])
    assert [finding.verdict for finding in revised] == ["not testable here", "holds", "holds", "not testable here"]
    assert [finding.p_adjusted for finding in revised] == pytest.approx([0.06, math.nan, 0.003, 0.2], nan_ok=True)
    assert revised[0].note.endswith("p = 0.03, corrected for 3 tests 0.06")
    assert revised[1] == by_interval


def test_a_study_of_one_activation_cannot_say_what_activations_do():
    atlas = synthetic_atlas(population=full().study.population.model_dump(mode="json") | {"activations": ["tanh"]})
    finding = separates(atlas, "flip_flop", "cka", "activation")
    assert finding.verdict == "not testable here"
    assert finding.note == "the study has one activation only, tanh"


def table(values):
    """Rows of 4 architectures × 2 activations × 3 seeds with these values."""
    rows = [(a, b, 64, 0.0) for a in ("vanilla", "ugrnn", "gru", "lstm") for b in ("tanh", "relu") for _ in range(3)]
    return pd.DataFrame(rows, columns=["architecture", "activation", "units", "l2"]).assign(offset=values)


def test_numbers_that_differ():
    noise = np.random.default_rng(1).normal(size=24)
    apart = table(noise + 9 * (np.arange(24) >= 18))
    found = differs("sine_wave", "offset", apart, "offset", "architecture", "a table")
    assert found.verdict == "holds"
    means = apart.groupby("architecture").offset.mean()
    assert found.value == pytest.approx(means.max() - means.min())
    assert found.p < 0.001  # of 10,000 permutations
    alike = differs("sine_wave", "offset", table(noise), "offset", "architecture", "a table")
    assert alike.verdict == "not testable here"
    few = differs("sine_wave", "offset", table(noise)[:5], "offset", "activation", "a table")
    assert few.note.startswith("needs networks that differ, of two levels of activation")
    assert differs("sine_wave", "offset", table(1.0), "offset", "activation", "a table").verdict == "not testable here"


def test_another_factor_with_an_empty_cell_is_no_effect_of_this_one():
    """LSTMs lie apart and no relu LSTM is left: relu networks then have another mean, but not within architectures."""
    found = []
    for seed in range(100):
        rows = table(np.random.default_rng(seed).normal(size=24) + 3 * (np.arange(24) >= 18))[:21]
        found.append(differs("sine_wave", "offset", rows, "offset", "activation", "a table").verdict == "holds")
    assert np.mean(found) < 0.12


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

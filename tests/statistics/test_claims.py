import math
from functools import cache
from pathlib import Path

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

    findings = [
        finding
        for finding in topology.chains_do_not_separate(changed("effects", change), "sine_wave")
        if "among" not in finding.quantity
    ]
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
    found = differs(full(), "sine_wave", "offset", apart, "offset", "architecture", "a table")
    assert found.verdict == "holds"
    means = apart.groupby("architecture").offset.mean()
    assert found.value == pytest.approx(means.max() - means.min())
    assert found.p < 0.001  # of 10,000 permutations
    alike = differs(full(), "sine_wave", "offset", table(noise), "offset", "architecture", "a table")
    assert alike.verdict == "not testable here"
    few = differs(full(), "sine_wave", "offset", table(noise)[:5], "offset", "activation", "a table")
    assert few.note.startswith("needs networks that differ, of two levels of activation")
    assert (
        differs(full(), "sine_wave", "offset", table(1.0), "offset", "activation", "a table").verdict
        == "not testable here"
    )


def test_another_factor_with_an_empty_cell_is_no_effect_of_this_one():
    """LSTMs lie apart and no relu LSTM is left: relu networks then have another mean, but not within architectures."""
    found = []
    for seed in range(100):
        rows = table(np.random.default_rng(seed).normal(size=24) + 3 * (np.arange(24) >= 18))[:21]
        found.append(differs(full(), "sine_wave", "offset", rows, "offset", "activation", "a table").verdict == "holds")
    assert np.mean(found) < 0.12


def test_most_networks_have_the_ideal_fixed_points():
    whole, off = topology.modal_count(full(), "flip_flop")
    searches = full().table("searches")
    flip_flop = searches[searches.task == "flip_flop"]
    assert (whole.verdict, whole.value) == ("holds", pytest.approx((flip_flop.n_roots == 27).mean()))
    assert off.value == pytest.approx((flip_flop.n_roots != 27).mean())
    # A stable point more and a saddle less: the number is right, what it consists of is not.
    points = full().table("fixed_points")
    one = points[(points.task == "flip_flop") & (points.n_unstable == 3)].index
    wrong = changed(
        "fixed_points", lambda rows: rows.assign(n_unstable=rows.n_unstable.where(~rows.index.isin(one), 0))
    )
    whole, _ = topology.modal_count(wrong, "flip_flop")
    assert (whole.verdict, whole.value) == ("does not hold", 0.0)


def test_the_most_frequent_number_is_no_majority():
    """Five of two dozen networks have 27 fixed points, each other one a number of its own."""

    def few(rows):
        rows = rows[rows.task == "flip_flop"]
        kept = rows.network.drop_duplicates()[:5]
        return rows[rows.network.isin(kept) | (rows.groupby("network").cumcount() < rows.network.rank(method="dense"))]

    whole = next(topology.modal_count(changed("fixed_points", few), "flip_flop"))
    assert whole.verdict == "does not hold"
    assert 0 < whole.value < 0.3


def test_without_any_root_most_networks_have_none():
    atlas = changed("searches", lambda rows: rows.assign(n_roots=0))
    atlas.tables["fixed_points"] = atlas.tables["fixed_points"][:0]
    whole = next(topology.modal_count(atlas, "flip_flop"))
    assert (whole.verdict, whole.value) == ("does not hold", 0.0)
    assert "most often 0 = 0 + 0 + 0 + 0" in whole.note


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
    # Relu to relu 0.1, trained or not; relu to tanh 0.5; networks differ a little.
    own = np.tile(np.random.default_rng(0).normal(0, 0.01, len(mine)), 2)
    matrix = np.where(activation[:, None] == activation[None], 0.1, 0.5) + own[:, None] + own
    atlas.groups["controls/context_integration/svcca"] = xr.Dataset(
        {"distance": (("network", "other_network"), matrix), "is_trained": ("network", trained)},
        coords={"network": names, "other_network": names},
    )
    [finding] = geometry.untrained_are_nearer(atlas, "context_integration")
    assert (finding.verdict, finding.value) == ("holds", pytest.approx(-0.4, abs=0.02))
    atlas.groups["controls/context_integration/svcca"]["distance"].values[:] = 0.6 - matrix
    assert next(geometry.untrained_are_nearer(atlas, "context_integration")).verdict == "does not hold"
    [missing] = geometry.untrained_are_nearer(
        full().without("controls/context_integration/svcca"), "context_integration"
    )
    assert missing.verdict == "not testable here"
    assert "untrained_controls" in missing.quantity or "untrained_controls" in missing.note


def without_effect(own, n, seed):
    """Distances [relu, relu untrained] and [relu, tanh] of n networks each, all alike but for a network's own past."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(3 * n, 8))
    points[n : 2 * n] = own * points[:n] + np.sqrt(1 - own**2) * points[n : 2 * n]
    distances = np.linalg.norm(points[:n, None] - points[None], axis=-1)
    return distances[:, n : 2 * n], distances[:, 2 * n :]


@pytest.mark.parametrize("own", [0.0, 0.8])
@pytest.mark.parametrize("n", [3, 6, 16])
def test_a_networks_own_past_does_not_decide(own, n):
    """Relu networks are as near to other untrained networks as to tanh ones; only their own past is nearer."""
    found = [geometry._difference(*without_effect(own, n, seed)) for seed in range(300)]
    assert abs(np.mean([value for value, _ in found])) < 0.12  # four standard errors
    missed = np.mean([not ends.low <= 0 <= ends.high for _, ends in found])
    assert missed < 0.1


def test_relu_lstms_on_the_sine():
    """Three networks are too few for a verdict; of eight that all fail, or all learn, it is clear."""

    def rows_of(passed):
        def change(rows):
            lstm = (rows.task == "sine_wave") & (rows.architecture == "lstm") & (rows.activation == "relu")
            return pd.concat([rows[~lstm], *[rows[lstm][:1].assign(passed=each) for each in passed]])

        return next(dynamics.relu_lstm_does_not_learn(changed("networks", change), "sine_wave"))

    assert rows_of([False] * 8).verdict == "holds"
    assert rows_of([True] * 8).verdict == "does not hold"
    assert rows_of([False] * 3).verdict == "not testable here"
    assert rows_of([True] * 3).verdict == "not testable here"


def test_networks_that_do_not_oscillate_count_as_missing_their_frequency():
    """Three networks oscillate as asked; the others have no complex pair."""

    def few(rows):
        others = ~rows.network.isin(rows.network.drop_duplicates()[:3])
        exact = rows.assign(linear_frequency=rows.frequency, spectral_radius=1.1, n_unstable=2)
        exact.loc[others, ["linear_frequency", "spectral_radius"]] = np.nan
        return exact

    _, pair, error = dynamics.one_oscillation(changed("oscillations", few), "sine_wave")
    assert (pair.verdict, error.verdict) == ("does not hold", "not testable here")
    assert not math.isfinite(error.value) or error.value > 1
    assert "networks have none" in error.note or error.note == "the number is not defined"


def test_offsets_that_are_not_small():
    def far(rows):
        return rows.assign(linear_frequency=4 * rows.frequency)

    small, *_ = dynamics.frequency_offsets(changed("oscillations", far), "sine_wave")
    assert (small.verdict, small.value) == ("does not hold", pytest.approx(3))


def line_atlas(**columns):
    return changed("line_attractors", lambda rows: rows.assign(**columns))


@pytest.mark.parametrize(
    ("columns", "verdict"),
    [
        ({"speed_share": 1e-4, "held_range": 1.0, "length_to_width": 20.0}, "holds"),
        # Untrained networks: the states of least speed lie straight, but nothing is held.
        ({"line_share": 0.997, "speed_share": 0.1, "held_range": 0.01, "length_to_width": 9.0}, "does not hold"),
        ({"speed_share": 1e-4, "held_range": 1.0, "length_to_width": 1.5}, "does not hold"),
        ({"speed_share": math.nan, "held_range": math.nan, "length_to_width": math.nan}, "does not hold"),
    ],
)
def test_a_line_attractor_is_slow_held_and_long(columns, verdict):
    [finding] = dynamics.line_attractors(line_atlas(**columns), "context_integration")
    assert finding.verdict == verdict


def test_modes_near_one_need_to_be_more_than_one_apart():
    def modes(rows):
        noise = np.random.default_rng(0).normal(0, 0.5, len(rows))
        return rows.assign(modes_near_one=np.where(rows.architecture_ == "vanilla", 1, 7) + noise)

    def change(rows):
        architectures = full().table("networks").set_index("network").architecture
        return modes(rows.assign(architecture_=rows.network.map(architectures))).drop(columns="architecture_")

    _, more = dynamics.modes_of_integration(changed("line_attractors", change), "context_integration")
    assert more.verdict == "holds"
    assert more.value == pytest.approx(6, abs=0.5)
    # 2 modes at 0.9501 in gated networks and 2 at 0.9499 in vanilla ones are a difference of two, without variation.
    _, same = dynamics.modes_of_integration(line_atlas(modes_near_one=2.0), "context_integration")
    assert same.verdict == "not testable here"


def test_the_response_to_a_unit_is_the_median_over_points():
    near, *_ = dynamics.unit_integral(line_atlas(response=884_650.0, response_median=1.05), "context_integration")
    assert (near.verdict, near.value) == ("holds", pytest.approx(0.05))
    none, *_ = dynamics.unit_integral(line_atlas(response_median=math.nan), "context_integration")
    assert none.verdict == "not testable here"


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


def test_the_page_on_comparing_has_the_rule_of_every_claim():
    page = (Path(__file__).parents[2] / "docs" / "comparing.md").read_text(encoding="utf-8").replace("\\|", "|")
    for claim in CLAIMS:
        assert f"| {claim.number} | {claim.statement} | {claim.rule} |" in page

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import silhouette_score

from dynatlas import permanova
from dynatlas.statistics.dispersion import permdisp
from dynatlas.statistics.effects import decomposition, factor_effects, headline_rows, holm, subset_effects
from dynatlas.statistics.interactions import interaction_test
from dynatlas.statistics.neighbours import nearest_neighbour_accuracy


def study(seeds=4, architecture=2.0, activation=1.0, seed=0):
    """A balanced population in the plane: architectures along x, activations along y, seeds around."""
    random = np.random.default_rng(seed)
    labels = [(a, b) for a in ("gru", "lstm", "vanilla") for b in ("relu", "tanh") for _ in range(seeds)]
    places = [
        (architecture * ("gru", "lstm", "vanilla").index(a), activation * ("relu", "tanh").index(b)) for a, b in labels
    ]
    points = np.array(places) + 0.5 * random.normal(size=(len(labels), 2))
    names = {"architecture": [a for a, _ in labels], "activation": [b for _, b in labels], "units": [64] * len(labels)}
    return points, names


def test_each_number_is_that_of_its_own_function():
    points, labels = study()
    distances = squareform(pdist(points))
    rows = {row["factor"]: row for row in factor_effects(distances, labels, 199, 199)}
    assert list(rows) == ["architecture", "activation", "interactions"]  # all have 64 units
    for factor, other in (("architecture", "activation"), ("activation", "architecture")):
        row = rows[factor]
        # A significant p is that of ten times as many permutations.
        assert (row["r2"], row["p"]) == pytest.approx(permanova(distances, labels[factor], labels[other], 1999))
        assert (row["dispersion"], row["dispersion_p"]) == permdisp(distances, labels[factor], labels[other], 199)
        accuracy = nearest_neighbour_accuracy(distances, labels[factor], 199, strata=labels[other])
        assert (row["accuracy"], row["accuracy_p"]) == pytest.approx(accuracy)
        assert row["silhouette"] == pytest.approx(silhouette_score(distances, labels[factor], metric="precomputed"))
        for number in ("r2", "silhouette", "accuracy"):
            assert row[f"{number}_low"] <= row[number] <= row[f"{number}_high"]
        assert row["n_networks"] == 24
    codes = [np.unique(labels[factor], return_inverse=True)[1] for factor in ("architecture", "activation")]
    interactions = interaction_test(distances, codes, 199)
    assert rows["interactions"]["p"] == pytest.approx(interactions.p, abs=0.05)
    assert rows["interactions"]["r2"] == pytest.approx(interactions.r2)
    assert [row["p_adjusted"] for row in rows.values()] == holm([row["p"] for row in rows.values()])


def test_chance_is_what_restricted_permutations_give():
    """With another factor that explains most, a factor without effect explains less than (a − 1)/(n − 1)."""
    shares, chances = [], []
    for seed in range(100):
        points, labels = study(architecture=0.0, activation=8.0, seed=seed)
        row = factor_effects(squareform(pdist(points)), labels, 99, 9)[0]
        shares.append(row["r2"])
        chances.append(row["r2_chance"])
    assert np.mean(shares) == pytest.approx(np.mean(chances), rel=0.2)
    assert np.mean(chances) < 0.2 * 2 / 23


def test_levels_of_different_types_are_different():
    points, _ = study()
    mixed = {"architecture": [1] * 8 + ["1"] * 16}
    [row] = factor_effects(squareform(pdist(points)), mixed, 9, 9)
    assert row["r2"] == pytest.approx(permanova(squareform(pdist(points)), ["a"] * 8 + ["b"] * 16, permutations=1).r2)


def test_networks_that_are_all_the_same_agree_perfectly():
    _, labels = study()
    rows = factor_effects(np.zeros((24, 24)), labels, 99, 99)
    assert [row["factor"] for row in rows] == ["architecture", "activation"]
    for row in rows:
        assert (row["r2"], row["r2_low"], row["r2_high"], row["r2_chance"]) == (0, 0, 0, 0)
        assert (row["p"], row["p_lower"], row["silhouette"], row["accuracy_p"]) == (1, 1, 0, 1)
    assert [part["r2"] for part in decomposition(np.zeros((24, 24)), labels)] == [0, 0, 0]


def test_without_a_factor_that_varies_there_is_nothing_to_split():
    assert decomposition(np.ones((2, 2)) - np.eye(2), {"architecture": list("aa")}) == []


def test_a_factor_that_another_one_tells_has_no_row():
    """Activation goes along with architecture: within an architecture there is nothing to exchange."""
    points, _ = study()
    labels = {"architecture": ["a"] * 12 + ["b"] * 12, "activation": ["x"] * 12 + ["y"] * 12}
    assert factor_effects(squareform(pdist(points)), labels, 9, 9) == []


def test_the_papers_subsets_are_tests_of_their_networks_alone():
    points, labels = study()
    distances = squareform(pdist(points))
    rows = {row["subset"]: row for row in subset_effects(distances, labels, 199, 99)}
    assert {subset: row["factor"] for subset, row in rows.items()} == {"tanh": "architecture", "vanilla": "activation"}
    for subset, (factor, level) in {"tanh": ("activation", "tanh"), "vanilla": ("architecture", "vanilla")}.items():
        places = [place for place, each in enumerate(labels[factor]) if each == level]
        row = rows[subset]
        levels = [labels[row["factor"]][place] for place in places]
        some = permanova(distances[np.ix_(places, places)], levels, None, 1999)
        assert (row["r2"], row["p"]) == pytest.approx(some)
        assert (row["n_networks"], row["p_adjusted"]) == (len(places), row["p"])
    tanh = [place for place, each in enumerate(labels["activation"]) if each == "tanh"]
    alone = {name: [levels[place] for place in tanh] for name, levels in labels.items()}
    assert subset_effects(distances[np.ix_(tanh, tanh)], alone, 9, 9) == []  # the subset is all networks


def test_each_level_of_a_further_factor_is_a_subset_in_which_the_others_are_tested():
    """Architectures differ at gain 2 alone: the subset says so, and its p is that of its networks alone."""
    random = np.random.default_rng(3)
    labels = {"architecture": ["gru", "lstm"] * 20, "gain": [1.0] * 20 + [2.0] * 20, "units": [8] * 40}
    points = random.normal(size=(40, 3))
    points[21::2, 0] += 4.0  # the LSTMs of gain 2
    rows = {(row["subset"], row["factor"]): row for row in subset_effects(squareform(pdist(points)), labels, 199, 99)}
    assert rows.keys() == {("gain 1", "architecture"), ("gain 2", "architecture")}
    assert rows["gain 2", "architecture"]["p"] < 0.01 < rows["gain 1", "architecture"]["p"]
    assert rows["gain 2", "architecture"]["n_networks"] == 20


def test_the_headline_has_the_tests_of_the_parts():
    points, labels = study()
    distances = squareform(pdist(points))
    parts = decomposition(distances, labels, 9)
    effects = factor_effects(distances, labels, 9, 9, parts=parts)
    rows = headline_rows(parts, effects)
    assert [row["factor"] for row in rows] == ["architecture", "activation", "interactions", "seed"]
    assert [row["p_adjusted"] for row in rows[:3]] == [row["p_adjusted"] for row in effects]
    assert np.isnan([rows[3][name] for name in ("p_adjusted", "p_lower", "r2_chance")]).all()


@pytest.mark.parametrize(
    ("given", "corrected"),
    [([], []), ([0.2], [0.2]), ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]), ([0.6, 0.9], [1.0, 1.0])],
)
def test_holm_by_hand(given, corrected):
    assert holm(given) == pytest.approx(corrected)

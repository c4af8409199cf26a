"""Rows of the tables: distances, controls, levels of the factors, effects of the factors, the map."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas.recordings.distances import MeasureDistances
from dynatlas.statistics.effects import factor_effects, holm
from dynatlas.statistics.embedding import spot
from dynatlas.statistics.intervals import Interval, mean_interval, percentile_interval
from dynatlas.statistics.pairs import mean_of_pairs, reliability_of_values
from dynatlas.study.members import Member

TRAINED, UNTRAINED, GAIN = "trained", "untrained", "untrained minus trained"
BETWEEN, HALVES, RELIABILITY = "between trained networks", "own halves", "reliability"
Row = dict[str, Any]
Rows = list[Row]


def distance_rows(
    members: Sequence[Member], to_trained: Float[np.ndarray, " networks"], to_untrained: Mapping[int, float]
) -> Rows:
    """Return the distance to every trained network, and to controls before training by their place in ``members``."""
    trained = [
        _member_columns(member) | {"version": TRAINED, "distance": value}
        for member, value in zip(members, to_trained.tolist(), strict=True)
    ]
    untrained = [
        _member_columns(members[place]) | {"version": UNTRAINED, "distance": value}
        for place, value in to_untrained.items()
    ]
    return trained + untrained


def control_rows(distances: MeasureDistances, recording: int, permutations: int, seed: int) -> Rows:
    """Return the controls of a recording's distances, each with a 95 % interval and, if it is a test, a p-value.

    - trained, untrained: mean distance to networks; the interval is over networks. All controls but those of only the
      recording use the same even selection of n networks (``responses_of``).
    - untrained minus trained: how much closer training brings a network; p by sign flips.
    - between trained networks: mean distance between two of them.
    - shuffled time, shifted trials: mean distance of trained networks to surrogates of the recording; the interval is
      over surrogates, p is the probability that one is as close as the recording.
    - own halves: mean distance between halves of the recording's units; the interval is over splits.
    - reliability: how well distances on half of the rows predict those on the other half, as in the study's controls.
    """
    before = distances.to_untrained(recording)
    trained, untrained = distances.to_trained(recording)[list(before)], np.array(list(before.values()))
    gain = untrained - trained
    rows = [
        _control_row(TRAINED, trained.mean(), mean_interval(trained), len(trained)),
        _control_row(UNTRAINED, untrained.mean(), mean_interval(untrained), len(untrained)),
        _control_row(GAIN, gain.mean(), mean_interval(gain), len(gain)) | {"p": sign_flips(gain, permutations, seed)},
        _control_row(BETWEEN, *mean_of_pairs(distances.between_networks()), len(gain)),
    ]
    for control, values in distances.to_surrogates(recording).items():
        p = (1 + int((values <= trained.mean()).sum())) / (1 + len(values))
        rows.append(_control_row(control, values.mean(), percentile_interval(values), len(values)) | {"p": p})
    halves = distances.between_halves(recording)
    if len(halves):
        rows.append(_control_row(HALVES, halves.mean(), percentile_interval(halves), len(halves)))
    parts = distances.to_trained_by_half(recording)
    if parts is not None and parts.shape[1] > 2:
        reliability = reliability_of_values(parts[0], parts[1])
        rows.append(_control_row(RELIABILITY, *reliability, parts.shape[1]))
    return rows


def sign_flips(differences: Float[np.ndarray, " n"], permutations: int, seed: int) -> float:
    """Test by random sign flips whether the mean of differences is 0, and return the p-value.

    p = (1 + #{|mean of flipped| ≥ |mean|}) / (1 + permutations)

    Example:
        >>> sign_flips(np.ones(20), 999, 0), sign_flips(np.array([1.0, -1.0]), 999, 0)
        (0.001, 1.0)

    Source: Fisher 1935.
    """
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (permutations, len(differences)))
    means = np.abs(signs @ differences)
    seen = abs(float(differences.sum()))
    return (1 + int((means >= seen - 1e-12 * np.abs(differences).sum()).sum())) / (1 + permutations)


def level_rows(
    distances: MeasureDistances,
    recording: int,
    labels: Mapping[str, Sequence[object]],
    permutations: int,
    seed: int,
) -> Rows:
    """Return the mean distance to the trained networks of each level of each factor, such as each architecture.

    ``gain`` is how much closer training brings the ``gain_n`` controls of the level: over all levels together, levels
    that training moves away can hide it. Its p is corrected for the number of levels (``holm``).
    """
    trained, untrained = distances.to_trained(recording), distances.to_untrained(recording)
    rows: Rows = []
    for factor, levels in labels.items():
        kinds = list(dict.fromkeys(levels))
        for level in kinds:
            places = [place for place, each in enumerate(levels) if each == level]
            some = trained[places]
            row: Row = {"factor": factor, "level": str(level)}
            row |= _interval_columns(some.mean(), mean_interval(some), len(some))
            gain = np.array([untrained[place] - trained[place] for place in places if place in untrained])
            ends = mean_interval(gain)
            row |= {"gain": gain.mean() if len(gain) else np.nan, "gain_low": ends.low, "gain_high": ends.high}
            row["gain_n"] = len(gain)
            is_tested = len(kinds) > 1 and len(gain) > 1
            rows.append(row | {"gain_p": sign_flips(gain, permutations, seed) if is_tested else np.nan})
    tested = [row for row in rows if row["gain_p"] == row["gain_p"]]
    for row, p in zip(tested, holm([row["gain_p"] for row in tested]), strict=True):
        row["gain_p"] = p
    return rows


def effect_rows(
    to_trained: Float[np.ndarray, " networks"],
    labels: Mapping[str, Sequence[object]],
    permutations: int,
    bootstraps: int,
    seed: int,
) -> Rows:
    """Return the share of the variance of the distances that each factor explains (R²), with its p-value."""
    effects = factor_effects(np.abs(to_trained[:, None] - to_trained), labels, permutations, bootstraps, seed)
    kept = ("factor", "r2", "r2_low", "r2_high", "r2_chance", "p", "p_lower", "p_adjusted", "n_networks")
    return [{name: effect[name] for name in kept} for effect in effects]


def map_rows(
    members: Sequence[Member],
    coordinates: NDArray[np.float64],
    stress: float,
    to_trained: Float[np.ndarray, " networks"],
) -> Rows:
    """Return the map: coordinates of the networks with its stress, and of the recording ("") with its misfit."""
    place, misfit = spot(coordinates, to_trained)
    networks = [
        {"network": member.id, "x": x, "y": y, "misfit": stress}
        for member, (x, y) in zip(members, coordinates.tolist(), strict=True)
    ]
    return [*networks, {"network": "", "x": float(place[0]), "y": float(place[1]), "misfit": misfit}]


def _member_columns(member: Member) -> Row:
    return {"network": member.id, "name": member.name} | member.factors | {"seed": member.seed}


def _control_row(control: str, value: float, ends: Interval, n: int) -> Row:
    return {"control": control} | _interval_columns(value, ends, n) | {"p": np.nan}


def _interval_columns(value: float, ends: Interval, n: int) -> Row:
    return {"value": float(value), "low": ends.low, "high": ends.high, "n": n}

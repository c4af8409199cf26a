"""The rows of the tables: distances, controls, levels of the factors and what these explain, the map."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas.recordings.distances import Measured
from dynatlas.statistics.effects import factor_effects, holm
from dynatlas.statistics.embedding import spot
from dynatlas.statistics.resampling import interval, mean_interval, mean_of_pairs, reliability_of_values
from dynatlas.study.members import FACTORS, Member

TRAINED, UNTRAINED, GAIN = "trained", "untrained", "untrained minus trained"


APART, HALVES, RELIABILITY = "between trained networks", "own halves", "reliability"


Rows = list[dict[str, Any]]


def distance_rows(
    members: Sequence[Member], away: Float[np.ndarray, " networks"], untrained: Mapping[int, float]
) -> Rows:
    """Every network's distance, trained and before."""
    trained = [
        _who(member) | {"version": TRAINED, "distance": value}
        for member, value in zip(members, away.tolist(), strict=True)
    ]
    before = [_who(members[place]) | {"version": UNTRAINED, "distance": value} for place, value in untrained.items()]
    return trained + before


def control_rows(measured: Measured, recording: int, permutations: int, bootstraps: int, seed: int) -> Rows:
    """What a recording's distances are to be held against; each with its 95 % interval and, where it is a test, its p.

    - trained, untrained: the mean distance from networks; the interval is over networks. All controls but those of the
      recording alone are made with the same even selection of networks (``responses_of``), of which n says how many.
    - untrained minus trained: how much nearer training brings the same network; p by flipping signs.
    - between trained networks: the mean distance between two of them.
    - shuffled time, shifted trials: the mean distance from trained networks of the recording out of time; the interval
      is over orders, p that of being as near as the recording.
    - own halves: the mean distance between halves of the recording's units; the interval is over halvings.
    - reliability: how well distances on half of the rows predict those on the other, as in the study's controls.
    """
    away, before = measured.away(recording), measured.untrained_away(recording)
    own, untrained = away[list(before)], np.array(list(before.values()))
    gain = untrained - own
    rows = [
        _row(TRAINED, own.mean(), mean_interval(own, bootstraps, seed), len(own)),
        _row(UNTRAINED, untrained.mean(), mean_interval(untrained, bootstraps, seed), len(untrained)),
        _row(GAIN, gain.mean(), mean_interval(gain, bootstraps, seed), len(gain))
        | {"p": sign_flips(gain, permutations, seed)},
        _row(APART, *mean_of_pairs(measured.between_networks(), bootstraps, seed), len(gain)),
    ]
    for control, distances in measured.out_of_time(recording).items():
        p = (1 + int((distances <= own.mean()).sum())) / (1 + len(distances))
        rows.append(_row(control, distances.mean(), interval(distances), len(distances)) | {"p": p})
    halves = measured.own_halves(recording)
    if len(halves):
        rows.append(_row(HALVES, halves.mean(), interval(halves), len(halves)))
    parts = measured.halves_away(recording)
    if parts is not None and parts.shape[1] > 2:
        rows.append(_row(RELIABILITY, *reliability_of_values(parts[0], parts[1], bootstraps, seed), parts.shape[1]))
    return rows


def sign_flips(differences: Float[np.ndarray, " n"], permutations: int, seed: int) -> float:
    """How often a mean as far from 0 comes about if each difference might as well have the other sign.

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


def levels_of(
    measured: Measured,
    recording: int,
    labels: Mapping[str, Sequence[Any]],
    permutations: int,
    bootstraps: int,
    seed: int,
) -> Rows:
    """The mean distance from the trained networks of every architecture, and so on.

    ``gain`` is how much nearer training brings those ``gain_n`` of them that controls are made with: over all kinds
    together, those that it leads away can hide it. Its p is corrected for the number of levels (``holm``).
    """
    away, before = measured.away(recording), measured.untrained_away(recording)
    rows: Rows = []
    for factor, levels in labels.items():
        kinds = list(dict.fromkeys(levels))
        for level in kinds:
            places = [place for place, each in enumerate(levels) if each == level]
            some = away[places]
            row: dict[str, Any] = {"factor": factor, "level": str(level)}
            row |= _numbers(some.mean(), mean_interval(some, bootstraps, seed), len(some))
            gain = np.array([before[place] - away[place] for place in places if place in before])
            ends = mean_interval(gain, bootstraps, seed)
            row |= {"gain": gain.mean() if len(gain) else np.nan, "gain_low": ends.low, "gain_high": ends.high}
            row["gain_n"] = len(gain)
            is_tested = len(kinds) > 1 and len(gain) > 1
            rows.append(row | {"gain_p": sign_flips(gain, permutations, seed) if is_tested else np.nan})
    tested = [row for row in rows if row["gain_p"] == row["gain_p"]]
    for row, p in zip(tested, holm([row["gain_p"] for row in tested]), strict=True):
        row["gain_p"] = p
    return rows


def effects_of(
    away: Float[np.ndarray, " networks"],
    labels: Mapping[str, Sequence[Any]],
    permutations: int,
    bootstraps: int,
    seed: int,
) -> Rows:
    """How much of the differences in distance each factor explains: R² of an analysis of variance, and its p."""
    effects = factor_effects(np.abs(away[:, None] - away), labels, permutations, bootstraps, seed)
    kept = ("factor", "r2", "r2_low", "r2_high", "r2_chance", "p", "p_adjusted", "n_networks")
    return [{name: effect[name] for name in kept} for effect in effects]


def map_rows(
    members: Sequence[Member], coordinates: NDArray[np.float64], stress: float, away: Float[np.ndarray, " networks"]
) -> Rows:
    """The networks where the map has them, with its stress; the recording, with its misfit, has no network."""
    place, misfit = spot(coordinates, away)
    networks = [
        {"network": member.id, "x": x, "y": y, "misfit": stress}
        for member, (x, y) in zip(members, coordinates.tolist(), strict=True)
    ]
    return [*networks, {"network": "", "x": float(place[0]), "y": float(place[1]), "misfit": misfit}]


def _who(member: Member) -> dict[str, Any]:
    return {"network": member.id, "name": member.name} | {name: getattr(member, name) for name in (*FACTORS, "seed")}


def _row(control: str, value: float, ends: Any, n: int) -> dict[str, Any]:
    return {"control": control} | _numbers(value, ends, n) | {"p": np.nan}


def _numbers(value: float, ends: Any, n: int) -> dict[str, Any]:
    return {"value": float(value), "low": ends.low, "high": ends.high, "n": n}

"""Jobs that summarise: joined tables, embeddings of every matrix, and effects of the factors."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas._util.json import Json
from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.atlas.schema import OF_MATRICES
from dynatlas.atlas.view import tasks_with
from dynatlas.measures.findings import aspect, given_factors
from dynatlas.pipeline.progress import Report
from dynatlas.pipeline.stages.dynamics import TABLES as DYNAMICS_TABLES
from dynatlas.pipeline.stages.integration import mean_spectra
from dynatlas.pipeline.stages.oscillations import mean_frequencies
from dynatlas.statistics import claims
from dynatlas.statistics.dispersion import spread_between_seeds
from dynatlas.statistics.distance_matrix import DistanceMatrix
from dynatlas.statistics.effects import ALL, decomposition, factor_effects, headline_rows, subset_effects
from dynatlas.statistics.embedding import Embedding, mds, negative_share
from dynatlas.study.members import Matrix
from dynatlas.study.study import Study

NOWHERE = {dims: Embedding(np.zeros((0, dims)), 0.0) for dims in (2, 3)}


def join_tables(path: Path, report: Report) -> list[Entry]:
    """Join the blocks' parts, in the study's order."""
    atlas = Atlas.open(path)
    return [atlas.write_table(name, atlas.join_parts(name)) for name in joined_tables(atlas.study)]


def joined_tables(study: Study) -> tuple[str, ...]:
    """Return the tables that blocks, configurations and shapes write in parts."""
    searched = ("samples", "sample_losses") if study.search else ()
    counted = ("components",) if study.analysis.agreeing else ()
    pushed = ("robustness",) if study.analysis.compares_robustness else ()
    return ("networks", "losses", "behavior", "activity", *DYNAMICS_TABLES, *pushed, "mappings", *searched, *counted)


def embed(path: Path, matrix: Matrix, report: Report) -> list[Entry]:
    """Write the maps of one matrix in two and three dimensions, and the effects of the factors."""
    atlas = Atlas.open(path)
    analysis = atlas.study.analysis
    task, measure = matrix
    stored = atlas.arrays(f"distances/{task}/{measure}")["distance"]
    distances = DistanceMatrix.of(stored)
    names = list(distances.labels)
    networks = networks_of(atlas, task)
    left_out = int(networks.passed.sum()) - len(names)
    labels = {factor: networks.loc[names, factor].tolist() for factor in atlas.study.levels}
    flat, solid = (mds(distances, dims=dims) if names else NOWHERE[dims] for dims in (2, 3))
    facts = {
        "n_networks": len(names),
        "n_left_out": left_out,
        "left_out_reason": stored.attrs.get("left_out_reason", "") if left_out else "",
        "stress": flat.stress,
        "stress_3d": solid.stress,
        "negative_share": negative_share(distances) if names else 0.0,
        "n_components": stored.attrs.get("components", 0),
        "gap_median": stored.attrs.get("gap_median", np.nan),
        "gap_largest": stored.attrs.get("gap_largest", np.nan),
        "n_identical": int((distances.values == 0).sum() - len(names)) // 2,
    }
    parts = decomposition(distances, labels, analysis.bootstraps) if names else []
    settings = (analysis.permutations, analysis.bootstraps)
    effects = factor_effects(distances, labels, *settings, parts=parts) if names else []
    of_subsets = subset_effects(distances, labels, *settings) if names else []
    not_tested = given_factors(measure)
    if any(len(atlas.study.levels.get(factor, ())) > 1 for factor in not_tested):
        not_tested |= {"interactions"}  # of these factors, too
    effects, of_subsets = ([row for row in rows if row["factor"] not in not_tested] for rows in (effects, of_subsets))
    rows = {
        "embeddings": _points(names, flat.coordinates),
        "embeddings_3d": _points(names, solid.coordinates),
        "maps": [facts],
        "effects": [*({"subset": ALL} | effect for effect in effects), *of_subsets],
        "spread": spread_between_seeds(distances, labels) if names else [],
        "headline": [{"aspect": aspect(measure)} | row for row in headline_rows(parts, effects)],
    }
    return [
        atlas.write_part(table, matrix, pd.DataFrame([matrix._asdict() | row for row in of_table]))
        for table, of_table in rows.items()
    ]


def sum_up(path: Path, report: Report) -> list[Entry]:
    """Join the tables of all matrices; average frequencies and spectra over networks."""
    atlas = Atlas.open(path)
    networks = atlas.table("networks")
    first = networks[networks.task == tasks_with(atlas.study, "oscillation")[0]]  # the table has no column for others
    # Of architectures and activations in every atlas, of other factors where they vary.
    factors = [
        factor
        for factor, levels in atlas.study.levels.items()
        if factor in ("architecture", "activation") or len(levels) > 1
    ]
    averages = {
        "frequencies": mean_frequencies(atlas.table("oscillations"), atlas.table("attractors"), first, factors),
        "spectra": mean_spectra(atlas, networks),
    }
    return [
        *(atlas.write_table(name, atlas.join_parts(name)) for name in OF_MATRICES),
        *(atlas.write_table(name, frame) for name, frame in averages.items()),
    ]


def check_claims(path: Path, report: Report) -> list[Entry]:
    """Test the claims on the stored tables."""
    atlas = Atlas.open(path)
    return [atlas.write_table("claims", claims.check_claims(atlas))]


def networks_of(atlas: Atlas, task: str) -> pd.DataFrame:
    """Return a task's rows of ``networks``, indexed by id."""
    rows = [atlas.part("networks", block) for block in atlas.study.blocks if block.task == task]
    return pd.concat(rows).set_index("network")


def _points(names: list[str], coordinates: NDArray[np.float64]) -> list[Json]:
    return [
        {"network": name} | dict(zip("xyz", point, strict=False))
        for name, point in zip(names, coordinates.tolist(), strict=True)
    ]

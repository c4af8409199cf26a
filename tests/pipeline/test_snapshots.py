"""Networks followed through their training, on real (small) networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynatlas
from dynatlas import Atlas
from dynatlas.atlas.schema import OF_SNAPSHOTS
from dynatlas.errors import AtlasError
from dynatlas.figures.style import render
from support.documentation import DOCS, carry_out
from support.runs import assert_same_results
from support.studies import tiny_toml

FOLLOWED = {
    "name": "followed",
    "tasks": [{"kind": "flip_flop", "steps": 12, "channels": 1, "probe_trials": 8}],
    "population": {"architectures": ["vanilla", "ugrnn"], "units": [6], "l2": [1e-6], "seeds": 3},
    "training": {
        "optimizer": "adam",
        "iterations": 600,
        "batch_size": 16,
        "learning_rate": 0.01,
        "validation_interval": 150,
        "validation_trials": 64,
    },
    "snapshots": {"iterations": [0, 5, 10, 20, 40, 80, 150, 600], "seeds": 2},
    "analysis": {"fixed_point_starts": 64, "fixed_point_max_starts": 512, "measures": ["svcca", "cka"]},
}
KEPT = [0, 5, 10, 20, 40, 80, 150, 600]


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(tiny_toml(FOLLOWED))
    return path


@pytest.fixture(scope="module")
def atlas(processes, study_file, tmp_path_factory):
    return dynatlas.run(study_file, tmp_path_factory.mktemp("whole") / "atlas", workers=2)


def followed_ids(atlas):
    networks = atlas.table("networks")
    assert networks.passed.all()
    return networks[networks.seed < 2].network.tolist()


def test_every_snapshot_of_the_chosen_networks_has_its_rows(atlas):
    ids = followed_ids(atlas)
    expected = [(network, iteration) for network in ids for iteration in KEPT]
    for table in ("snapshots", "snapshot_searches"):
        rows = atlas.table(table)
        assert list(zip(rows.network, rows.iteration, strict=True)) == expected
    distances = atlas.table("snapshot_distances")
    assert len(distances) == 2 * len(expected)
    assert set(distances.measure) == {"svcca", "cka"}


def test_the_last_snapshot_is_the_trained_network(atlas):
    networks = atlas.table("networks").set_index("network")
    last = atlas.table("snapshots").query("iteration == 600").set_index("network")
    assert (last.mse == networks.loc[last.index].mse).all()
    assert (last.r2 == networks.loc[last.index].r2).all()
    ids = followed_ids(atlas)
    for table, plain in (("snapshot_searches", "searches"), ("snapshot_points", "fixed_points")):
        rows = atlas.table(table).query("iteration == 600").drop(columns="iteration").reset_index(drop=True)
        trained = atlas.table(plain)
        trained = trained[trained.network.isin(ids)].reset_index(drop=True)
        for column in rows.columns.difference(["readout"]):
            np.testing.assert_array_equal(rows[column], trained[column])
    distances = atlas.table("snapshot_distances").query("iteration == 600")
    assert distances.to_end.abs().max() < 1e-7
    embeddings = atlas.table("embeddings").set_index(["measure", "network"])
    nearest = [network == near for network, near in zip(distances.network, distances.nearest, strict=True)]
    assert all(nearest)
    # A map in two dimensions distorts distances, and a point that is placed on it alone does not move the others.
    places = embeddings.loc[list(zip(distances.measure, distances.network, strict=True)), ["x", "y"]].to_numpy()
    away = np.linalg.norm(distances[["x", "y"]].to_numpy() - places, axis=1)
    assert np.median(away) < 0.5 * np.ptp(embeddings.x)


def test_a_solution_forms_on_the_way(atlas):
    errors = atlas.table("snapshots").pivot_table(index="network", columns="iteration", values="mse")
    assert (errors[0] > 10 * errors[600]).all()
    counts = atlas.table("snapshot_searches").pivot_table(index="network", columns="iteration", values="n_stable")
    assert (counts[600] == 2).all()
    assert counts[0].mean() < 2
    for _, rows in atlas.table("snapshot_distances").groupby(["network", "measure"]):
        assert rows.to_end.iloc[0] > rows.to_end.iloc[-2] > rows.to_end.iloc[-1]


def test_arrays_have_the_rows_of_the_table(atlas):
    table = atlas.table("snapshot_points")
    for block in atlas.study.blocks:
        arrays = atlas.arrays(f"snapshot_points/{block.name}")
        rows = table[table.network.isin(arrays.network.values)]
        for name in ("network", "iteration", "condition", "point"):
            np.testing.assert_array_equal(arrays[name].values, rows[name])
        np.testing.assert_allclose(np.abs(arrays.eigenvalues.values[:, 0]), rows.spectral_radius)
        states = zip(*(arrays[name].values for name in ("network", "iteration", "states")), strict=True)
        for (network, iteration, state), q in zip(states, rows.q, strict=True):
            with jax.enable_x64(True):
                cell = atlas.network(network, iteration=int(iteration)).astype(np.float64)
                moved = np.asarray(cell.under(jnp.zeros(1))(state, np.zeros(0))) - state
            assert 0.5 * moved @ moved == pytest.approx(q, rel=1e-3, abs=1e-28)


def test_weights_are_read_by_iteration(atlas):
    name = followed_ids(atlas)[0]
    first, last = atlas.network(name, iteration=0), atlas.network(name, iteration=600)
    trained = atlas.network(name)
    np.testing.assert_array_equal(last.recurrent_weights, trained.recurrent_weights)
    assert np.abs(first.recurrent_weights - trained.recurrent_weights).max() > 0
    with pytest.raises(
        AtlasError, match=r"no snapshot of .* at iteration 7; there are at 0, 5, 10, 20, 40, 80, 150, 600"
    ):
        atlas.network(name, iteration=7)
    other = atlas.table("networks").query("seed == 2").network.iloc[0]
    with pytest.raises(AtlasError, match="its study keeps none of this network"):
        atlas.network(other, iteration=0)


def test_interrupting_and_the_number_of_workers_change_no_number(processes, atlas, study_file, tmp_path):
    dynatlas.run(study_file, tmp_path / "atlas", workers=1, until="training")
    opened = Atlas.open(tmp_path / "atlas")
    with opened.lock():
        lost = [name for name in opened.entries if name.startswith(("snapshots/", "networks/"))][:2]
        opened.discard(*lost)
    again = dynatlas.run(study_file, tmp_path / "atlas", workers=1, until="maps")
    assert_same_results(again, atlas)
    snapshots = [name for name in atlas.entries if name.startswith("snapshots/")]
    assert len(snapshots) == 2
    for name in snapshots:
        assert atlas.entries[name].sha256 == again.entries[name].sha256


def test_the_page_about_snapshots_does_what_it_says(atlas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-atlas").symlink_to(atlas.path)
    namespace = carry_out(DOCS / "learning.md")
    assert namespace["branches"].index_sums.is_wrong.sum() == 0
    text = (DOCS / "learning.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in OF_SNAPSHOTS)


def test_the_figures_show_every_network_followed(atlas):
    figure = atlas.plot.learning()
    *curves, ways = figure.axes
    for axes in curves:
        assert sum(len(line.get_xdata()) == len(KEPT) for line in axes.lines) == 4
        assert axes.get_xlabel() == "iteration"
    assert len(ways.lines) == 4
    assert "4 networks at 8 iterations" in atlas.plot.learning.caption
    points = atlas.plot.fixed_points_learned()
    assert len(points.axes) == 2
    assert render(points, "svg")
    page = (atlas.path / "report" / "index.html").read_text()
    assert "Through training" in page

"""Fixed points as objects: tables, files, Jacobians, figure."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from dynatlas import FixedPoints, find_fixed_points
from dynatlas.figures.style import render

pytestmark = pytest.mark.usefixtures("quick_compilation")
W = np.diag([2.0, 1.5])
STARTS = np.random.default_rng(0).uniform(-1, 1, (100, 2))


def step(state, inputs):
    return jnp.tanh(W @ state + inputs)


@pytest.fixture(scope="module")
def points():
    return find_fixed_points(step, STARTS, np.array([0.05, 0.0]), box=(-1, 1), slow_tol=1e-2)


def test_without_a_key_a_call_returns_the_same_each_time(points):
    again = find_fixed_points(step, STARTS, np.array([0.05, 0.0]), box=(-1, 1), slow_tol=1e-2, key=jax.random.key(0))
    np.testing.assert_array_equal(again.states, points.states)
    np.testing.assert_array_equal(again.hits, points.hits)


def test_jacobians_are_the_derivatives_written_out(points):
    expected = (1 - points.roots().states ** 2)[:, :, None] * W
    np.testing.assert_allclose(points.roots().jacobians(), expected, atol=1e-9)


def test_the_table_has_a_row_for_each_point(points):
    table = points.to_dataframe()
    assert len(table) == len(points) == 9
    np.testing.assert_array_equal(table.n_unstable, points.n_unstable)
    np.testing.assert_allclose(table.spectral_radius, np.abs(points.eigenvalues).max(axis=1))


def test_a_file_keeps_everything_but_the_step(points, tmp_path):
    points.save(tmp_path / "points.npz")
    read = FixedPoints.load(tmp_path / "points.npz")
    for name, values in points.to_xarray().items():
        np.testing.assert_array_equal(getattr(read, name), values)
    assert (read.certificate, read.reason, read.cut, read.n_starts, read.rejected) == (
        *(points.certificate, points.reason, points.cut),
        *(points.n_starts, points.rejected),
    )
    with pytest.raises(ValueError, match="read from a file without their step"):
        read.jacobians()
    with pytest.raises(FileExistsError, match="force=True"):
        points.save(tmp_path / "points.npz")
    points.save(tmp_path / "points.npz", force=True)
    with pytest.raises(ValueError, match=r"does not end in \.npz"):
        points.save(tmp_path / "points")


def test_another_file_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", weights=W)
    with pytest.raises(ValueError, match=r"has no states; expected a file that FixedPoints\.save wrote"):
        FixedPoints.load(tmp_path / "other.npz")


def test_netcdf_has_real_and_imaginary_parts(points, tmp_path):
    points.to_netcdf(tmp_path / "points.nc")
    with xr.open_dataset(tmp_path / "points.nc", engine="scipy") as read:
        np.testing.assert_array_equal(read.states, points.states)
        np.testing.assert_array_equal(read.eigenvalues_real, points.eigenvalues.real)
        np.testing.assert_array_equal(read.is_slow.astype(bool), points.is_slow)
        assert read.attrs["certificate"] == points.certificate
    with pytest.raises(FileExistsError):
        points.to_netcdf(tmp_path / "points.nc")


def test_copies_for_other_processes_are_without_the_step(points):
    copied = pickle.loads(pickle.dumps(points))  # noqa: S301 - our own
    assert copied.step is None
    np.testing.assert_array_equal(copied.states, points.states)
    assert points.step is not None


@pytest.mark.parametrize("readout", [None, [[1.0, 0.0], [0.0, 1.0]]])
def test_the_figure_has_a_mark_for_each_point(points, readout):
    figure = points.plot(readout)
    assert sum(len(marks.get_offsets()) for marks in figure.axes[0].collections) == len(points)
    assert render(figure, "svg")
    empty = points.take([])
    assert empty.plot().axes
    assert len(empty.to_dataframe()) == 0


def test_a_readout_of_another_shape_is_refused(points):
    with pytest.raises(ValueError, match=r"readout has shape \(2,\); expected \[2, 2\]"):
        points.plot([1.0, 0.0])

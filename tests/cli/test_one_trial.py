"""One trial of inputs, and static inputs."""

import numpy as np
import pytest

from dynatlas.cli.networks import _inputs
from dynatlas.cli.sources import read_trials
from dynatlas.errors import NetworkError


def test_two_axes_are_conditions_unless_they_are_called_trials(tmp_path, capsys):
    trial = np.arange(80.0).reshape(40, 2)
    np.save(tmp_path / "a.npy", trial)
    np.testing.assert_array_equal(_inputs(tmp_path / "a.npy")["conditions"], trial)
    said = " ".join(capsys.readouterr().out.split())
    assert "is read as 40 static inputs of 2; if it is one trial of 40 steps, pass it with --trials" in said
    np.testing.assert_array_equal(read_trials(tmp_path / "a.npy"), trial[None])
    np.save(tmp_path / "b.npy", trial[None])
    np.testing.assert_array_equal(read_trials(tmp_path / "b.npy"), trial[None])
    assert list(_inputs(tmp_path / "b.npy")) == ["trials"]
    np.save(tmp_path / "c.npy", trial.ravel())
    with pytest.raises(NetworkError, match=r"has the shape \[80\]; expected trials"):
        read_trials(tmp_path / "c.npy")

"""Checkpoints of PyTorch that hold more than dense tensors; run where PyTorch is installed, which is no dependency."""

import argparse

import numpy as np
import pytest

from dynatlas.errors import NetworkError
from dynatlas.networks.conversion import convert

torch = pytest.importorskip("torch")
# PyTorch warns of its own sparse and quantised tensors.
pytestmark = pytest.mark.filterwarnings("ignore:.*(quantized tensor|[Ss]parse).*:UserWarning")


@pytest.fixture
def made(tmp_path):
    def make(content, **options):
        torch.save(content, tmp_path / "net.pt")
        from safetensors.numpy import load_file

        convert(tmp_path / "net.pt", tmp_path / "net.safetensors", force=True, **options)
        return load_file(tmp_path / "net.safetensors")

    return make


def test_numbers_of_numpy_beside_the_weights(made):
    found = made({"best": np.float64(0.1), "step": np.int64(3), "model": {"w": torch.ones(2)}})
    assert {name: values.tolist() for name, values in found.items()} == {"model.w": [1, 1]}


def test_what_is_refused_is_named_with_its_key(made):
    for content, message in (
        ({"w": torch.ones(2), "hyper": argparse.Namespace(lr=1)}, "holds a argparse.Namespace under the key 'hyper'"),
        (
            {"w": torch.ones(2), "losses": np.ones(3)},
            "numpy.* under the key 'losses', which PyTorch builds only by running",
        ),
        (torch.nn.GRU(2, 3), "Save model.state_dict.. instead of a whole model"),
    ):
        with pytest.raises(NetworkError, match=message) as error:
            made(content)
        assert "\x1b" not in str(error.value)
        assert len(str(error.value)) <= 500


def test_sparse_quantised_and_repeated_tensors_become_dense(made):
    dense = torch.tensor([[0.0, 2], [1, 0]])
    quantised = torch.quantize_per_tensor(dense, 0.5, 0, torch.qint8)
    found = made(
        {"s": dense.to_sparse(), "csr": dense.to_sparse_csr(), "q": quantised, "e": torch.ones(1).expand(3, 2)}
    )
    for name in ("s", "csr", "q"):
        np.testing.assert_array_equal(found[name], dense.numpy())
    np.testing.assert_array_equal(found["e"], np.ones((3, 2)))
    assert {name: values.shape for name, values in made([torch.ones(2), torch.ones(3)]).items()} == {
        "0": (2,),
        "1": (3,),
    }


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (
            lambda: torch.ones(2, device="meta"),
            "'w' is on PyTorch's device meta and has no values; leave it out with --ign",
        ),
        (lambda: torch.ones(2, dtype=torch.complex64), "'w' is torch.complex64; expected real numbers"),
        (
            lambda: torch.ones(1).expand(100_000, 100_000),
            r"'w' has the shape \(100000, 100000\) and would take",
        ),
        (
            lambda: torch.sparse_coo_tensor([[0], [0]], [1.0], (10**6, 10**6)),
            r"'w' has the shape .* would take",
        ),
    ],
)
def test_tensors_without_a_place_in_the_file_are_named(made, tensor, message):
    with pytest.raises(NetworkError, match=message):
        made({"w": tensor(), "other": torch.ones(1)})
    assert list(made({"w": tensor(), "other": torch.ones(1)}, ignore=["w"])) == ["other"]


def test_a_missing_file_and_a_pointer_are_told(tmp_path):
    with pytest.raises(NetworkError, match=r"cannot read .*nothing.pt: No such file"):
        convert(tmp_path / "nothing.pt", tmp_path / "net.safetensors")
    (tmp_path / "net.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n")
    with pytest.raises(NetworkError, match="is a pointer of Git LFS, not the file itself; fetch it with: git lfs pull"):
        convert(tmp_path / "net.pt", tmp_path / "net.safetensors")

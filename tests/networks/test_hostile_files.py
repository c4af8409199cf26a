"""Files that mean harm, or are broken: one clear error each, nothing executed, nothing large allocated."""

import io
import json
import os
import pickle
import stat
import struct
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from dynatlas import read_network
from dynatlas.errors import NetworkError

HUGE = 2**40
MARK = "executed"  # the file that a pickle would leave if it were loaded
MOST_ALLOCATED = 50e6


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, folder):
        self.mark = str(folder / MARK)

    def __reduce__(self):
        return (os.mkdir, (self.mark,))


def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape, begin, end, kind="F32"):
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


def npy(shape, data=b"", kind="<f4"):
    """An array's file with a header of one's own."""
    text = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def archive(*members, compression=zipfile.ZIP_STORED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return target.getvalue()


def whole_npz():
    target = io.BytesIO()
    np.savez(target, W_rec=np.eye(3), W_in=np.ones((3, 2)))
    return target.getvalue()


def lambda_keras(_):
    """A whole model whose configuration has code, and whose weights are in order."""
    code = {"class_name": "Lambda", "config": {"name": "x", "function": {"class_name": "__lambda__"}}}
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/simple_rnn/cell/vars/0"] = np.ones((2, 3), np.float32)
        file["layers/simple_rnn/cell/vars/1"] = np.ones((3, 3), np.float32)
    configuration = json.dumps({"class_name": "Sequential", "config": {"layers": [code]}})
    return archive(("config.json", configuration), ("model.weights.h5", weights.getvalue()))


def bomb_keras(_):
    """An archive whose directory says that the weights have 4 GiB."""
    whole = archive(("config.json", "{}"), ("model.weights.h5", "x"))
    place = whole.rindex(b"model.weights.h5") - 46
    return whole[: place + 24] + struct.pack("<I", 2**32 - 2) + whole[place + 28 :]


def linked_member():
    member = zipfile.ZipInfo("W_rec.npy")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return archive((member, "/etc/passwd"))


def object_array(folder):
    target = io.BytesIO()
    np.savez(target, W_rec=np.array([[Bomb(folder)]], dtype=object))
    return target.getvalue()


def lying_member():
    """A member whose directory promises fewer bytes than its header."""
    return archive(("W_rec.npy", npy((3, 3), b"\0" * 8)))


def bomb_of_zeros():
    """A member that is small in the file and says that it is terabytes."""
    return archive(("W_rec.npy", npy((HUGE, 3), b"\0" * 64)), compression=zipfile.ZIP_DEFLATED)


def corrupted():
    content = bytearray(whole_npz())
    place = content.index(b"\x93NUMPY") + 140  # in the values of the first array
    content[place] ^= 0xFF
    return bytes(content)


def nested_json():
    return safetensors(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}")


FILES = {
    # pickles, under any name
    "pickle.pt": (lambda folder: pickle.dumps(Bomb(folder)), "is a pickle, which runs code"),
    "renamed.safetensors": (lambda folder: pickle.dumps(Bomb(folder), protocol=4), "is a pickle, which runs code"),
    "protocol0.pkl": (lambda folder: pickle.dumps(Bomb(folder), protocol=0), "is a pickle, which runs code"),
    "checkpoint.npz": (
        lambda folder: archive(("archive/data.pkl", pickle.dumps(Bomb(folder))), ("archive/data/0", b"\0")),
        "dynatlas convert",
    ),
    "objects.npz": (object_array, "holds pickled Python objects, which run code"),
    "structured.npz": (
        lambda _: archive(("W_rec.npy", npy((1,), b"\0" * 8, "<f4,<f4"))),
        "is damaged: its header is not|has dtype",
    ),
    # sizes that are not there
    "huge.npz": (lambda _: bomb_of_zeros(), "would take 2.64e.13 bytes; expected at most 5e.08: max_gb"),
    "huge.npy": (lambda _: npy((HUGE, HUGE)), "would take 9.67e.24 bytes"),
    "digits.npz": (lambda _: archive(("W_rec.npy", npy((10**400, 3)))), "would take over 1e.300 bytes"),
    "layers.safetensors": (
        lambda _: safetensors({"rnn.weight_hh_l" + "1" * 5000: entry([3, 3], 0, 36)}, b"\0" * 36),
        "has no recurrent layer",
    ),
    "surrogate.safetensors": (
        lambda _: safetensors({"\ud800.weight_hh": entry([3, 3], 0, 36)}, b"\0" * 36),
        r"the name '\\ud800.weight_hh' is no Unicode text",
    ),
    "negative.npz": (lambda _: archive(("W_rec.npy", npy((-1, 3), b"\0" * 12))), "which no array can have"),
    "many_axes.npz": (lambda _: archive(("W_rec.npy", npy((1,) * 50, b"\0" * 4))), "which no array can have"),
    "text_shape.npz": (lambda _: archive(("W_rec.npy", npy("('a', 3)"))), "is damaged: its header is not|no array can"),
    "lying.npz": (lambda _: lying_member(), r"takes 36 bytes, but it has 8"),
    "huge.safetensors": (lambda _: safetensors({"w": entry([HUGE, 3], 0, 12 * HUGE)}), "would take 2.64e.13 bytes"),
    "overflow.safetensors": (
        lambda _: safetensors({"w": entry([2**33, 2**31], 0, 0)}),
        r"would take 1.48e.20 bytes",
    ),
    "header.safetensors": (lambda _: safetensors({}, length=90_000_000), "truncated: its header has 90000000 bytes"),
    "negative.safetensors": (
        lambda _: safetensors({"w": entry([-3, -3], 0, 36)}, b"\0" * 36),
        "has the shape .-3, -3., which no array can have",
    ),
    "overlap.safetensors": (
        lambda _: safetensors({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, b"\0" * 12),
        "'b' with shape .2,. should take 8 bytes from offset 8, but its header says 4 to 12",
    ),
    "outside.safetensors": (
        lambda _: safetensors({"a": entry([2], 0, 8)}, b"\0" * 4),
        "truncated or has trailing bytes: the header describes",
    ),
    "behind.safetensors": (
        lambda _: safetensors({"a": entry([1], 0, 4)}, b"\0" * 4 + pickle.dumps(Bomb)),
        "truncated or has trailing bytes: the header describes",
    ),
    "type.safetensors": (lambda _: safetensors({"a": entry([1], 0, 4, "OBJECT")}, b"\0" * 4), "has the type 'OBJECT'"),
    "fraction.safetensors": (lambda _: safetensors({"a": entry([1.5], 0, 6)}, b"\0" * 6), "must be whole numbers"),
    "list.safetensors": (lambda _: safetensors(b'{"a": [1, 2]}'), "its header is not a safetensors header"),
    "nested.safetensors": (lambda _: nested_json(), "its header is not a safetensors header"),
    # archives
    "slip.npz": (lambda _: archive(("../../W_rec.npy", npy((1,), b"\0" * 4))), "whose name points outside the archive"),
    "absolute.npz": (lambda _: archive(("/etc/W_rec.npy", npy((1,), b"\0" * 4))), "name points outside the archive"),
    "link.npz": (lambda _: linked_member(), "that is a symbolic link; it is not opened"),
    "script.npz": (lambda _: archive(("run.py", "raise SystemExit")), "expected only the arrays of an .npz file"),
    "twice.npz": (
        lambda _: archive(("W.npy", npy((1,), b"\0" * 4)), ("W.npy", npy((1,), b"\1" * 4))),
        "two arrays have the same name",
    ),
    "odd.npz": (
        lambda _: archive(("W.npy", npy((1,), b"\0" * 4)), compression=zipfile.ZIP_BZIP2),
        "has compression method 12; expected stored or deflated",
    ),
    "truncated.npz": (lambda _: whole_npz()[:-40], "is damaged or truncated"),
    "corrupted.npz": (lambda _: corrupted(), "is damaged or truncated: Bad CRC-32"),
    "empty.keras": (
        lambda _: archive(("config.json", "{}"), ("model.weights.h5", "")),
        "empty.keras/model.weights.h5 is damaged or truncated",
    ),
    "lambda.keras": (lambda_keras, "has a Lambda layer, which is code in the file and is not run"),
    "nonsense.keras": (
        lambda _: archive(("config.json", "{"), ("model.weights.h5", "")),
        "the model's configuration is not JSON",
    ),
    "slip.keras": (
        lambda _: archive(("config.json", "{}"), ("model.weights.h5", ""), ("../assets/x", "")),
        "has a member '../assets/x' whose name points outside the archive",
    ),
    "bomb.keras": (bomb_keras, "'model.weights.h5' has the shape .* and would take 4.29e.09 bytes"),
    # neither
    "empty.safetensors": (lambda _: b"", "is not a supported file of weights"),
    "noise.h5": (lambda _: bytes(range(256)) * 8, "is not a supported file of weights"),
    "page.npz": (lambda _: b"<!doctype html><html>not found</html>", "is not a supported file of weights"),
}


@pytest.fixture
def watched(tmp_path):
    """The folder of the test; at the end nothing must have run, and little memory been taken."""
    tracemalloc.start()
    yield tmp_path
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MOST_ALLOCATED
    assert not (tmp_path / MARK).exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused(name, watched):
    make, message = FILES[name]
    path = watched / name
    path.write_bytes(make(watched))
    with pytest.raises(NetworkError, match=message):
        read_network(path)


def recurrent(file, shape=(2, 3)):
    file["layers/rnn/cell/vars/0"] = np.ones(shape, np.float32)


def lambda_layer(file):
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAAAAAAAAA="}}
    layer = {"class_name": "Lambda", "config": {"name": "evil", "function": code}}
    file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}})
    recurrent(file)


def bare_lambda(file):
    gru = {"class_name": "GRU", "config": {"name": "rnn", "activation": {"class_name": "__lambda__", "config": {}}}}
    file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": [gru]}})
    recurrent(file)


def deep_configuration(file):
    file.attrs["model_config"] = "[" * 5000 + "]" * 5000
    recurrent(file)


def deep_groups(file):
    group = file
    for _ in range(60):
        group = group.create_group("g")
    group["x"] = 1.0


def virtual(file):
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4,))
    file.create_virtual_dataset("layers/rnn/cell/vars/0", layout)


def links(link):
    def write(file):
        file["layers/rnn/cell/vars/0"] = link

    return write


HDF5 = {
    "lambda layer": (lambda_layer, "has a Lambda layer, which is code in the file and is not run"),
    "lambda activation": (bare_lambda, "has a Lambda layer, which is code in the file and is not run"),
    "huge": (
        lambda file: file.create_dataset("layers/rnn/cell/vars/0", (HUGE, 3), "f4", chunks=(1024, 3)),
        "would take 2.64e.13 bytes",
    ),
    "huge together": (
        lambda file: [file.create_dataset(f"{n}/vars/0", (2**25,), "f4", chunks=(1024,)) for n in range(4)],
        "holds 1.07e.09 bytes of arrays",
    ),
    "external link": (
        links(h5py.ExternalLink("/etc/passwd", "/x")),
        "is a link .ExternalLink.; links are not followed",
    ),
    "soft link": (links(h5py.SoftLink("/nowhere")), "is a link .SoftLink.; links are not followed"),
    "external storage": (
        lambda file: file.create_dataset("layers/rnn/cell/vars/0", (4,), "f4", external=[("/etc/passwd", 0, 16)]),
        "stores its values in another file",
    ),
    "virtual": (virtual, "stores its values in another file"),
    "strings": (
        lambda file: file.create_dataset("layers/rnn/cell/vars/0", data=["a", "b"]),
        "has dtype object; expected numbers",
    ),
    "references": (
        lambda file: file.create_dataset("r", (2,), h5py.ref_dtype),
        "has dtype object; expected numbers",
    ),
    "filter": (
        lambda file: file.create_dataset("x", data=np.zeros(9), compression="lzf"),
        "uses the filters .32000.; expected only those built into HDF5",
    ),
    "deep groups": (deep_groups, "groups are nested more than 32 deep"),
    "deep configuration": (deep_configuration, "configuration is not JSON|nested more than 50 deep"),
    "no network": (recurrent, "the file has no SimpleRNN, GRU or LSTM"),
}


@pytest.mark.parametrize("name", HDF5)
def test_a_hostile_hdf5_file_is_refused(name, watched):
    write, message = HDF5[name]
    path = watched / "net.h5"
    with h5py.File(path, "w") as file:
        write(file)
    with pytest.raises(NetworkError, match=message):
        read_network(path)


def test_a_truncated_hdf5_file_is_refused(watched):
    path = watched / "net.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(5000.0)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(NetworkError, match="is damaged or truncated"):
        read_network(path)


def test_a_link_is_followed_and_what_is_no_file_is_refused(watched):
    (watched / "real.npz").write_bytes(whole_npz())
    (watched / "link.npz").symlink_to(watched / "real.npz")
    assert read_network(watched / "link.npz").source  # as in a DataLad data set
    (watched / "gone.npz").symlink_to(watched / "annex.npz")
    with pytest.raises(NetworkError, match=r"is a symbolic link to .*annex.npz, which cannot be read; fetch"):
        read_network(watched / "gone.npz")
    with pytest.raises(NetworkError, match="is a folder; expected a file of weights"):
        read_network(watched)
    os.mkfifo(watched / "pipe.npz")
    with pytest.raises(NetworkError, match="is not a regular file"):
        read_network(watched / "pipe.npz")
    with pytest.raises(NetworkError, match=r"cannot read .*nothing.npz: No such file"):
        read_network(watched / "nothing.npz")


def test_the_file_that_all_these_are_spoilt_from_is_read(watched):
    (watched / "net.npz").write_bytes(whole_npz())
    assert read_network(watched / "net.npz").n_states == 3
    (watched / "mine.npz").write_bytes(archive(("W_rec.npy", npy((2, 2), np.eye(2, dtype="<f4").tobytes()))))
    assert read_network(watched / "mine.npz").n_inputs == 0
    header = {"weight_hh": entry([2, 2], 8, 24), "weight_ih": entry([2, 1], 0, 8)}
    (watched / "net.safetensors").write_bytes(safetensors(header, np.arange(6, dtype="<f4").tobytes()))
    network = read_network(watched / "net.safetensors")
    np.testing.assert_array_equal(network.step.layers[0].recurrent_weights, [[2, 3], [4, 5]])

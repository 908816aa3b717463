# SPDX-License-Identifier: BSD-2-Clause
"""Weight files: what is saved comes back, and nothing else is taken."""

import errno
import io
import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from golden import weights as weights_module
from golden.data import Scaling
from golden.spec import parse
from golden.weights import Weights, WeightsError, load, save

TABLE = {
    "inputs": 5,
    "classes": 3,
    "batch": 2,
    "layer": [{"neurons": 4, "fw": 9}, {"neurons": 6, "rule": "tlc", "wb": 14, "fw": 12}],
}
SPEC = parse(TABLE, "small.toml")
GIVE = "give an .npz that was saved by a training of this network"
MEND = "take another copy, or train again"


def sample(seed=1, **changes):
    random = np.random.default_rng(seed)
    made = Weights(
        W=(random.integers(-2048, 2048, (4, 6)), random.integers(-8192, 8192, (6, 5))),
        V=(None, random.integers(-32768, 32768, (6, 3))),
        labels=("ant", "bee", "Käfer"),
        scaling=Scaling(low=np.array([0, -1, 2.5, 0, 0]), high=np.array([1, 1, 2.5, 9, 1e300])),
        progress={"accuracies": [[50.0, 61.25]]},
    )
    return replace(made, **changes)


def same(one, other):
    """Compare all that two weights hold."""

    def plain(weights):
        scaling = weights.scaling
        arrays = [*weights.W, *weights.V, *weights.A]
        arrays += [scaling and scaling.low, scaling and scaling.high]
        return (
            [None if array is None else (str(array.dtype), array.tolist()) for array in arrays],
            weights.labels,
            weights.progress,
        )

    return plain(one) == plain(other)


def test_convolutions(tmp_path):
    """A row of W for each map, a row of V for each feature; and no other shape of them is taken."""
    layer = {"kind": "conv", "maps": 3, "kernel": 3, "pool": 2, "rule": "tlc"}
    table = {"shape": [2, 4, 4], "classes": 3, "layer": [layer]}
    spec, random = parse(table, "conv.toml"), np.random.default_rng(1)
    made = Weights(W=(random.integers(-99, 99, (3, 19)),), V=(random.integers(-99, 99, (12, 3)),))
    path = tmp_path / "w.npz"
    save(path, spec, made)
    assert same(load(path, spec), made)
    for change in ({"signed": False, "fx": 7}, {"pool": 1}, {"kernel": 1, "fw": 10}):
        other = parse(table | {"layer": [layer | change]}, "other.toml")
        with pytest.raises(WeightsError, match=r"is of another network: layer 0: (neurons|conv): "):
            load(path, other)


def test_means(tmp_path):
    """Centred layers have means, within the range of their inputs; others have none."""
    conv = {"kind": "conv", "maps": 3, "kernel": 3, "centred": True}
    table = {"shape": [2, 4, 4], "classes": 3, "layer": [conv, {"neurons": 2, "centred": True}]}
    spec, path = parse(table, "c.toml"), tmp_path / "w.npz"
    made = Weights(
        W=(np.ones((3, 19), int), np.ones((2, 49), int)),
        A=(np.array([-128, 127]) << 16, np.arange(48) * 300_000),
    )
    save(path, spec, made)
    assert same(load(path, spec), made)
    for layer, value, limits in (
        (0, 128 << 16, "-8388608 to 8323072"),
        (0, -(1 << 23) - 1, "-8388608 to 8323072"),
        (1, -1, "0 to 16711680"),
    ):
        wrong = [array.copy() for array in made.A]
        wrong[layer][1] = value
        message = rf"not written: A{layer}\[1\]: must be from {limits}, in 25 bits, not {value}"
        with pytest.raises(WeightsError, match=message):
            save(path, spec, replace(made, A=tuple(wrong)))
    with pytest.raises(WeightsError, match="not written: A0: is missing"):
        save(path, spec, replace(made, A=()))
    plain = parse(table | {"layer": [conv | {"centred": False}, {"neurons": 2}]}, "p.toml")
    with pytest.raises(WeightsError, match="is of another network: layer 0: centred: True in the"):
        load(path, plain)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "w.npz"
    save(path, SPEC, sample())
    return path


def fault(path, spec=SPEC):
    """Give what is said of a file, without its name."""
    with pytest.raises(WeightsError) as caught:
        load(path, spec)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def rewritten(path, **changes):
    """Change arrays of a file (None removes one), with a digest that fits."""
    with np.load(path) as read:
        content = {key: read[key] for key in read.files} | changes
    content = {key: array for key, array in content.items() if array is not None}
    arrays = {key: array for key, array in content.items() if key not in ("about", "digest")}
    if "digest" not in changes and "about" in content:
        content["digest"] = np.array(weights_module._digest(str(content["about"]), arrays))
    np.savez_compressed(path, **content)


def test_what_is_saved_comes_back(file, tmp_path):
    assert same(load(file, SPEC), sample())
    bare = Weights(W=tuple(w // 2 for w in sample().W), V=sample().V)
    save(tmp_path / "bare.npz", SPEC, bare)
    back = load(tmp_path / "bare.npz", SPEC)
    assert same(back, bare)
    assert (back.labels, back.scaling, back.progress) == ((), None, {})


def test_classifiers_may_be_left_out_where_none_is_trained(tmp_path):
    spec = parse({"inputs": 2, "classes": 2, "layer": [{"neurons": 3}]}, "t")
    save(tmp_path / "w", spec, Weights(W=(np.ones((3, 3), int),)))
    assert load(tmp_path / "w", spec).V == (None,)


def test_the_same_weights_give_the_same_file(file, tmp_path):
    save(tmp_path / "again.npz", SPEC, sample())
    assert (tmp_path / "again.npz").read_bytes() == file.read_bytes()


def test_numpy_reads_it(file):
    with np.load(file) as read:
        assert sorted(read) == ["V1", "W0", "W1", "about", "digest", "high", "low"]
        assert read["W1"].dtype == np.int32
        assert np.array_equal(read["W1"], sample().W[1])
        assert json.loads(str(read["about"]))["labels"] == ["ant", "bee", "Käfer"]


def test_the_ends_of_the_ranges(tmp_path):
    for value in (-2048, 2047):
        made = sample(W=(np.full((4, 6), value), sample().W[1]))
        save(tmp_path / "w", SPEC, made)
        assert same(load(tmp_path / "w", SPEC), made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W": sample().W[:1]}, "there are 1 W for 2 layers; give one for each"),
        ({"V": (None, None)}, "V1: is missing"),
        ({"V": (sample().V[1], sample().V[1])}, "'V0': is not of this network, which has V1, "),
        (
            {"W": (sample().W[0].T, sample().W[1])},
            r"W0: must be of shape \(4, 6\), not \(6, 4\), it is transposed",
        ),
        ({"W": (sample().W[0] * 0.5, sample().W[1])}, "W0: must be integers, not float64"),
        (
            {"W": (np.full((4, 6), 2048), sample().W[1])},
            r"W0\[0, 0\]: must be from -2048 to 2047, in 12 bits, not 2048",
        ),
        (
            {"V": (None, np.full((6, 3), -32769))},
            r"V1\[0, 0\]: must be from -32768 to 32767, in 16 bits, not -32769",
        ),
        ({"labels": ("a", "b")}, "labels: must be 3, one a class, not 2"),
        ({"labels": (1, 2, 3)}, "labels: must be texts"),
        ({"labels": ("a" * 2**21, "b", "c")}, "about: labels and progress take .* bytes; shorten"),
        ({"progress": [1]}, "progress: must be names and values"),
        ({"scaling": Scaling(low=np.zeros(4), high=np.ones(5))}, r"low: must be of shape \(5,\)"),
        (
            {"scaling": Scaling(low=np.zeros(5), high=np.full(5, np.nan))},
            "low, high: must be finite numbers",
        ),
        ({"scaling": Scaling(low=np.ones(5), high=np.zeros(5))}, "low: must be at most high"),
    ],
)
def test_only_weights_of_the_network_are_saved(file, change, message):
    before = file.read_bytes()
    with pytest.raises(WeightsError, match=f"w.npz: not written: {message}"):
        save(file, SPEC, sample(**change))
    assert file.read_bytes() == before


def test_a_full_disk_loses_nothing(file, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WeightsError, match=r"w\.npz: cannot be written: No space left on device;"):
        save(file, SPEC, sample(2))
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_places_that_are_none(tmp_path):
    with pytest.raises(WeightsError, match="cannot be written: No such file or directory"):
        save(tmp_path / "no" / "w.npz", SPEC, sample())
    with pytest.raises(WeightsError, match="cannot be written: Is a directory"):
        save(tmp_path, SPEC, sample())
    assert fault(tmp_path / "none") == f"cannot be read: No such file or directory; {GIVE}"
    assert fault(tmp_path) == f"is not a file; {GIVE}"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert fault(tmp_path / "pipe") == f"is not a file; {GIVE}"
    with pytest.raises(WeightsError) as caught:
        load(tmp_path / "two\nlines", SPEC)
    assert r"two\nlines" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_of_other_kinds(tmp_path):
    path = tmp_path / "w.npz"
    for content in (b"", b"PK", b"\x93NUMPY", b"layers = 3\n" * 100, os.urandom(1000)):
        path.write_bytes(content)
        assert fault(path) == f"is not an .npz, or is damaged; {GIVE}"
    np.savez(path, W0=np.zeros((4, 6), int), W1=np.zeros((6, 5), int))
    assert fault(path) == (
        f"about: is missing, so nothing says which network these weights are of; {GIVE}, or save "
        "the arrays with golden.weights.save"
    )
    path.write_bytes(bytes(2**26))
    assert fault(path) == (f"is larger than weights of small.toml can be; {GIVE}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": 4}, "inputs: 5 in the file, 4 in other.toml"),
        ({"classes": 4}, "classes: 3 in the file, 4 in other.toml"),
        ({"seed": 2}, "seed: 1 in the file, 2 in other.toml"),
        ({"layer": TABLE["layer"][:1]}, "layers: 2 in the file, 1 in other.toml"),
        ({0: {"neurons": 5}}, "layer 0: neurons: 4 in the file, 5 in other.toml"),
        ({1: {"rule": "sym"}}, "layer 1: rule: 'tlc' in the file, 'sym' in other.toml"),
        ({0: {"fw": 10}}, "layer 0: fw: 9 in the file, 10 in other.toml"),
        ({1: {"wb": 13}}, "layer 1: wb: 14 in the file, 13 in other.toml"),
        ({0: {"fx": 7}}, "layer 0: fx: 8 in the file, 7 in other.toml"),
        ({1: {"fy": 3}}, "layer 1: fy: 4 in the file, 3 in other.toml"),
        ({1: {"yb": 7}}, "layer 1: yb: 8 in the file, 7 in other.toml"),
        ({1: {"mb": 1, "ms": 2}}, "layer 1: mb: 2 in the file, 1 in other.toml"),
        ({1: {"ms": 3}}, "layer 1: ms: 2 in the file, 3 in other.toml"),
        ({1: {"fe": 7}}, "layer 1: fe: 8 in the file, 7 in other.toml"),
        (
            {0: {"init": "gauss"}},
            "layer 0: init: 'uniform' in the file, 'gauss' in other.toml",
        ),
        ({1: {"dropout": 2}}, "layer 1: dropout: 0 in the file, 2 in other.toml"),
    ],
)
def test_another_network(file, change, message):
    layers = [layer | change.get(i, {}) for i, layer in enumerate(TABLE["layer"])]
    top = {key: value for key, value in change.items() if isinstance(key, str)}
    other = parse(TABLE | {"layer": layers} | top, "other.toml")
    assert fault(file, other) == (
        f"is of another network: {message}; give the description that it was trained with, or "
        "another file"
    )


def test_what_is_only_for_training_may_differ(file):
    layers = [
        {"lanes": 2, "lr": 9, "init_bits": 3, "loss": "ce", **TABLE["layer"][0]},
        {"lrv": 5, **TABLE["layer"][1]},
    ]
    other = {"name": "other", "batch": 8, "epochs": 3, "lr_step": 2, "layer": layers}
    assert same(load(file, parse(TABLE | other, "other.toml")), sample())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W1": None}, f"W1: is missing; {MEND}"),
        ({"V1": None}, f"V1: is missing; {MEND}"),
        ({"low": None}, f"low: is missing; {MEND}"),
        (
            {"W2": np.zeros(3)},
            f"'W2': is not of this network, which has V1, W0, W1, high, low; {GIVE}",
        ),
        ({"W0": sample().W[0] / 2}, f"W0: must be integers, not float64; {MEND}"),
        ({"W0": np.full((4, 6), "a")}, f"W0: must be integers, not <U1; {MEND}"),
        ({"W0": np.full((4, 6), True)}, f"W0: must be integers, not bool; {MEND}"),
        (
            {"W0": sample().W[0].T},
            f"W0: must be of shape (4, 6), not (6, 4), it is transposed; {MEND}",
        ),
        ({"W0": np.zeros(24, int)}, f"W0: must be of shape (4, 6), not (24,); {MEND}"),
        (
            {"W0": np.zeros((2**14, 256), int)},
            f"W0: is larger than in any weight file of this network; {GIVE}",
        ),
        (
            {"W0": np.full((4, 6), 70000)},
            f"W0[0, 0]: must be from -2048 to 2047, in 12 bits, not 70000; {MEND}",
        ),
        (
            {"W0": np.full((4, 6), 2**64 - 1, np.uint64)},
            f"W0[0, 0]: must be from -2048 to 2047, in 12 bits, not {2**64 - 1}; {MEND}",
        ),
        (
            {"V1": np.full((6, 3), 2**15)},
            f"V1[0, 0]: must be from -32768 to 32767, in 16 bits, not 32768; {MEND}",
        ),
        ({"low": np.full(5, np.inf)}, f"low, high: must be finite numbers; {MEND}"),
        ({"about": np.array("{")}, f"about: is damaged; {MEND}"),
        ({"about": np.array("[1, 2]")}, f"about: is damaged; {MEND}"),
        ({"about": np.array("[" * 100_000)}, f"about: is damaged; {MEND}"),
        ({"about": np.array('{"network": 7}')}, f"about: is damaged; {MEND}"),
        ({"about": None}, "about: is missing, so nothing says which network"),
        ({"digest": None}, "digest: is missing, so nothing says which network"),
        (
            {"about": np.array('{"network": {"inputs": 5, "classes": 3, "layers": [1, 2]}}')},
            "is of another network: layer 0: neurons: None in the file, 4 in small.toml; ",
        ),
    ],
)
def test_a_file_with_another_content(file, change, message):
    rewritten(file, **change)
    said = fault(file)
    assert said == message if message.endswith((MEND, GIVE)) else said.startswith(message)


def test_objects_are_never_unpickled(file):
    rewritten(file, W0=np.array([[print]], object))
    assert fault(file) == f"W0: is damaged; {MEND}"


@pytest.mark.parametrize("key", ["W0", "W1", "V1", "low", "high"])
def test_numbers_that_were_changed(file, key):
    with np.load(file) as read:
        changed = read[key].copy()
        digest = read["digest"]
    changed.flat[3] = 1 - changed.flat[3]
    rewritten(file, digest=digest, **{key: changed})
    assert fault(file).startswith("is damaged: it does not hold what was saved (digest); ")


def test_a_progress_that_was_changed(file):
    with np.load(file) as read:
        about, digest = str(read["about"]), read["digest"]
    rewritten(file, digest=digest, about=np.array(about.replace("61.25", "91.25")))
    assert fault(file).startswith("is damaged: it does not hold what was saved (digest); ")


def repacked(path, change):
    """Write all members of a file again, after `change(name, content)`."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, change(name, content))


def test_sizes_that_no_memory_holds(file):
    def huge(name, content):
        if name != "W0.npy":
            return content
        made = io.BytesIO()
        head = {"descr": "<i4", "fortran_order": False, "shape": (2**40, 2**10)}
        np.lib.format.write_array_header_2_0(made, head)
        return made.getvalue()

    repacked(file, huge)
    assert fault(file) == f"W0: is damaged; {MEND}"


def test_a_member_that_unpacks_to_more_than_memory_holds(file):
    # A thousandth of it lies in the file.
    repacked(file, lambda name, content: content + bytes(2**25) * (name == "W1.npy"))
    assert file.stat().st_size < 2**17
    assert fault(file) == f"W1: is larger than in any weight file of this network; {GIVE}"


def test_members_that_are_there_twice(file):
    with zipfile.ZipFile(file, "a") as archive:
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("W0.npy", archive.read("W1.npy"))
    assert fault(file) == f"is damaged: its keys are not those that were saved; {MEND}"


def refused_or_equal(path, content):
    """Read a file of this content; tell whether it was refused."""
    path.write_bytes(content)
    try:
        assert same(load(path, SPEC), sample())
    except WeightsError:
        return True
    return False


def test_every_file_that_was_cut(file):
    content = file.read_bytes()
    for length in range(len(content)):
        assert refused_or_equal(file, content[:length]), length


def test_files_with_bits_that_flipped(file):
    random, content = np.random.default_rng(0), file.read_bytes()
    refused = 0
    for _ in range(1500):
        changed = bytearray(content)
        for _ in range(random.integers(1, 4)):
            changed[random.integers(len(changed))] ^= 1 << random.integers(8)
        refused += refused_or_equal(file, bytes(changed))
    # The rest are times, attributes and other padding of the archive.
    assert refused > 1000


def test_files_with_parts_that_were_lost(file):
    random, content = np.random.default_rng(1), file.read_bytes()
    for _ in range(300):
        start, stop = sorted(random.integers(0, len(content), 2))
        cut = content[:start] + content[stop:]
        assert refused_or_equal(file, cut) or start == stop
        assert refused_or_equal(file, content[:start] + bytes(stop - start) + content[stop:]) or (
            stop - start < 40
        )

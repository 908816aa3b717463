# SPDX-License-Identifier: BSD-2-Clause
"""CSV files and .npz: what is read, and every message."""

import io
from contextlib import suppress

import numpy as np
import pytest

from golden.data import DataError, load
from golden.spec import DataSpec, SpecError, parse

CSV = "a,b,kind\n" + "".join(f"{i},{i * i - 3.5},{'cat' if i % 3 else 'dog'}\n" for i in range(20))


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def of(path, **keys):
    return load(DataSpec(path.name, str(path), **keys))


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def check_table(data):
    assert data.labels == ("cat", "dog")
    assert data.features == ("a", "b")
    assert (data.train_x.dtype, data.train_y.dtype) == (np.uint8, np.int64)
    assert (len(data.train_x), len(data.test_x)) == (16, 4)
    assert np.bincount(data.test_y).tolist() == [3, 1]


def test_csv(tmp_path):
    data = of(write(tmp_path / "t.csv", CSV))
    check_table(data)
    # By hand: row i has a = i, and a class that follows from it.
    low, high = data.scaling.low[0], data.scaling.high[0]
    rows = {int(np.floor((i - low) * 255 / (high - low) + 0.5)): i for i in range(20)}
    for x, y in zip(data.train_x, data.train_y, strict=True):
        assert y == (rows[x[0]] % 3 == 0)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + CSV.encode(),
        CSV.replace("\n", "\r\n"),
        CSV.replace("cat", '"cat"').replace("a,b,", '"a","b",'),
        CSV + "\n",
        CSV.rstrip("\n"),
    ],
)
def test_the_same_csv_in_other_words(content, tmp_path):
    data, plain = of(write(tmp_path / "t.csv", content)), of(write(tmp_path / "p.csv", CSV))
    check_table(data)
    assert data.digest == plain.digest


def test_the_column_of_the_labels_and_integers_as_labels(tmp_path):
    content = "y,a\n" + "".join(f"{(10, 9, -1)[i % 3]},{i}\n" for i in range(30))
    data = of(write(tmp_path / "t.csv", content), label="y")
    assert (data.labels, data.features) == (("-1", "9", "10"), ("a",))
    same = of(write(tmp_path / "f.csv", content.replace("10,", "10.0,")), label="y")
    assert (same.labels, same.digest) == (data.labels, data.digest)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: is empty; give a header"),
        ("a,b,kind\n", "there is no row below the header; give samples"),
        ("a;b;kind\n1;2;x\n", "line 1: there is one column, 'a;b;kind'; give features and a label"),
        ("1,2,3\n4,5,6\n", "line 1: all cells are numbers; give a header there"),
        ("a,a,kind\n1,2,x\n", "line 1: two columns are named 'a'"),
        ("a,,kind\n1,2,x\n", "line 1: column 2 has no name"),
        (CSV + "1,2\n", "line 22: has 2 cells, but the header has 3"),
        (CSV + "1,two,cat\n", "line 22, column 'b': must be a finite number, not 'two'; mend it"),
        (CSV + "inf,2,cat\n", "line 22, column 'a': must be a finite number, not 'inf'"),
        (CSV + ",2,cat\n", "line 22, column 'a': the value is missing (''); fill it in"),
        (CSV + "NaN,2,cat\n", "line 22, column 'a': the value is missing ('NaN')"),
        (CSV + "1,2,\n", "line 22, column 'kind': the value is missing ('')"),
        (CSV + '"1,2,cat\n', "is not CSV, in or after line"),
        (CSV.replace("dog", "cat"), "all samples to train on are of one class, 'cat' in column"),
        ("a,y\n1,0.5\n2,1\n", "line 2, column 'y': a label must be an integer or a text, not '0.5"),
        ("a,y\n1,x\n2,z\n", "no class has two samples"),
        ("a,y\n" + "".join(f"{i},{i}\n" for i in range(1025)), "there are 1025 classes in column"),
        (b"a,b,kind\n1,2,\xff\n", "is not a text in UTF-8; save it as UTF-8"),
        ("a,y\n1e308,1\n-1e308,2\n1e308,1\n-1e308,2\n", "the range of feature 'a' is too large"),
        ("a,b\n1\x1b[31m\n,2\n", "line 2"),
    ],
)
def test_messages_of_csv(content, message, tmp_path):
    path = write(tmp_path / "t.csv", content)
    with pytest.raises(DataError) as error:
        of(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert str(error.value).isprintable()


def test_too_many_features(tmp_path):
    names = ",".join(f"f{i}" for i in range(65537))
    row = ",".join("1" for _ in range(65537))
    with pytest.raises(DataError, match="a sample has 65536 features, which must be from 1 to 65"):
        of(write(tmp_path / "t.csv", f"{names}\n{row}\n"))


def test_no_such_column_and_no_such_file(tmp_path):
    path = write(tmp_path / "t.csv", CSV)
    with pytest.raises(DataError, match=r"label: there is no column 'sort'; its columns are 'a', "):
        of(path, label="sort")
    with pytest.raises(DataError, match=r"none\.csv: is not there; give data the path of"):
        of(tmp_path / "none.csv")


def test_constant_features_are_said(tmp_path):
    data = of(write(tmp_path / "t.csv", CSV.replace("a,b,", "a,b,c,").replace(",cat", ",7,cat")
                    .replace(",dog", ",7,dog")))  # fmt: skip
    assert len(data.warnings) == 1
    assert "1 of 3 features are the same in all training samples: 'c'" in data.warnings[0]
    assert not data.train_x[:, 2].any()


RANDOM = np.random.default_rng(1)
X, Y = RANDOM.normal(size=(30, 4)), np.arange(30) % 3


def test_npz(tmp_path):
    data = of(npz(tmp_path / "t.npz", x=X, y=Y))
    assert (data.labels, data.train_x.shape) == (("0", "1", "2"), (24, 4))
    pixels = RANDOM.integers(0, 256, (30, 5, 6), np.uint8)
    names = np.array(["x", "y", "z"])[Y]
    data = of(npz(tmp_path / "i.npz", x_train=pixels, y_train=names, x_test=pixels, y_test=names))
    assert (data.scaling, data.shape, data.labels) == (None, (5, 6), ("x", "y", "z"))
    assert np.array_equal(data.train_x, pixels.reshape(30, 30))
    assert np.array_equal(data.test_y, Y)


def test_a_class_that_training_lacks_is_said(tmp_path):
    data = of(npz(tmp_path / "t.npz", x_train=X, y_train=Y, x_test=X[:2], y_test=[1, 7]))
    assert data.labels == ("0", "1", "2", "7")
    assert "the test set has classes that the training set lacks: '7'" in data.warnings[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": X}, "must hold x_train, y_train, x_test, y_test, or x, y, not 'a'"),
        ({"x": X}, "must hold x_train"),
        ({"x": X, "y": Y, "x_test": X}, "holds x, y and also x_test"),
        ({"x": X, "y": Y[:9]}, "x has 30 samples, but y 9; give a label for each sample"),
        ({"x": X[:, 0], "y": Y}, "x: must be of shape (samples, features), not (30,)"),
        ({"x": X.astype(str), "y": Y}, "x: must be numbers, not <U"),
        ({"x": X.astype(complex), "y": Y}, "x: must be numbers, not complex128"),
        ({"x": X.astype(object), "y": Y}, "x: holds Python objects, which are not read"),
        ({"x": np.where(X[3, 1] == X, np.nan, X), "y": Y}, "x: sample 3, feature 1: must be a fin"),
        ({"x": X, "y": Y + 0.5}, "y: the label of sample 0 must be an integer or a text, not 0.5"),
        ({"x": X, "y": np.full(30, np.nan)}, "y: the label of sample 0 must be an integer"),
        ({"x": X, "y": np.eye(3)[Y]}, "y: must be of shape (samples,), not (30, 3); of one column"),
        ({"x": X, "y": Y * 0}, "all samples to train on are of one class, 0 in y"),
        ({"x": X[:0], "y": Y[:0]}, "there is not a sample; give some"),
        ({"x": X[:, :0], "y": Y}, "a sample has 0 features"),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:, :3], "y_test": Y},
            "a sample of x_test has the shape (3,), but one of x_train (4,)",
        ),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y.astype(str)}, "must both be int"),
    ],
)
def test_messages_of_npz(arrays, message, tmp_path):
    path = npz(tmp_path / "t.npz", **arrays)
    with pytest.raises(DataError) as error:
        of(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_keys_that_do_not_fit_the_data(tmp_path):
    whole = npz(tmp_path / "t.npz", x_train=X, y_train=Y, x_test=X, y_test=Y)
    with pytest.raises(DataError, match="has a test set of its own; remove test"):
        of(whole, test=0.3)
    pixels = npz(tmp_path / "p.npz", x=X.astype(np.uint8), y=Y)
    with pytest.raises(DataError, match="holds 8-bit numbers, which are not scaled; remove scale"):
        of(pixels, scale="global")


def test_truncated_files_are_said(tmp_path):
    packed = io.BytesIO()
    np.savez_compressed(packed, x=X, y=Y)
    for name, content in (("t.csv", CSV.encode()), ("t.npz", packed.getvalue())):
        read = 0
        for size in range(0, len(content), 7):
            path = write(tmp_path / name, content[:size])
            try:
                parse({"data": str(path), "layer": [{"neurons": 2}]}, "t.toml")
                read += 1
            except (DataError, SpecError) as error:
                said = str(error)
            else:
                continue
            assert str(path) in said
        # A table that ends with a row is a table.
        assert (read > 0) == (name == "t.csv")


def test_mangled_files_never_raise_another_error(tmp_path):
    packed = io.BytesIO()
    np.savez(packed, x=X, y=Y)
    content, random = packed.getvalue(), np.random.default_rng(2)
    for _ in range(60):
        mangled = bytearray(content)
        for place in random.integers(0, len(content), 3):
            mangled[place] = random.integers(256)
        with suppress(DataError):
            of(write(tmp_path / "t.npz", bytes(mangled)))

# SPDX-License-Identifier: BSD-2-Clause
"""The keys of a description that are about data, and the commands that show data."""

import json
import subprocess
import sys

import numpy as np
import pytest

from golden import __main__ as cli
from golden import data
from golden.data_spec import NONZERO
from golden.errors import InputError
from golden.runs import Integer, perform
from golden.spec import SpecError, load, parse

LAYER = [{"neurons": 2}]
CSV = "a,b,kind\n" + "".join(f"{i},{-i},{'$x' if i % 2 else 'y'}\n" for i in range(20))


def test_sizes_follow_from_the_data():
    for name, sizes in (
        ("digits", (64, 10)), ("mnist", (784, 10)), ("cifar10", (3072, 10)), ("wine", (13, 3)),
        ("breast-cancer", (30, 2)),
    ):  # fmt: skip
        spec = parse({"data": name, "layer": LAYER}, "t")
        assert (spec.inputs, spec.classes, str(spec.data)) == (*sizes, name)


@pytest.mark.parametrize("name", ["digits", "wine", "breast-cancer"])
def test_share_of_inputs_that_are_not_0(name):
    """It is what hardware of zeros left out may count on; a set without a share has few zeros."""
    share = np.mean(data.load(name).train_x != 0)
    assert share == pytest.approx(NONZERO.get(name, 1), abs=0.01)


def test_paths_begin_at_the_description(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "t.csv").write_text(CSV)
    config = tmp_path / "here" / "t.toml"
    config.write_text('data = "t.csv"\n[[layer]]\nneurons = 2\n')
    monkeypatch.chdir(tmp_path)
    spec = load("here/t.toml")
    assert (spec.inputs, spec.classes) == (2, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": 3}, "t.toml: data: must be a text, not 3"),
        ({"data": "a b"}, "t.toml: data: must be the name of a data set, or a path, not 'a b'; "),
        ({"data": "none.csv"}, "t.toml: data: none.csv: is not there; give data the path of"),
        ({"data": "no-such-set"}, "t.toml: data: 'no-such-set': there is no such data set"),
        ({"inputs": 63}, "t.toml: inputs: must be 64 for digits, not 63"),
        ({"classes": 9}, "t.toml: classes: must be 10 for digits, not 9"),
        ({"test": 0.2}, "t.toml: test: is not for digits, which has a test set; remove it"),
        ({"scale": "global"}, "t.toml: scale: is not for digits, which has 8-bit inputs; remove"),
        ({"label": "kind"}, "t.toml: label: names a column of a .csv, which data is not; remove"),
        ({"data": "wine", "test": 1}, "t.toml: test: must be from 0.01 to 0.9, not 1"),
        ({"data": "wine", "test": "0.2"}, "t.toml: test: must be a number, not '0.2'"),
        ({"data": "wine", "test": float("nan")}, "t.toml: test: must be from 0.01 to 0.9, not nan"),
        ({"data": "wine", "scale": "log"}, "t.toml: scale: must be one of feature, global, not"),
    ],
)
def test_messages(change, message):
    with pytest.raises(SpecError) as error:
        parse({"data": "digits", "layer": LAYER} | change, "t.toml")
    assert str(error.value).startswith(message)


def test_keys_of_data_without_data():
    for key, value in (("label", "a"), ("test", 0.2), ("scale", "global")):
        with pytest.raises(SpecError, match=f"t: {key}: is for data, which is missing"):
            parse({"inputs": 2, "classes": 2, "layer": LAYER, key: value}, "t")


def test_what_needs_no_data_does_without_where_sizes_are_given():
    table = {"data": "none.npz", "inputs": 5, "classes": 3, "layer": LAYER}
    spec = parse(table, "t.toml")
    assert (spec.inputs, spec.classes) == (5, 3)


def test_a_description_is_light_to_load():
    code = (
        "import sys; from golden import spec; spec.load(spec.CONFIGS / 'breast-cancer.toml'); "
        "print([name for name in ('torch', 'matplotlib', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_runs_are_of_the_content_of_files(tmp_path):
    def digest(folder, text):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "t.csv").write_text(text)
        spec = parse({"data": "t.csv", "layer": LAYER}, str(tmp_path / folder / "t.toml"))
        run = Integer.of(spec, name="run")
        assert str(tmp_path) not in json.dumps(run.settings)
        return run.digest

    assert digest("a", CSV) == digest("b", CSV)
    assert digest("a", CSV) != digest("a", CSV.replace("7,", "8,", 1))


def test_a_batch_larger_than_the_data_is_refused_before_any_run(tmp_path):
    runs = [
        Integer.of(
            parse({"data": "wine", "batch": batch, "layer": LAYER}, "t"), name=f"run {batch}"
        )
        for batch in (10, 1000)
    ]
    with pytest.raises(InputError, match="run 1000: batch: 1000 is more than the 142 samples"):
        perform(runs, tmp_path / "runs")
    assert not list((tmp_path / "runs").iterdir())


def test_the_command(tmp_path, capsys):
    config = tmp_path / "t.toml"
    (tmp_path / "t.csv").write_text(CSV)
    config.write_text('data = "t.csv"\n[[layer]]\nneurons = 2\n')
    assert cli.main(["data", str(config)]) == 0
    text = capsys.readouterr().out
    assert "samples   16 to train on, 4 to test on" in text
    assert "'$x'                           8 to train on       2 to test on" in text
    assert cli.main(["data", str(config), "--json", "--out", str(tmp_path / "out")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["classes"][1] == {"name": "y", "train": 8, "test": 2}
    assert (facts["inputs"], facts["low"], facts["high"]) == (2, 0, 255)
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == ["t-data.json", "t-data.md"]

    assert cli.main(["data", "digits", "--out", str(tmp_path / "out")]) == 0
    assert "64 (8 x 8), 8 bits, from 0 to 240" in capsys.readouterr().out
    assert (tmp_path / "out" / "digits-data.svg").is_file()
    (tmp_path / "t.csv").write_text("a,b\n1,x\n,y\n")
    assert cli.main(["data", str(config)]) == 2
    line = "line 3, column 'a': the value is missing (''); fill it in"
    assert line in capsys.readouterr().err


def test_the_baseline(tmp_path, capsys):
    config = tmp_path / "t.toml"
    config.write_text('data = "wine"\nepochs = 1\n[[layer]]\nneurons = 4\n')
    assert cli.main(["baseline", str(config), "--seeds", "2", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)["accuracy"]
    assert list(made) == ["integer model", "logistic regression", "float MLP"]
    assert [len(shares) for shares in made.values()] == [2, 2, 2]
    assert min(made["logistic regression"]) > 0.9

# SPDX-License-Identifier: BSD-2-Clause
"""A user's own data, and dense inputs of two classes, in RTL beside the golden model."""

import json

import numpy as np

from sim import __main__ as cli

TOML = """\
data = "own.csv"
label = "kind"
epochs = 2

[[layer]]
neurons = 6
lanes = 3
"""


def test_a_table_of_ones_own(tmp_path, capsys):
    random = np.random.default_rng(1)
    rows = [f"{a:.3f},{'wet' if a > b else 'dry'},{b:.3f}" for a, b in random.normal(size=(50, 2))]
    (tmp_path / "own.csv").write_text("a,kind,b\n" + "\n".join(rows) + "\n")
    config, out = tmp_path / "own.toml", tmp_path / "out"
    config.write_text(TOML)
    assert cli.main([str(config), "--out", str(out)]) == 0
    assert "80 samples trained" in (output := capsys.readouterr().out)
    assert "all equal" in output
    result = json.loads((out / "result.json").read_text())
    assert (result["samples"], result["test_samples"], result["mismatches"]) == (80, 10, 0)
    assert (result["layers"][0]["inputs"], result["layers"][0]["classes"]) == (2, 2)


def test_breast_cancer(tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["breast-cancer", "--samples", "300", "--out", str(out)]) == 0
    assert "300 samples trained" in (output := capsys.readouterr().out)
    assert "all equal" in output
    # Better than to say the larger class always.
    result = json.loads((out / "result.json").read_text())
    assert max(result["test_accuracy"]) > 71 / 113

# SPDX-License-Identifier: BSD-2-Clause
"""Samples that leave early: bit for bit beside the golden model, and what a run says of them."""

import json
from functools import partial

import numpy as np
import pytest

from golden.model import IntegerNetwork
from hw.ports import LEFT, Command
from sim import __main__ as cli
from sim.check import MismatchError, Pair
from sim.rtl import Rtl
from sim.stalled_layer import STREAMS, StalledLayer
from tests.sim.networks import describe, noise

THREE = describe(
    {"neurons": 7, "lanes": 3, "margin": 1},
    {"neurons": 5, "lanes": 2, "margin": 0.5, "rule": "tlc"},
    {"neurons": 6, "lanes": 4, "rule": "tlc"},
    inputs=6,
    classes=3,
)
TINY = """\
data = "digits"
[[layer]]
neurons = 6
lanes = 3
margin = 0.125
[[layer]]
neurons = 4
lanes = 2
"""


def test_samples_leave(tmp_path):
    """Among commands and samples that train, at thresholds that change, all streams stalled."""
    random = np.random.default_rng(1)
    stalled = partial(StalledLayer, rates=dict.fromkeys(STREAMS, 120), seed=3, sparse=True)
    commands = list(random.permutation([*[Command.INFER] * 30, *[Command.TRAIN] * 8]))
    commands[9:9] = [Command.READ]
    x, labels = noise(THREE, len(commands))
    at, lasts = [], []
    with Rtl(THREE, folder=tmp_path, quick=True, layer=stalled) as rtl:
        pair = Pair(rtl, IntegerNetwork(THREE))
        assert rtl.margins == [1, 0.5, None]
        for margins in ([1, 0.5], [0, 0], [None, None], [None, 0.1], [1e6, 2]):
            rtl.margins = [*margins, None]
            pair.exits.clear()
            for correct in pair.run(commands, labels, x):
                lasts.append(correct[:, -1].sum())
            pair.weights()
            at.append(np.bincount(np.concatenate(pair.exits), minlength=3).tolist())

        # Had the hardware another threshold than the golden model, it would show.
        pair.rtl = Other(rtl)
        with pytest.raises(MismatchError, match=r"layer 1, sample 150, y_beats: expected 0, got 6"):
            for _ in pair.infer(x, labels):
                pass
    mixed, first, never, second, far = at
    assert min(mixed) > 0
    assert first == [30, 0, 0]
    assert never == [0, 0, 30]
    assert second[0] == far[0] == 0
    assert second[1] > far[1]
    left = [sum(counts[:layer]) for layer in (1, 2) for counts in [np.sum(at, axis=0)]]
    assert [counts[LEFT] for counts in pair.counts[1:]] == left
    assert pair.saved[0]["forward"] == 0 < pair.saved[1]["forward"]


class Other:
    """Hardware that says that it has other thresholds than it has."""

    def __init__(self, rtl):
        self.rtl = rtl
        rtl.margins = [None, None, None]

    def __getattr__(self, name):
        return [0, 0, None] if name == "margins" else getattr(self.rtl, name)


def test_run(tmp_path, capsys):
    config, out = tmp_path / "tiny.toml", tmp_path / "out"
    config.write_text(TINY)
    arguments = [str(config), "--samples", "60", "--test", "40", "--out", str(out)]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    found = json.loads((out / "result.json").read_text())["early_exit"]
    assert found["margin"] == [0.125, None]
    assert sum(found["left"]) == pytest.approx(1)
    assert min(found["left"]) > 0
    shares = np.array(found["right"]) @ found["left"]
    assert found["accuracy"] == pytest.approx(shares)
    assert (
        f"early exit: {found['accuracy']:.2%} right; left at layer 0 {found['left'][0]:.1%} ("
        in (printed)
    )
    saved, spent = found["saved"], found["spent"]
    assert saved[0]["forward"] == 0 < saved[1]["forward"]
    # Layer 1 has two groups, and what it was spared it would have done.
    assert saved[1]["weight_reads"] == 2 * saved[1]["forward"]
    assert spent[1]["left"] == round(40 * found["left"][0])
    share = saved[1]["forward"] / (saved[1]["forward"] + sum(part["forward"] for part in spent))
    assert f"saved {share:.1%} of the forward clocks" in printed
    page = (out / "report.html").read_text()
    assert "Early exit" in page
    assert f"<td>forward clocks, saved</td><td>0</td><td>{saved[1]['forward']:,}</td>" in page

    arguments[arguments.index("60")] = "5"
    assert cli.main([*arguments, "--margin", "none"]) == 0
    capsys.readouterr()
    found = json.loads((out / "result.json").read_text())["early_exit"]
    assert (found["margin"], found["left"], found["right"][0]) == ([None, None], [0, 1], None)
    assert cli.main([*arguments, "--margin", "0"]) == 0
    assert json.loads((out / "result.json").read_text())["test_accuracy"][1] is None


@pytest.mark.parametrize(
    ("config", "margin", "message"),
    [
        (
            "digits",
            "1",
            "--margin 1: samples leave no layer of digits: give a layer below the last",
        ),
        ("digits-all", "1,2,3", "--margin 1,2,3: give one margin, or 2, one for each layer"),
        (
            "digits-all",
            "1,x",
            "--margin 1,x: must be numbers from 0 to 1,000,000, or none, not 'x'",
        ),
        ("digits-all", "nan", "--margin nan: must be numbers from 0 to"),
        ("digits-all", "-1", "--margin -1: must be numbers from 0 to"),
    ],
)
def test_margins(capsys, config, margin, message):
    assert cli.main([config, f"--margin={margin}"]) == 2
    assert message in capsys.readouterr().err

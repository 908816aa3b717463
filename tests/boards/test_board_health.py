# SPDX-License-Identifier: BSD-2-Clause
"""The health of a training on a board: the whole way from the gates to the files."""

import json

import numpy as np

from boards.training import train
from golden.data import Data
from golden.model import IntegerNetwork
from golden.order import order
from golden.spec import parse
from hw.network import Network
from hw.ports import COUNTERS, HEALTH
from hw.primitives import PORTABLE
from tests.boards.simulated_board import SimulatedPort, connect, sparse

SPEC = parse(
    {
        "name": "tiny",
        "inputs": 9,
        "classes": 5,
        "seed": 1,
        "epochs": 2,
        "layer": [{"neurons": 4, "lanes": 2}, {"neurons": 3, "lanes": 1, "health": True}],
    },
    "tiny.toml",
)


def test_train(tmp_path, capsys):
    """Each epoch's counts, of the layer that has them, are those of the golden model."""
    rng = np.random.default_rng(5)
    x = sparse(rng, 5)
    y = rng.integers(0, SPEC.classes, len(x))
    data = Data(x, y, x[:2], y[:2])
    golden = IntegerNetwork(SPEC)
    # Of what the board has done before, nothing counts.
    golden.train(x[:1], y[:1])
    watch, expected = golden.watch(), []
    for epoch in range(SPEC.epochs):
        for n in order(SPEC.seed, epoch, len(x)):
            golden.train(x[n : n + 1], y[n : n + 1], epoch)
        expected.append([{}, golden.take_health(watch)[1]])

    port = SimulatedPort(Network(spec=SPEC, primitives=PORTABLE), SPEC)
    board = connect(port, SPEC)
    assert len(list(board.train(x[:1], y[:1]))) == 1
    train(board, data, tmp_path, epochs=2, test=2)
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["health"] == expected
    assert all(counts["updates"] and counts["samples"] == 5 for _, counts in expected)
    assert tuple(board.counters(0)) == COUNTERS
    assert tuple(board.counters(1)) == (*COUNTERS, *HEALTH)
    printed = capsys.readouterr().out
    assert printed.count("\n  layer 1: weights at a limit 0.00%, updates rounded to 0 ") == 2
    assert "layer 0:" not in printed

    # Each stands beside the accuracies of its epoch, in a training that is taken up again too.
    train(connect(port, SPEC), data, tmp_path, epochs=3, test=2, resume=True)
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    before, last = result["health"][:2], result["health"][2]
    assert before == [None, None]
    assert len(result["test_accuracy"]) == 3
    assert last[1]["samples"] == 5

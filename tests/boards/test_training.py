# SPDX-License-Identifier: BSD-2-Clause
"""Training a board: what it is asked, and the files that are left, however it ends."""

import json
from dataclasses import replace

import numpy as np
import pytest

from boards.host import LinkError
from boards.training import train
from golden import weights
from golden.data import Data
from golden.errors import InputError
from golden.spec import parse
from golden.weights import Weights, WeightsError
from hw.plan import LayerPlan
from tests.boards.fake_board import SPEC, TABLE, FakeBoard, connect


def data(samples=30, tests=10):
    """Make a data set whose test samples are the first training samples."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (samples, SPEC.inputs), np.uint8)
    y = rng.integers(0, SPEC.classes, samples)
    return Data(x, y, x[:tests], y[:tests])


def test_train(tmp_path, capsys):
    """Every sample, the schedule of the learning rate, the files; no progress bar in a log file."""
    port = FakeBoard()
    folder = tmp_path / "new"
    accuracies = train(connect(port), data(), folder, epochs=5, test=7)
    assert accuracies == [[100.0, 100.0]] * 5
    assert port.registers == {
        0: [(6, 0), (6, 0), (7, 0), (7, 0), (8, 0)],
        1: [(6, 1), (6, 1), (7, 1), (7, 1), (8, 1)],
    }
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert result == {"name": "tiny", "samples": 150, "test_accuracy": accuracies}
    saved = weights.load(folder / "weights.npz", SPEC)
    assert [array.shape for array in saved.W] == [(4, 5), (3, 5)]
    assert saved.progress == {"accuracies": accuracies}
    assert sorted(path.name for path in folder.iterdir()) == ["result.json", "weights.npz"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [None, OSError("device disconnected")])
def test_line_cut(tmp_path, error):
    """The line is cut in the second epoch: one error, and all that was learned is on disk."""
    port = FakeBoard(limit=1100, error=error)
    board = connect(port)
    port.weights[0][:] = 7
    with pytest.raises(LinkError, match="the line is cut"):
        train(board, data(), tmp_path, epochs=3, test=10)
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert 30 < result["samples"] < 60
    assert result["test_accuracy"] == [[100.0, 100.0]]
    assert (weights.load(tmp_path / "weights.npz", SPEC).W[0] == 7).all()

    again = FakeBoard()
    accuracies = train(connect(again), data(), tmp_path, epochs=3, test=10, resume=True)
    assert len(accuracies) == 3
    assert (again.weights[0] == 7).all()
    assert again.registers[0] == [(6, 0), (7, 0)]
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["samples"] == 90


def test_cut_in_the_first_epoch(tmp_path):
    """What the board held at the start is there to be taken up; what lay there before, too."""
    train(connect(FakeBoard()), data(), tmp_path, epochs=2, test=10)
    port = FakeBoard(limit=400)
    board = connect(port)
    port.weights[0][:] = 3
    with pytest.raises(LinkError):
        train(board, data(), tmp_path, epochs=2, test=10)
    saved = weights.load(tmp_path / "weights.npz", SPEC)
    assert saved.progress == {"accuracies": []}
    assert (saved.W[0] == 3).all()
    before = weights.load(tmp_path / "weights.before.npz", SPEC)
    assert len(before.progress["accuracies"]) == 2


def test_nothing_to_resume(tmp_path):
    """Without saved weights, or with others, there is nothing to resume; the file stays."""
    saved = tmp_path / "weights.npz"

    def resume():
        train(connect(FakeBoard()), data(), tmp_path, epochs=3, test=10, resume=True)

    with pytest.raises(InputError, match=r"weights\.npz: is not there: nothing to take up again"):
        resume()
    saved.write_bytes(b"PK")
    with pytest.raises(WeightsError, match=r"weights\.npz: is not an \.npz, or is damaged"):
        resume()
    assert saved.read_bytes() == b"PK"
    arrays = tuple(np.zeros((p.neurons, p.columns), int) for p in SPEC.layers)
    for progress in {}, {"accuracies": 3}, {"accuracies": [[1.0]]}, {"accuracies": [["x", "y"]]}:
        weights.save(saved, SPEC, Weights(W=arrays, progress=progress))
        with pytest.raises(InputError, match=r"weights\.npz: progress: does not say how far"):
            resume()


@pytest.mark.parametrize(
    ("key", "draws"), [("sr", {"sr": True, "wb": 8}), ("dropout", {"dropout": 1})]
)
def test_what_draws_is_not_resumed(tmp_path, key, draws):
    """The board draws from where it is, not from where the training was cut; the file stays."""
    drawing = [TABLE["layer"][0], TABLE["layer"][1] | draws]
    spec = parse(TABLE | {"layer": drawing}, "tiny.toml")
    train(connect(FakeBoard(spec=spec), spec), data(), tmp_path, epochs=1, test=10)
    port = FakeBoard(spec=spec)
    board = connect(port, spec)
    message = rf"^layer 1: {key}: no board tells how far its random .*npz"
    with pytest.raises(InputError, match=message):
        train(board, data(), tmp_path, epochs=2, test=10, resume=True)
    assert len(weights.load(tmp_path / "weights.npz", spec).progress["accuracies"]) == 1
    assert not port.registers


def test_half_loaded(tmp_path):
    """Weights whose load was cut short are not trained; a resumed training replaces them."""
    train(connect(FakeBoard()), data(), tmp_path, epochs=1, test=10)
    port = FakeBoard()
    port.incomplete = True
    with pytest.raises(LinkError, match=r"^the load of weights into the board was cut short, "):
        train(connect(port), data(), tmp_path, epochs=2, test=10)
    assert not port.known
    assert len(train(connect(port), data(), tmp_path, epochs=2, test=10, resume=True)) == 2


def of(schedule, epochs=2):
    """Describe the network of the board, trained by another schedule."""
    return parse({**TABLE, "schedule": schedule, "epochs": epochs}, "tiny.toml")


def test_greedy(tmp_path):
    """A layer at a time by the registers of the rule, also where the training was cut."""
    spec, port, folder = of("greedy"), FakeBoard(of("greedy")), tmp_path
    train(connect(port, spec), data(), folder, epochs=3, test=10)
    assert port.registers == {0: [(6, 0), (6, 0), (6, 3)], 1: [(6, 3), (6, 3), (6, 1)]}
    again = FakeBoard(of("greedy"))
    assert len(train(connect(again, spec), data(), folder, epochs=4, test=10, resume=True)) == 4
    assert again.registers == {0: [(6, 3)], 1: [(6, 1)]}
    saved = weights.load(folder / "weights.npz", spec)
    assert saved.progress["schedule"] == "greedy"

    message = (
        f"{folder}/weights.npz: progress: was trained by the schedule 'greedy' with epochs "
        "= 2, not 'greedy' with epochs = 1; restore the description, or leave out --resume"
    )
    other = FakeBoard(of("greedy"))
    board = connect(other, of("greedy", 1))
    with pytest.raises(InputError) as caught:
        train(board, data(), folder, epochs=2, test=10, resume=True)
    assert str(caught.value) == message
    assert not other.registers
    message = "5 epochs: all turns of the schedule 'greedy' have 4; give fewer, or raise epochs in"
    with pytest.raises(InputError, match=f"^{message} tiny.toml"):
        train(connect(other, spec), data(), folder, epochs=5, test=10)


def test_grow(tmp_path):
    """The second layer knows no more than the first, so that the third has no turn."""
    layers = [*TABLE["layer"], {"neurons": 3, "lanes": 1}]
    spec = parse({**TABLE, "schedule": "grow", "epochs": 1, "layer": layers}, "tiny.toml")
    given = replace(data(), held_x=data().train_x[5:9], held_y=data().train_y[5:9])
    port = FakeBoard(spec)
    accuracies = train(connect(port, spec), given, tmp_path, epochs=2, test=10)
    assert len(accuracies) == 2
    assert [rule for _, rule in port.registers[1]] == [3, 1]
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (result["schedule"], result["held_out"]) == ("grow", [1.0, 1.0])
    # What is over stays so.
    again = FakeBoard(spec)
    assert (
        train(connect(again, spec), given, tmp_path, epochs=3, test=10, resume=True) == accuracies
    )
    assert not again.registers


def test_exits(tmp_path, capsys):
    """While it trains and is tested no sample leaves; then those do that the board is sure of."""
    below, above = TABLE["layer"]
    spec = parse({**TABLE, "layer": [{**below, "margin": 0.5}, above]}, "tiny.toml")
    port, samples = FakeBoard(spec), data()
    strange = np.zeros((6, SPEC.inputs), np.uint8)
    x, y = np.concatenate([samples.test_x, strange]), np.append(samples.test_y, [0, 0, 1, 1, 1, 2])
    samples = replace(samples, test_x=x, test_y=y)
    shares = train(connect(port, spec), samples, tmp_path, epochs=1, test=16)
    assert shares == [[75.0, 75.0]]
    (_, _, *never), (lr, rule, *threshold) = port.registers[0]
    plan = LayerPlan(spec.layers[0], spec.lr_growth)
    assert int.from_bytes(never, "little") == plan.never
    assert (lr, rule) == (6, 0)
    assert int.from_bytes(threshold, "little") == plan.threshold(0.5)
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["early_exit"] == {"right": 75.0, "left": [62.5, 37.5]}
    assert "early exit: 75.0 % right; left at the layers 62.5 / 37.5 %" in capsys.readouterr().out


def test_learning_rate_out_of_reach(tmp_path):
    """More epochs than the hardware was built for are refused before any is trained."""
    message = (
        "epoch 10 needs a learning-rate shift of 10 in layer 0, and the hardware was built for at "
        "most 9; raise epochs in tiny.toml and build the bitstream again"
    )
    port = FakeBoard()
    with pytest.raises(InputError, match=f"^{message}$"):
        train(connect(port), data(), tmp_path, epochs=10, test=10)
    assert not port.known

# SPDX-License-Identifier: BSD-2-Clause
"""The host's side, on a board in plain Python and on lines that fail in every way."""

import json

import numpy as np
import pytest

from boards.frames import Frame
from boards.host import Board, LinkError, train
from boards.protocol import Op
from golden.data import Data
from hw.ports import COUNTERS
from tests.boards.fake_board import SPEC, FakeBoard


def data(samples=30, tests=10):
    """Make a data set whose test samples are the first training samples."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (samples, SPEC.inputs), np.uint8)
    y = rng.integers(0, SPEC.classes, samples)
    return Data(x, y, x[:tests], y[:tests])


def test_train(tmp_path):
    """A training run: every sample, the schedule of the learning rate, the files it leaves."""
    port = FakeBoard()
    accuracies = train(Board(port), SPEC, data(), tmp_path / "new", epochs=5, test=7)
    assert accuracies == [[100.0, 100.0]] * 5
    assert port.registers == {
        0: [(6, 0), (6, 0), (7, 0), (7, 0), (8, 0)],
        1: [(6, 1), (6, 1), (7, 1), (7, 1), (8, 1)],
    }
    result = json.loads((tmp_path / "new" / "result.json").read_text())
    assert result == {"name": "tiny", "samples": 150, "test_accuracy": accuracies}
    with np.load(tmp_path / "new" / "weights.npz") as arrays:
        assert arrays["W0"].shape == (4, 5)
        assert arrays["W1"].shape == (3, 5)


def test_window():
    """No more is under way than the board can hold, and more than one request is."""
    port = FakeBoard(buffer=100)
    board = Board(port)
    list(board.train(*data()[:2]))
    assert 2 * (8 + SPEC.inputs) <= port.most_pending <= 100


def test_counters():
    """Counters carry their names."""
    expected = {name: n << 40 for n, name in enumerate(COUNTERS)}
    assert Board(FakeBoard()).counters(1) == expected


@pytest.mark.parametrize("error", [None, OSError("device disconnected")])
def test_line_cut(tmp_path, error):
    """The line is cut in the second epoch: one error, and all that was learned is on disk."""
    port = FakeBoard(limit=800, error=error)
    board = Board(port)
    port.weights[0][:] = 7
    with pytest.raises(LinkError, match="the line is cut"):
        train(board, SPEC, data(), tmp_path, epochs=3, test=10)
    result = json.loads((tmp_path / "result.json").read_text())
    assert 30 < result["samples"] < 60
    assert result["test_accuracy"] == [[100.0, 100.0]]
    with np.load(tmp_path / "weights.npz") as arrays:
        assert (arrays["W0"] == 7).all()

    again = FakeBoard()
    accuracies = train(Board(again), SPEC, data(), tmp_path, epochs=3, test=10, resume=True)
    assert len(accuracies) == 3
    assert (again.weights[0] == 7).all()
    assert again.registers[0] == [(6, 0), (7, 0)]
    assert json.loads((tmp_path / "result.json").read_text())["samples"] == 90


def test_nothing_to_resume(tmp_path):
    """Without saved weights, or with others, there is nothing to resume."""
    with pytest.raises(LinkError, match=r"^nothing to take up again: .*weights\.npz"):
        train(Board(FakeBoard()), SPEC, data(), tmp_path, epochs=3, test=10, resume=True)
    np.savez(tmp_path / "weights.npz", W0=np.zeros((4, 5)))
    with pytest.raises(LinkError, match=r"^nothing to take up again: "):
        train(Board(FakeBoard()), SPEC, data(), tmp_path, epochs=3, test=10, resume=True)


def test_learning_rate_out_of_reach(tmp_path):
    """More epochs than the hardware was built for are refused before any is trained."""
    message = (
        "epoch 9 needs a learning-rate shift of 10 in layer 0, and the hardware was built for at "
        "most 9; raise epochs in tiny.toml and build the bitstream again"
    )
    port = FakeBoard()
    with pytest.raises(LinkError, match=f"^{message}$"):
        train(Board(port), SPEC, data(), tmp_path, epochs=10, test=10)
    assert not port.known


def test_no_answer():
    """A line on which nobody answers."""
    message = "no answer from the board: is it programmed, and are --port and --baud right?"
    with pytest.raises(LinkError, match=f"^{message.replace('?', '.')}$"):
        Board(FakeBoard(limit=0))


def test_other_network():
    """A board that holds another network is found out before anything is trained."""
    board = Board(FakeBoard(fingerprint=1, name="other"))
    with pytest.raises(LinkError, match=r"^the board holds a network 'other' that differs from"):
        board.check(SPEC)


def test_other_protocol():
    """A board that answers INFO with something else."""
    port = FakeBoard()
    port.answers = lambda frame: [(frame.op, b"?")]
    with pytest.raises(LinkError, match=r"^this board speaks another protocol: not a description"):
        Board(port)
    port = FakeBoard(version=2)
    with pytest.raises(LinkError, match=r"^this board speaks version 2 of the protocol, not 1"):
        Board(port)


def test_wrong_answer():
    """An answer to another request."""
    port = FakeBoard()
    board = Board(port)
    port.out += Frame(77, Op.FLUSH).encode()
    with pytest.raises(LinkError, match=r"^the board answered operation 2, number 77, where COUNT"):
        board.counters(0)


def test_rejected():
    """The board has rejected a frame since the last answer."""
    port = FakeBoard()
    board = Board(port)
    port.rejected += 1
    with pytest.raises(LinkError, match=r"^the line has corrupted a frame, or the board did not"):
        board.counters(0)


def test_corrupted_answer():
    """An answer with a changed byte."""
    port = FakeBoard()
    board = Board(port)
    port.out += Frame(1, Op.COUNTERS, 0, bytes(54)).encode()[:-1] + b"\x00"
    with pytest.raises(LinkError, match=r"^the line has corrupted a frame"):
        board.counters(0)


def test_rows_of_another_length():
    """Weights that do not have the description's shape."""
    port = FakeBoard()
    board = Board(port)
    port.weights[1] = np.zeros((3, 9), "<i2")
    with pytest.raises(LinkError, match=r"^layer 1 of the board has rows of another length$"):
        board.read_weights(SPEC)

# SPDX-License-Identifier: BSD-2-Clause
"""Random numbers made by arrays: the contract bit by bit, and how random they are."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import lfsr
from golden.model import IntegerNetwork
from golden.spec import parse
from hw.local_error.random_weights import fields


@given(
    seed=st.integers(1, 2**64 - 1),
    neurons=st.integers(1, 9),
    count=st.integers(1, 40),
    width=st.integers(1, 8),
)
@settings(deadline=None, max_examples=30)
def test_fields(seed, neurons, count, width):
    """As the contract says it, and as the hardware's own twin makes them."""
    total = count * width
    rows = math.ceil(math.sqrt(total))
    columns = math.ceil(total / rows)
    stream = iter(lfsr.fields(seed, neurons * (rows + columns), 1).tolist())
    expected = []
    for _ in range(neurons):
        r, q = ([next(stream) for _ in range(size)] for size in (rows, columns))
        bits = [r[i % rows] ^ q[i // rows] for i in range(total)]
        expected.append([sum(bits[c * width + i] << i for i in range(width)) for c in range(count)])
    assert lfsr.array_fields(seed, neurons, count, width).tolist() == expected
    size = {"neurons": neurons, "classes": count, "width": width}
    assert fields(seed, source="array", **size) == expected


def test_balance_and_correlation():
    """Of 20,000 neurons: each bit is as often 1 as 0, and no two of a neuron's bits go together."""
    neurons = 20_000
    u = lfsr.array_fields(0x4426ACBA529F17CC, neurons, 10, 2)
    bits = (u[:, :, None] >> np.arange(2) & 1).reshape(neurons, -1)
    # Five deviations of a fair coin.
    limit = 5 / math.sqrt(neurons)
    assert np.abs(2 * bits.mean(0) - 1).max() < limit
    signs = 1.0 - 2 * bits
    pairs = signs.T @ signs / neurons
    assert np.abs(pairs - np.eye(20)).max() < limit
    # Nor do those of neurons that follow each other.
    assert np.abs(signs[:-1].T @ signs[1:] / neurons).max() < limit
    # What an array costs: the corners of a rectangle are not independent.
    assert np.all(bits[:, 0] ^ bits[:, 1] ^ bits[:, 5] ^ bits[:, 6] == 0)


def test_model():
    """Classifier and feedback are made by arrays; nothing else changes."""
    table = {"inputs": 5, "classes": 3, "layer": [{"neurons": 7, "rule": "scfb"}]}
    nets = []
    for source in "lfsr", "array":
        table["layer"][0]["source"] = source
        nets.append(IntegerNetwork(parse(table, "x.toml")).layers[0])
    one, other = nets
    assert (one.W == other.W).all()
    for k, matrix in (1, other.Mc), (2, other.K):
        u = lfsr.array_fields(other.spec.seeds[k], 7, 3, 2)
        assert np.abs(lfsr.odd(u, 2)).tolist() == matrix.abs().int().tolist()
    assert (other.K.sign() == other.Mc.sign()).all()
    assert not (one.Mc == other.Mc).all()

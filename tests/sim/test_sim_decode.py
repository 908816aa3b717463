# SPDX-License-Identifier: BSD-2-Clause
"""Words of channels: taking them apart, and writing those of packets."""

import numpy as np
import pytest
from amaranth.hdl import Shape
from amaranth.lib import data
from hypothesis import given
from hypothesis import strategies as st

from hw.ports import Command
from sim.rtl import decode, packet_words
from tests.sim.networks import describe

SHAPES = st.builds(Shape, st.integers(1, 48), st.booleans())


@st.composite
def words(draw):
    """A layout, and the values of some of its words."""
    shapes = draw(st.lists(st.tuples(SHAPES, st.integers(1, 5)), min_size=1, max_size=4))
    layout = data.StructLayout(
        {f"f{k}": data.ArrayLayout(shape, length) for k, (shape, length) in enumerate(shapes)}
    )
    count = draw(st.integers(1, 3))
    values = {}
    for k, (shape, length) in enumerate(shapes):
        low = -(1 << shape.width - 1) if shape.signed else 0
        high = low + (1 << shape.width) - 1
        values[f"f{k}"] = [
            [draw(st.integers(low, high)) for _ in range(length)] for _ in range(count)
        ]
    return layout, values, count


@given(words())
def test_decode(case):
    layout, values, count = case
    constants = [layout.const({name: v[k] for name, v in values.items()}) for k in range(count)]
    texts = [f"{constant.as_value().value:0{layout.size}b}" for constant in constants]
    decoded = decode(layout, texts)
    assert {name: array.tolist() for name, array in decoded.items()} == values


def test_decode_names_what_is_inside():
    inner = data.StructLayout({"a": 3, "b": Shape(4, True)})
    layout = data.StructLayout({"outer": inner, "none": 0, "c": 1})
    decoded = decode(layout, ["1" + "1000" + "101", "0" + "0111" + "000"])
    assert {name: array.tolist() for name, array in decoded.items()} == {
        "outer.a": [5, 0],
        "outer.b": [-8, 7],
        "none": [0, 0],
        "c": [1, 0],
    }


@pytest.mark.parametrize(("inputs", "filled"), [(2, 2), (8, 8), (9, 16)])
def test_packet_words(inputs, filled):
    """Inputs, zeros up to whole beats, the command, the label."""
    spec = describe({"neurons": 2}, inputs=inputs)
    x = np.arange(1, 2 * inputs + 1).reshape(2, inputs)
    words = packet_words(spec, [Command.INFER, Command.TRAIN], np.array([3, 0x102]), x)
    assert words.dtype == np.uint8
    for word, row, end in zip(words, x, ([1, 3, 0], [0, 2, 1]), strict=True):
        assert word.tolist() == [*row, *[0] * (filled - inputs), *end]

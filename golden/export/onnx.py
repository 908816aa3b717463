# SPDX-License-Identifier: BSD-2-Clause
"""ONNX in integer operators.

The model takes x, uint8 (n, inputs), and gives for each layer i scores_i (n, classes), int32 or
int64, and prediction_i (n), int64. Sums are made in int32 where every one fits, else in int64.
Where it shall take features instead, double (n, inputs), it first scales them (`Scaling`).
"""

import json
from typing import TYPE_CHECKING

import numpy as np

from golden.conv_spec import ConvSpec
from golden.data import Scaling
from golden.errors import InputError
from golden.export.tables import LayerTables, Results, Tables, integers

if TYPE_CHECKING:
    from onnx import NodeProto

__all__ = ["check_installed", "infer", "make"]

#: The oldest set of operators that has all that is needed, and the file format of its time.
OPSET, FORMAT = 13, 8


def check_installed():
    """Complain where what this needs is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"--format onnx needs the package {error.name}; pip install 'lel[export]'"
        ) from None


class _Graph:
    """Nodes and constants, each with a name of its own."""

    def __init__(self):
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def add(self, operator: str, *inputs: str, output: str, **attributes) -> str:
        """Add a node; give the name of its output."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, [*inputs], [output], output, **attributes))
        return output

    def constant(self, name: str, value, kind: np.dtype) -> str:
        """Add a constant of a type; give its name."""
        self.constants[name] = np.asarray(value).astype(kind)
        return name

    def table(self, name: str, value: np.ndarray, kind: np.dtype) -> str:
        """Add a constant that lies in the file in the smallest type; give its name in `kind`."""
        stored = self.constant(f"{name}_stored", value, integers(value.min(), value.max()))
        return self.cast(stored, kind, name)

    def cast(self, value: str, kind: np.dtype, name: str) -> str:
        """Give a value in another type."""
        from onnx import helper

        return self.add("Cast", value, output=name, to=helper.np_dtype_to_tensor_dtype(kind))


def make(tables: Tables, *, features: bool = False) -> bytes:
    """Make the file; with an input `features` instead of `x`, where that is asked for."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph, y, outputs = _Graph(), "x", []
    given, kind = ("features", TensorProto.DOUBLE) if features else ("x", TensorProto.UINT8)
    inputs = [helper.make_tensor_value_info(given, kind, ["n", tables.inputs])]
    if features and tables.scaling:
        _scale(graph, tables.scaling)
    for i, layer in enumerate(tables.layers):
        y, scores, kind = _layer(graph, f"layer{i}", layer, y)
        prediction = f"prediction_{i}"
        graph.add("Identity", scores, output=f"scores_{i}")
        graph.add("ArgMax", scores, output=prediction, axis=1, keepdims=0, select_last_index=0)
        tensor = helper.np_dtype_to_tensor_dtype(kind)
        outputs += [
            helper.make_tensor_value_info(f"scores_{i}", tensor, ["n", tables.classes]),
            helper.make_tensor_value_info(prediction, TensorProto.INT64, ["n"]),
        ]
    constants = [numpy_helper.from_array(array, key) for key, array in graph.constants.items()]
    model = helper.make_model(
        helper.make_graph(graph.nodes, tables.identifier, inputs, outputs, constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=FORMAT,
        producer_name="lel",
    )
    if tables.labels:
        helper.set_model_props(model, {"labels": json.dumps(tables.labels)})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _scale(graph: _Graph, scaling: Scaling):
    """Add what makes x from features."""
    double = np.dtype(np.float64)
    constant = scaling.low == scaling.high
    span = np.where(constant, 1.0, scaling.high - scaling.low)
    numbers = {"low": scaling.low, "most": 255, "span": span, "half": 0.5, "least": 0}
    for name, value in numbers.items():
        graph.constant(f"feature_{name}", value, double)
    graph.constant("feature_constant", constant, np.dtype(bool))
    value = "features"
    for operator, name in (("Sub", "low"), ("Mul", "most"), ("Div", "span"), ("Add", "half")):
        value = graph.add(operator, value, f"feature_{name}", output=f"feature_{operator}")
    value = graph.add("Floor", value, output="feature_Floor")
    value = graph.add("Clip", value, "feature_least", "feature_most", output="feature_Clip")
    value = graph.add("Where", "feature_constant", "feature_least", value, output="feature_Where")
    graph.cast(value, np.dtype(np.uint8), "x")


def _layer(graph: _Graph, name: str, layer: LayerTables, x: str) -> tuple[str, str, np.dtype]:
    """Add a layer; give the names of its activations and scores, and the type of these."""
    kind = _sums(max(layer.z_bound, 1 << layer.shift))
    bias = layer.bias
    if layer.conv:
        z, bias = _convolve(graph, name, layer, x, kind), bias[:, None, None]
    else:
        z = graph.add(
            "MatMul",
            graph.cast(x, kind, f"{name}_x"),
            graph.table(f"{name}_W", layer.W.T, kind),
            output=f"{name}_products",
        )
    z = graph.add("Add", z, graph.table(f"{name}_bias", bias, kind), output=f"{name}_z")
    # A division rounds toward zero, which matters only where z is negative and y will be 0.
    unit = graph.constant(f"{name}_unit", 1 << layer.shift, kind)
    y = graph.add("Div", z, unit, output=f"{name}_scaled")
    ends = [
        graph.constant(f"{name}_{end}", value, kind)
        for end, value in (("least", 0), ("most", layer.y_max))
    ]
    y = graph.add("Clip", y, *ends, output=f"{name}_y")
    if layer.conv:
        y = _pool(graph, name, layer.conv, y, kind)
    if layer.keep != 8:
        keep = graph.constant(f"{name}_keep", layer.keep, kind)
        eight = graph.constant(f"{name}_eight", 8, kind)
        y = graph.add("Mul", y, keep, output=f"{name}_kept")
        y = graph.add("Div", y, eight, output=f"{name}_y_kept")
    kind = _sums(layer.s_bound)
    scores = graph.add(
        "MatMul",
        graph.cast(y, kind, f"{name}_y_{kind}"),
        graph.table(f"{name}_M", layer.M, kind),
        output=f"{name}_scores",
    )
    return y, scores, kind


def _convolve(graph: _Graph, name: str, layer: LayerTables, x: str, kind: np.dtype) -> str:
    """Add the sums of convolutions (n, N, S, S), without their bias.

    The operator takes weights of 8 bits, so there is one for each 8 bits of them.
    """
    conv = layer.conv
    assert conv is not None
    shape = graph.constant(
        f"{name}_maps", [-1, conv.channels, conv.size, conv.size], np.dtype(np.int64)
    )
    bytes_of_x = graph.cast(x, np.dtype(np.uint8), f"{name}_bytes")
    x = graph.add("Reshape", bytes_of_x, shape, output=f"{name}_image")
    grey = graph.constant(f"{name}_grey", 128 if conv.signed else 0, np.dtype(np.uint8))
    kernels = layer.W.reshape(conv.maps, conv.channels, conv.kernel, conv.kernel)
    total, part = "", 0
    while kernels.any() or not part:
        low = (kernels + 128) % 256 - 128
        kernels = kernels - low >> 8
        weight = graph.constant(f"{name}_W{part}", low, np.dtype(np.int8))
        pads = [conv.kernel // 2] * 4
        z = graph.add("ConvInteger", x, weight, grey, output=f"{name}_sums{part}", pads=pads)
        z = graph.cast(z, kind, f"{name}_part{part}")
        if part:
            unit = graph.constant(f"{name}_unit{part}", 1 << 8 * part, kind)
            z = graph.add("Mul", z, unit, output=f"{name}_weighed{part}")
            z = graph.add("Add", total, z, output=f"{name}_total{part}")
        total, part = z, part + 1
    return total


def _pool(graph: _Graph, name: str, conv: ConvSpec, y: str, kind: np.dtype) -> str:
    """Add the largest of what is pooled, one map after the other (n, F)."""
    if conv.pool > 1:
        y = graph.cast(y, np.dtype(np.uint8), f"{name}_v")
        window, strides = [conv.window] * 2, [conv.pool] * 2
        pads = [conv.before] * 2 + [0, 0]
        y = graph.add(
            "MaxPool", y, output=f"{name}_max", kernel_shape=window, strides=strides, pads=pads
        )
        y = graph.cast(y, kind, f"{name}_pooled")
    return graph.add("Flatten", y, output=f"{name}_flat")


def _sums(bound: int) -> np.dtype:
    """Choose the type in which sums up to a bound are made."""
    return np.promote_types(np.int32, integers(-bound, bound))


def infer(content: bytes, x: np.ndarray) -> Results:
    """Let onnxruntime infer samples x (n, M) of type uint8, or features of type float64."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    made = [np.asarray(array) for array in session.run(names, {session.get_inputs()[0].name: x})]
    return Results(np.stack(made[0::2], axis=1), np.stack(made[1::2], axis=1))

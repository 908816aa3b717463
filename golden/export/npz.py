# SPDX-License-Identifier: BSD-2-Clause
"""Plain arrays with all that an implementation of one's own needs."""

import io

import numpy as np

from golden.export.tables import Results, Tables

__all__ = ["infer", "make"]

#: Goes with the arrays.
README = """\
For each layer i = 0, 1, ..., all in integers of at least 64 bits:

    z = W{i} @ x + bias{i}                           x: the 8-bit inputs, then the y below
    y = min(max(z, 0) >> shift{i}, y_max{i})
    y = (y * keep{i}) >> 3
    s = y @ M{i}                                     the scores of the classes
    prediction = the first class of the largest score

W{i} is (N, M), bias{i} (N,), M{i} (N, C). y goes on to the next layer.
"""
SCALED = """
x is made from features f, in double precision and in this order, by

    x = floor((f - low) * 255 / (high - low) + 0.5)

limited to 0..255, and 0 where low and high are equal.
"""


def make(tables: Tables) -> bytes:
    """Make the file."""
    scaling = tables.scaling
    arrays: dict[str, np.ndarray] = {"readme": np.array(README + (SCALED if scaling else ""))}
    if scaling:
        arrays |= {"low": scaling.low, "high": scaling.high}
    for i, layer in enumerate(tables.layers):
        arrays |= {
            f"W{i}": layer.W.astype(np.int32),
            f"bias{i}": layer.bias.astype(np.int64),
            f"M{i}": layer.M.astype(np.int32),
            f"shift{i}": np.array(layer.shift),
            f"y_max{i}": np.array(layer.y_max),
            f"keep{i}": np.array(layer.keep),
        }
    if tables.labels:
        arrays["labels"] = np.array(tables.labels)
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def infer(content: bytes, x: np.ndarray) -> Results:
    """Do what the file says with samples x (n, M) of type uint8."""
    scores, predictions = [], []
    with np.load(io.BytesIO(content)) as arrays:
        y = x.astype(np.int64)
        for i in range(sum(key.startswith("bias") for key in arrays)):
            W, M = arrays[f"W{i}"].astype(np.int64), arrays[f"M{i}"].astype(np.int64)
            z = y @ W.T + arrays[f"bias{i}"]
            y = np.minimum(np.maximum(z, 0) >> arrays[f"shift{i}"], arrays[f"y_max{i}"])
            y = (y * arrays[f"keep{i}"]) >> 3
            scores.append(y @ M)
            predictions.append(scores[-1].argmax(axis=1))
    return Results(np.stack(scores, axis=1), np.stack(predictions, axis=1))

# SPDX-License-Identifier: BSD-2-Clause
"""Plain arrays with all that an implementation of one's own needs."""

import io
from math import isqrt

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
CONVOLVED = """
Where W{i} is (N, Ci, k, k) the layer is one of convolutions. x then is (Ci, S, S), row by row, and

    z[n, r, q] = bias{i}[n] + sum of W{i}[n, c, a, b] * (x[c, r+a-k//2, q+b-k//2] - grey{i})

over c, a and b, without what lies outside the maps. y is made of z as above. Before it is
multiplied by keep{i}, the largest is taken of every window{i} rows and columns, of which the last
is pool{i} - 1 below r * pool{i}, as far as they are on the map. It is flattened map by map, row
by row, for M{i} and the next layer.
"""
SCALED = """
x is made from features f, in double precision and in this order, by

    x = floor((f - low) * 255 / (high - low) + 0.5)

limited to 0..255, and 0 where low and high are equal.
"""


def make(tables: Tables) -> bytes:
    """Make the file."""
    scaling = tables.scaling
    convolved = any(layer.conv for layer in tables.layers)
    text = README + (CONVOLVED if convolved else "") + (SCALED if scaling else "")
    arrays: dict[str, np.ndarray] = {"readme": np.array(text)}
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
        if conv := layer.conv:
            shape = conv.maps, conv.channels, conv.kernel, conv.kernel
            arrays[f"W{i}"] = arrays[f"W{i}"].reshape(shape)
            arrays[f"pool{i}"] = np.array(conv.pool)
            arrays[f"window{i}"] = np.array(conv.window)
            arrays[f"grey{i}"] = np.array(128 if conv.signed else 0)
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
            if W.ndim == 4:
                z = _convolved(W, y, int(arrays[f"grey{i}"])) + arrays[f"bias{i}"][:, None, None]
            else:
                z = y @ W.T + arrays[f"bias{i}"]
            y = np.minimum(np.maximum(z, 0) >> arrays[f"shift{i}"], arrays[f"y_max{i}"])
            if W.ndim == 4:
                y = _pooled(y, int(arrays[f"pool{i}"]), int(arrays[f"window{i}"]))
            y = (y * arrays[f"keep{i}"]) >> 3
            scores.append(y @ M)
            predictions.append(scores[-1].argmax(axis=1))
    return Results(np.stack(scores, axis=1), np.stack(predictions, axis=1))


def _pooled(y: np.ndarray, pool: int, window: int) -> np.ndarray:
    """Take the largest of each window of y (n, N, S, S), and flatten what is left (n, F)."""
    before, last = window - pool, y.shape[-1] - pool + 1
    # No activation is below 0.
    y = np.pad(y, ((0, 0), (0, 0), (before, 0), (before, 0)))
    places = [slice(i, last + i, pool) for i in range(window)]
    views = [y[:, :, rows, columns] for rows in places for columns in places]
    return np.max(views, axis=0).reshape(len(y), -1)


def _convolved(W: np.ndarray, x: np.ndarray, grey: int) -> np.ndarray:
    """Compute the sums (n, N, S, S) of convolutions W (N, Ci, k, k) of x (n, Ci S S)."""
    channels, k = W.shape[1:3]
    size, half = isqrt(x.shape[1] // channels), k // 2
    maps = x.reshape(-1, channels, size, size) - grey
    maps = np.pad(maps, ((0, 0), (0, 0), (half, half), (half, half)))
    sums = np.zeros((len(maps), len(W), size, size), np.int64)
    for a in range(k):
        for b in range(k):
            part = maps[:, :, a : a + size, b : b + size]
            sums += np.einsum("nc,bcrq->bnrq", W[:, :, a, b], part)
    return sums

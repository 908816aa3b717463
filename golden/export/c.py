# SPDX-License-Identifier: BSD-2-Clause
"""C99: one header with the tables and a function that classifies a sample."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from golden.errors import RunError, quoted
from golden.export.tables import LayerTables, Results, Tables, integers

__all__ = ["FLAGS", "compiler", "infer", "make"]

#: What the header is compiled with when it is checked.
FLAGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O2")
WIDTH = 96
HEAD = """\
/*
 * {name}: {inputs} inputs of 8 bits, {classes} classes, {depth} layer{s}.
 *
 * All in integers, C99, nothing but <stdint.h>{but}.
 * Each layer gives scores and a prediction of its own, so that an answer may be taken from any
 * depth; the last one is usually the best.
 * Written by LEL; the numbers equal those of the trained network in every bit.
 */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#define {upper}_INPUTS {inputs}
#define {upper}_CLASSES {classes}
#define {upper}_LAYERS {depth}

/* Holds every score of every layer. */
typedef {score}_t {lower}_score;

"""
DENSE = """\
/*
 * Layer {i}: y from x, and the scores of the classes. Returns the prediction, the first class of
 * the largest score.
 */
static inline int {lower}_layer{i}(const uint8_t *x, uint8_t *y, {lower}_score *scores)
{{
    int n, j, c, best = 0;
    for (n = 0; n < {neurons}; n++) {{
        {sum}_t z = {lower}_bias{i}[n];
        for (j = 0; j < {inputs}; j++)
            z += ({sum}_t){lower}_w{i}[n][j] * x[j];
        z = z > 0 ? z >> {shift} : 0;
        y[n] = (uint8_t)(z < {y_max} ? z : {y_max});
{keep}    }}
"""
CONV = """\
/*
 * Layer {i}: {maps} maps y from {channels} maps x, by kernels of {kernel} x {kernel}, and the
 * scores of the classes. Returns the prediction, the first class of the largest score.
 */
static inline int {lower}_layer{i}(const uint8_t *x, uint8_t *y, {lower}_score *scores)
{{
    int n, p, a, j, c, best = 0;
    for (n = 0; n < {neurons}; n++) {{
        int most = 0, map = n / {places};
        p = n % {places};
        for (a = 0; a < {window} * {window}; a++) {{
            int row = {pool} * (p / {side}) + a / {window} - {before};
            int column = {pool} * (p % {side}) + a % {window} - {before};
            {sum}_t z = {lower}_bias{i}[map];
            if (row < 0 || column < 0)
                continue;
            for (j = 0; j < {inputs}; j++) {{
                int r = row + j / {kernel} % {kernel} - {kernel} / 2;
                int q = column + j % {kernel} - {kernel} / 2;
                int at = (j / ({kernel} * {kernel}) * {size} + r) * {size} + q;
                if (r >= 0 && r < {size} && q >= 0 && q < {size})
                    z += ({sum}_t){lower}_w{i}[map][j] * (x[at] - {grey});
            }}
            z = z > 0 ? z >> {shift} : 0;
            z = z < {y_max} ? z : {y_max};
            most = z > most ? (int)z : most;
        }}
        y[n] = (uint8_t)most;
{keep}    }}
"""
SCORES = """\
    for (c = 0; c < {classes}; c++) {{
        scores[c] = 0;
        for (n = 0; n < {neurons}; n++)
            scores[c] += ({lower}_score){lower}_m{i}[n][c] * y[n];
        if (scores[c] > scores[best])
            best = c;
    }}
    return best;
}}

"""
KEEP = "        y[n] = (uint8_t)(y[n] * {keep} >> 3);\n"
CLASSIFY = """\
/*
 * Classify a sample. Returns the prediction of the last layer; `scores` and `predictions`, of all
 * layers, are filled where they are not null.
 */
static inline int {lower}_classify(const uint8_t x[{upper}_INPUTS],
    {lower}_score scores[{upper}_LAYERS][{upper}_CLASSES], int predictions[{upper}_LAYERS])
{{
    {lower}_score s[{upper}_CLASSES];
    uint8_t {buffers};
    int prediction;
{calls}    return prediction;
}}
"""
FEATURES = """\

{tables}
/*
 * Classify a sample of features, as they were before they became 8 bits. They must be numbers; what
 * is outside the range becomes 0 or 255. Doubles must not be computed with more than 53 bits.
 */
static inline int {lower}_classify_features(const double features[{upper}_INPUTS],
    {lower}_score scores[{upper}_LAYERS][{upper}_CLASSES], int predictions[{upper}_LAYERS])
{{
    uint8_t x[{upper}_INPUTS];
    int j;
    for (j = 0; j < {upper}_INPUTS; j++) {{
        double span = {lower}_high[j] - {lower}_low[j];
        double value = features[j] - {lower}_low[j];
        value = value * 255.0;
        value = span > 0.0 ? value / span : 0.0;
        value = value + 0.5;
        x[j] = (uint8_t)(value >= 255.0 ? 255.0 : value >= 0.0 ? value : 0.0);
    }}
    return {lower}_classify(x, scores, predictions);
}}
"""
CALL = """\
    prediction = {lower}_layer{i}({x}, {y}, scores ? scores[{i}] : s);
    if (predictions)
        predictions[{i}] = prediction;
"""
#: Reads samples from the standard input, writes scores and predictions as text.
HARNESS = """\
#include "{file}"
#include <stdio.h>

int main(void)
{{
    static {type} x[{upper}_INPUTS];
    while (fread(x, 1, sizeof x, stdin) == sizeof x) {{
        static {lower}_score scores[{upper}_LAYERS][{upper}_CLASSES];
        int predictions[{upper}_LAYERS], i, c;
        if ({function}(x, scores, predictions) != predictions[{upper}_LAYERS - 1])
            return 1;
        if ({function}(x, 0, 0) != predictions[{upper}_LAYERS - 1])
            return 1;
        for (i = 0; i < {upper}_LAYERS; i++) {{
            for (c = 0; c < {upper}_CLASSES; c++)
                printf("%lld ", (long long)scores[i][c]);
            printf("%d ", predictions[i]);
        }}
    }}
    return 0;
}}
"""


def make(tables: Tables) -> bytes:
    """Make the header."""
    names = _names(tables)
    score = _sums(max(layer.s_bound for layer in tables.layers))
    depth = len(tables.layers)
    parts = [
        HEAD.format(
            name=tables.name,
            depth=depth,
            s="" if depth == 1 else "s",
            inputs=tables.inputs,
            classes=tables.classes,
            score=score,
            but="; only features are doubles" if tables.scaling else "",
            **names,
        )
    ]
    if tables.labels:
        texts = ",\n".join(f"    {_text(label)}" for label in tables.labels)
        parts.append(
            f"static const char *const {names['lower']}_labels[{names['upper']}_CLASSES] = {{\n"
            f"{texts}\n}};\n\n"
        )
    for i, layer in enumerate(tables.layers):
        parts += _layer(i, layer, names)
    parts.append(_classify(tables, names))
    if tables.scaling:
        ranges = (("low", tables.scaling.low), ("high", tables.scaling.high))
        made = [
            part for key, array in ranges for part in _doubles(f"{names['lower']}_{key}", array)
        ]
        parts.append(FEATURES.format(tables="".join(made), **names))
    parts.append(f"\n#endif /* {names['upper']}_H */\n")
    return "".join(parts).encode("ascii")


def _names(tables: Tables) -> dict[str, str]:
    return {"lower": tables.identifier, "upper": tables.identifier.upper()}


def _sums(bound: int) -> np.dtype:
    """Choose the type in which sums up to a bound are made."""
    return np.promote_types(np.int32, integers(-bound, bound))


def _text(text: str) -> str:
    """Write a text as C, in ASCII; what is not becomes the octal numbers of its UTF-8.

    >>> print(_text('a"b?'), _text("ä"))
    "a\\"b\\?" "\\303\\244"
    """
    plain = set(range(32, 127)) - set(b'"\\?')
    escaped = {ord(c): f"\\{c}" for c in '"\\?'}
    octets = text.encode("utf-8", "replace")
    return (
        '"' + "".join(chr(c) if c in plain else escaped.get(c, f"\\{c:03o}") for c in octets) + '"'
    )


def _array(name: str, array: np.ndarray) -> Iterator[str]:
    """Write a table in the smallest type."""
    kind = integers(array.min(), array.max())
    shape = "".join(f"[{size}]" for size in array.shape)
    yield f"static const {kind}_t {name}{shape} = {{\n"
    for row in array if array.ndim == 2 else [array]:
        yield from _row(row.tolist(), ("    ", "\n") if array.ndim == 1 else ("    {", "},\n"))
    yield "};\n"


def _doubles(name: str, array: np.ndarray) -> Iterator[str]:
    """Write a table of doubles, so that they are read back to the last bit."""
    yield f"static const double {name}[{len(array)}] = {{\n"
    yield from _row(array.tolist(), ("    ", "\n"))
    yield "};\n"


def _row(numbers: list[int] | list[float], ends: tuple[str, str]) -> Iterator[str]:
    line = ends[0]
    for number in numbers:
        text = f"{number},"
        if len(line) + len(text) > WIDTH:
            yield line + "\n"
            line = "     "
        line += text
    yield line.removesuffix(",") + ends[1]


def _layer(i: int, layer: LayerTables, names: dict[str, str]) -> Iterator[str]:
    """Write the tables of a layer and its function."""
    lower = names["lower"]
    yield from _array(f"{lower}_w{i}", layer.W)
    yield from _array(f"{lower}_bias{i}", layer.bias)
    yield from _array(f"{lower}_m{i}", layer.M)
    yield "\n"
    conv = layer.conv
    template, shape = DENSE, {}
    if conv:
        template, grey = CONV, 128 if conv.signed else 0
        shape = {
            **vars(conv),
            "before": conv.before,
            "side": conv.side,
            "places": conv.side**2,
            "grey": grey,
        }
    neurons, classes = layer.M.shape
    yield (template + SCORES).format(
        i=i,
        neurons=neurons,
        inputs=layer.W.shape[1],
        classes=classes,
        # Also wide enough for the shift.
        sum=_sums(max(layer.z_bound, 1 << layer.shift)),
        shift=layer.shift,
        y_max=layer.y_max,
        keep=KEEP.format(keep=layer.keep) if layer.keep != 8 else "",
        lower=lower,
        **shape,
    )


def _classify(tables: Tables, names: dict[str, str]) -> str:
    """Write the function that goes through all layers."""
    layers = [f"y{i}" for i in range(len(tables.layers))]
    sizes = [len(layer.M) for layer in tables.layers]
    calls = [
        CALL.format(i=i, x=x, y=y, lower=names["lower"])
        for i, (x, y) in enumerate(zip(["x", *layers], layers, strict=False))
    ]
    return CLASSIFY.format(
        buffers=", ".join(f"{y}[{size}]" for y, size in zip(layers, sizes, strict=True)),
        calls="".join(calls),
        **names,
    )


def compiler() -> str | None:
    """Find a C compiler: what the environment variable CC names, else cc, gcc or clang."""
    named = os.environ.get("CC")
    return next(filter(None, map(shutil.which, [named] if named else ["cc", "gcc", "clang"])), None)


def infer(content: bytes, tables: Tables, x: np.ndarray, compiler: str) -> Results:
    """Compile the header and let it classify samples x (n, M), uint8, or features, float64.

    Raises
    ------
    RunError
        If it does not compile without a warning, or does not run.
    """
    with tempfile.TemporaryDirectory(prefix="lel-") as name:
        folder = Path(name)
        (folder / "exported.h").write_bytes(content)
        names = _names(tables)
        kind, end = ("double", "_features") if x.dtype == np.float64 else ("uint8_t", "")
        function = f"{names['lower']}_classify{end}"
        text = HARNESS.format(file="exported.h", type=kind, function=function, **names)
        (folder / "main.c").write_text(text, encoding="ascii")
        _run([compiler, *FLAGS, "-o", str(folder / "main"), str(folder / "main.c")], b"")
        out = _run([str(folder / "main")], np.ascontiguousarray(x).tobytes())
    numbers = np.array(out.split(), np.int64)
    numbers = numbers.reshape(len(x), len(tables.layers), tables.classes + 1)
    return Results(numbers[..., :-1], numbers[..., -1])


def _run(command: list[str], given: bytes) -> bytes:
    done = subprocess.run(command, input=given, capture_output=True)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        line = next((line for line in lines if "error" in line), "\n".join(lines))
        program = Path(command[0]).name
        raise RunError(f"{program} failed with status {done.returncode}: {quoted(line)}")
    return done.stdout

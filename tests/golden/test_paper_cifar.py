# SPDX-License-Identifier: BSD-2-Clause
"""Tables 3 to 5 and Figures 4 and 5: what is trained for them, and what they show of it."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from golden import runs
from golden.commands import paper as command
from golden.paper import cifar, comparison
from golden.paper.comparison import Result
from golden.paper.conv_methods import FIGURE, FIVE_LAYERS, LINE, TEN_LAYERS
from golden.paper.convnets import ConvFloat
from golden.runs import Integer, Outcome

NAMES = [
    "LEL(SYM)", "LEL(SYM)-Fix 1", "LEL(SYM)-Fix 2", "LEL(SYM) + DO", "LEL(SYM)/GI",
    "LEL(SYM) + DO/GI", "LEL(SCFB) + DO", "LEL(SCFB)", "LEL(TLC) + DO", "LEL(TLC)",
    "FA", "BP", "BP + DO",
]  # fmt: skip
#: Those whose classifiers see cells in ten layers.
CELLS = ["LEL(SYM)"]
DOCS = Path(__file__).parents[2] / "docs"
SETTINGS = {"data": "cifar10", "width": 0.25, "epochs": 20, "seeds": 2}


def outcome(test, train):
    """Make up a run of two epochs that ends with percentages."""
    shares = [value / 100 for value in test]
    return Outcome({}, [[0.1] * len(shares), shares], [value / 100 for value in train], 1.0)


def paper_like(row):
    """Make up a result: the paper's values in floats, two percent less in integers."""
    test, train = ([value.mean for value in values] for values in (row.test, row.train))
    floats = [outcome([v + d for v in test], train) for d in (0.5, -0.5)]
    local = row.integer(data="cifar10", seed=1, epochs=1, width=1 / 16)
    integers = [outcome([v - 2 for v in test], train)] * 2 if local else []
    return Result(row, floats, integers)


@pytest.mark.parametrize("rows", [FIVE_LAYERS, TEN_LAYERS])
def test_rows(rows):
    assert [row.name for row in rows] == NAMES
    for row in rows:
        count = len(row.layers)
        assert len(row.test) == len(row.train) == count
        assert count == (1 if row.name[:2] in ("FA", "BP") else 5 if rows is FIVE_LAYERS else 10)
        assert ("DO" in row.name) == row.settings.get("dropout", False)
        assert ("GI" in row.name) == (row.settings.get("init") == "gaussian")
        assert row.settings.get("fixed", 0) == (int(row.name[-1]) if "Fix" in row.name else 0)
        assert row.settings["rule"] in row.name.lower()
        for train, test in zip(row.train, row.test, strict=True):
            assert 19 < test.mean < 88
            assert train.mean > test.mean - 1


@pytest.mark.parametrize("rows", [FIVE_LAYERS, TEN_LAYERS])
def test_runs(rows):
    made = comparison.runs_of(rows, **SETTINGS)
    digests = {run.digest for runs in made.values() for run in runs}
    assert len(digests) == 2 * (13 + 10)
    for row in rows:
        floats, integers = made[row.name][:2], made[row.name][2:]
        for run in floats:
            assert isinstance(run, ConvFloat)
            rate = 0.003 if "TLC" in row.name else 0.1
            assert (run.batch, run.epochs, run.width, run.lr) == (100, 20, 0.25, rate)
        assert [run.seed for run in integers] == ([] if row.name[:2] in ("FA", "BP") else [1, 2])
        for run in integers:
            assert isinstance(run, Integer)
            trained = row.settings["rule"] == "tlc"
            # Half of the epochs, for the rates of trained classifiers do not fall.
            assert (run.batch, run.epochs) == (32, 10 if trained else 20)
            assert run.network.lr_step == (2 if trained else 3)
            layers = run.network.layers
            fixed = row.settings.get("fixed", 0)
            assert [layer.rule for layer in layers[:fixed]] == ["frozen"] * fixed
            for layer in layers[fixed:]:
                assert (layer.rule, layer.loss) == (row.settings["rule"], "ce")
                assert layer.init == ("gauss" if "GI" in row.name else "uniform")
            # A quarter of what is drawn by default, but for the first layer.
            assert layers[0].init_bits == (11 if rows is FIVE_LAYERS else 12)
            for layer in layers[1:]:
                range_ = (6 / layer.fan_in) ** 0.5 * 2**layer.fw / 4
                assert 2**0.5 / 2 < 2**layer.init_bits / range_ < 2**0.5
                # What is fully connected has no room to grow beyond twice that.
                assert layer.wb == (16 if layer.conv else layer.init_bits + 2)
                if trained:
                    assert layer.lrv == 12
            cells = [layer.conv.cells if layer.conv else None for layer in layers]
            if rows is TEN_LAYERS and row.name in CELLS:
                assert cells == [8, 8, 8, 4, 4, 2, 2, 1, 1, None]
            else:
                assert not any(cells)
            dropped = [layer.dropout for layer in layers]
            if "DO" not in row.name:
                assert not any(dropped)
            elif rows is FIVE_LAYERS:
                assert dropped == [2, 2, 2, 4, 4]
            else:
                assert dropped == [0, 2] * 5
    five, ten = (rows[0].integer(data="cifar10", seed=1, epochs=4, width=1) for rows in
                 (FIVE_LAYERS, TEN_LAYERS))  # fmt: skip
    assert five.network.sizes == "3x32x32-96x16x16-128x8x8-256x4x4-2048-2048"
    # Where epochs are few each rate lasts for two of them at least, and where inputs are many
    # weights are of fewer bits, initial ones of one less.
    assert five.network.lr_step == 2
    assert [(layer.wb, layer.init_bits) for layer in five.network.layers[3:]] == [(7, 6), (7, 6)]
    assert ten.network.sizes.endswith("-512x4x4-512x2x2-512x2x2-512x1x1")


def cells(text):
    """Give the rows of the table in a text, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(
    ("name", "rows", "count", "first"),
    [
        ("table3", FIVE_LAYERS, 10 * 5 + 3, ["LEL(SYM)", "conv1", "47.3 ± 1.00"]),
        ("table4", TEN_LAYERS, 10 * 5, ["LEL(SYM)", "conv1", "36.5 ± 0.40"]),
        ("table5", TEN_LAYERS, 10 * 5 + 3, ["LEL(SYM)", "conv6", "75.9 ± 0.20"]),
    ],
)
def test_tables(name, rows, count, first):
    exhibit = cifar.exhibit(name, [paper_like(row) for row in rows], width=0.25)
    assert (
        "of the paper's network with 25% of its maps and\nneurons, after 2 epochs" in exhibit.text
    )
    table = cells(exhibit.text)
    assert len(table) == count
    assert table[0][:3] == first
    paper, ours, integer = (float(cell.split()[0]) for cell in table[0][2:5])
    assert (paper, integer) == (ours, ours - 2)
    if name != "table4":
        assert table[-1][0] == "BP + DO"
        assert table[-1][4] == "–"
    assert "*integer* is" in exhibit.text
    floats = [replace(paper_like(row), integers=[]) for row in rows]
    assert "integer" not in cifar.exhibit(name, floats, width=0.25).text
    (figure,) = exhibit.figures
    assert figure == f"{name}-curves"
    data = json.loads(json.dumps(exhibit.data))
    assert (data["epochs"], data["runs"], data["width"]) == (2, 2, 0.25)
    assert len(data["rows"]) == 13


@pytest.mark.parametrize(("name", "rows"), [("figure4", FIVE_LAYERS), ("figure5", TEN_LAYERS)])
def test_figures(name, rows):
    shown = [row for row in rows if row.name in (*FIGURE, LINE)]
    exhibit = cifar.exhibit(name, [paper_like(row) for row in shown], width=1)
    (axis,) = exhibit.figures[name].axes
    layers = len(rows[0].layers)
    # Two bars for each layer of four methods, and for the one that has the top alone.
    assert len(axis.patches) == 2 * (4 * layers + 1)
    heights = [patch.get_height() for patch in axis.patches[: 2 * layers : 2]]
    assert heights == pytest.approx([value.mean for value in rows[0].test])
    assert [label.get_text() for label in axis.get_xticklabels()] == [
        "LEL(SYM)", "LEL(SYM)\n+ DO", "LEL(SCFB)", "LEL(TLC)", "FA",
    ]  # fmt: skip
    ours, papers = (line.get_ydata()[0] for line in axis.lines)
    assert ours == pytest.approx(papers)


@pytest.mark.parametrize(
    ("held", "place"), [([1, 2, 2, 3, 4], 1), ([1, 2, 3, 4, 5], 4), ([3, 2, 5, 6, 7], 0)]
)
def test_where_methods_stop(held, place):
    """At the last layer before the first that is no better on what was held out."""
    row = FIVE_LAYERS[0]
    made = Outcome({}, [[0.5, 0.6, 0.7, 0.6, 0.65]], [0.9] * 5, 1.0, [v / 10 for v in held])
    bare = Outcome({}, [[0.5, 0.6, 0.7, 0.6, 0.65]], [0.9] * 5, 1.0)
    one = Outcome({}, [[0.5]], [0.9], 1.0, [0.5])
    results = [Result(row, [made], []), Result(FIVE_LAYERS[-1], [one], [])]
    data, table = comparison.stops(results, ("float", "integer"))
    expected = [row.layers[place], f"{100 * made.test[place]:.2f}", "70.00"]
    assert cells(table) == [[row.name, *expected, "–", "–", "–"]]
    assert data[0]["name"] == row.name
    exhibit = cifar.exhibit("table3", results, width=0.25)
    assert table.splitlines()[-1].startswith("| LEL(SYM) | ")
    assert "A sixth of the training set was held out. By it, training would stop" in exhibit.text
    bare_text = cifar.exhibit("table3", [Result(row, [bare], [])], width=0.25).text
    assert "held out" not in bare_text


#: What is published of tables: the folder of the runs, epochs, width, methods.
NARROW = ("cifar10", 20, 0.25, NAMES)
FULL_WIDTH = ("cifar10/full-width", 6, 1.0, ["LEL(SYM)", "LEL(TLC)", "FA", "BP"])


def kept(monkeypatch, exhibit, folder, epochs, width, methods):
    """Give the results of methods from the runs that are kept with the project."""

    def perform(*_):
        raise AssertionError("a run is missing: train it again, or take its row out of docs/")

    monkeypatch.setattr(runs, "_samples", perform)
    settings = {"data": "cifar10", "epochs": epochs, "width": width, "validated": True}
    rows = [row for row in cifar.SHOWN[exhibit][0] if row.name in methods]
    assert len(rows) == len(methods)
    folder = DOCS / folder / "runs"
    return comparison.measure(rows, folder, seeds=1, **settings)


@pytest.mark.parametrize(
    ("exhibit", "published"),
    [("table3", NARROW), ("table3", FULL_WIDTH), ("table4", NARROW), ("table5", NARROW)],
)
def test_what_is_published(monkeypatch, exhibit, published):
    """Runs that are kept with the project are those of its settings, and say what docs/ does."""
    results = kept(monkeypatch, exhibit, *published)
    lines = cifar.exhibit(exhibit, results, width=published[2]).text.splitlines()
    table = [line for line in lines if line.startswith("|")]
    layers = cifar.SHOWN[exhibit][1]
    assert len(table) > sum(len({*layers} & {*result.row.layers}) for result in results)
    text = (DOCS / "results.md").read_text()
    for line in table:
        assert line in text


@pytest.mark.parametrize(
    ("exhibit", "published", "methods"),
    [
        ("table3", NARROW, ["LEL(SYM)", "LEL(TLC)"]),
        ("table3", FULL_WIDTH, ["LEL(SYM)", "LEL(TLC)"]),
        ("table4", NARROW, ["LEL(SYM)"]),
    ],
)
def test_integers_beside_floats(monkeypatch, exhibit, published, methods):
    """Within 1 % in every layer above conv1, as docs/ says."""
    for result in kept(monkeypatch, exhibit, *published[:3], methods):
        (floats,), (integers,) = result.floats, result.integers
        pairs = [*zip(floats.test, integers.test, strict=True)][1:]
        assert len(pairs) == len(result.row.layers) - 1
        assert all(ours > theirs - 0.01 for theirs, ours in pairs)


def run(arguments):
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    parsed = parser.parse_args(["paper", *arguments])
    return parsed.run(parsed)


def test_command(tmp_path, monkeypatch, capsys):
    """What is asked for is trained, and shown; tables 4 and 5 are of the same runs."""
    seen = []

    def perform(runs, *_, **__):
        seen.extend(runs)
        layers = [len(r.network.layers) if isinstance(r, Integer) else 10 for r in runs]
        return [outcome([30 + k for k in range(n)], [40] * n) for n in layers]

    monkeypatch.setattr(comparison.runs, "perform", perform)
    arguments = ["--method", "LEL(TLC)", "--width", "0.5", "--epochs", "3", "--jobs", "1"]
    arguments += ["--out", str(tmp_path)]
    assert run(["table4", *arguments]) == 0
    first = seen.copy()
    assert [(type(r).__name__, r.seed, r.epochs) for r in first] == [
        ("ConvFloat", 1, 3), ("Integer", 1, 2),
    ]  # fmt: skip
    assert run(["table5", *arguments]) == 0
    assert [r.digest for r in seen[2:]] == [r.digest for r in first]
    assert run(["figure5", *arguments]) == 0
    assert len(seen) == 5
    assert run(["table4", *arguments, "--floats", "--validate"]) == 0
    (only,) = seen[5:]
    assert isinstance(only, ConvFloat)
    assert only.validated
    out = capsys.readouterr().out
    assert out.count("**Table 4: ") == 2
    assert out.count("**Table 5: ") == out.count("**Figure 5: ") == 1
    assert (tmp_path / "table5.md").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table3", "--width", "0"], "--width: must be a number up to 1, not '0'"),
        (["table3", "--width", "wide"], "--width: must be a number up to 1, not 'wide'"),
        (["table3", "--method", "LEL(RAW)"], "invalid choice: 'LEL(RAW)' (choose from LEL(SYM), "),
    ],
)
def test_complaints(capsys, arguments, message):
    with pytest.raises(SystemExit):
        run(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table2", "--width", "1"], "--width: is for table3, figure4, table4, table5, figure5"),
        (["all", "--validate"], "--validate: is for table3, figure4, table4, table5, figure5"),
        (["figure5", "--method", "BP + DO"], "--method: figure5 shows none of BP + DO, only LEL"),
        (["table3", "--method", "LEL(random K)"], "--method: table3 shows none of LEL(random K)"),
    ],
)
def test_what_does_not_go_together(arguments, message):
    with pytest.raises(command.UsageError) as error:
        run(arguments)
    assert str(error.value).startswith(message)

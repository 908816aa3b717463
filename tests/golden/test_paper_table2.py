# SPDX-License-Identifier: BSD-2-Clause
"""Table 2 and Figure 3: what is run, how results are summed up and judged, and the command."""

import argparse
import json
import re
from pathlib import Path

import pytest

from golden.cli import UsageError
from golden.commands import paper as command
from golden.paper import comparison, table2
from golden.paper.comparison import Result
from golden.paper.methods import CONTROL, FIGURE3, LINE, ROWS, Row, Value
from golden.runs import Integer, Outcome, perform

SETTINGS = {"data": "mnist", "neurons": 1000, "epochs": 10, "seeds": 3}
EVERY = (*ROWS, CONTROL)


def outcome(test, train=None, epochs=3):
    """Make up an outcome from percents for each layer; the curve ends in `test`."""
    test = [share / 100 for share in test]
    curve = [[share * (k + 1) / epochs for share in test] for k in range(epochs)]
    return Outcome({}, curve, [share / 100 for share in train] if train else test, 1.0)


def paper_like(row, offset=0.0):
    """Make up a result of two runs around the paper's values: 0.1 above and below them."""
    test, train = (
        [value.mean for value in values] or [10.0] * len(row.layers)
        for values in (row.test, row.train)
    )
    outcomes = [
        outcome([share + offset + spread for share in test], [share - spread for share in train])
        for spread in (0.1, -0.1)
    ]
    counterpart = row.integer(data="mnist", seed=1, epochs=1, neurons=5)
    return Result(row, outcomes, outcomes if counterpart else [])


def test_value():
    value = Value.of([0.97, 0.98, 0.99, 1.0])
    assert value.mean == pytest.approx(98.5)
    # The sample's deviation: of squares 2.25 + 0.25 + 0.25 + 2.25 over 3.
    assert value.deviation == pytest.approx((5 / 3) ** 0.5, abs=1e-4)
    assert value.text() == "98.50 ± 1.29"
    assert Value.of([0.9712]) == (97.12, None)


def test_rows():
    assert [row.name for row in ROWS] == [
        "LEL(SYM)", "LEL(SYM) + DO", "LEL(SYM) + DO/GI", "LEL(SCFB) + DO", "LEL(TLC) + DO",
        "LEL(TLC)", "FA + DO", "BP", "BP + DO",
    ]  # fmt: skip
    for row in ROWS:
        assert len(row.test) == len(row.train) == len(row.layers)
        assert list(row.layers) == ([1, 2, 3] if row.name.startswith("LEL") else [3])
        assert ("DO" in row.name) == ("dropout" in row.settings)
        assert ("GI" in row.name) == (row.settings.get("init") == "gaussian")
        assert row.settings["rule"] in row.name.lower()
        for test, train in zip(row.test, row.train, strict=True):
            assert 97.8 <= test.mean < 99
            assert 98.8 <= train.mean <= 100
    assert not CONTROL.test
    assert CONTROL.settings == {"rule": "random"}


def test_runs():
    made = comparison.runs_of(EVERY, **SETTINGS)
    assert list(made) == [row.name for row in EVERY]
    digests = {run.digest for runs in made.values() for run in runs}
    assert len(digests) == 3 * (10 + 7)
    for row in EVERY:
        floats, integers = made[row.name][:3], made[row.name][3:]
        assert [run.seed for run in floats] == [1, 2, 3]
        for run in floats:
            assert (run.data, run.batch, run.epochs, run.held_out) == ("mnist", 100, 10, False)
            assert run.settings["neurons"] == (1000, 1000, 1000)
            assert (run.settings["lr"], run.settings["momentum"]) == (0.1, 0.9)
            for key, value in row.settings.items():
                assert run.settings[key] == value
        none = row.name in ("FA + DO", "BP", "BP + DO")
        assert [run.seed for run in integers] == ([] if none else [1, 2, 3])
        for run in integers:
            assert isinstance(run, Integer)
            assert (run.epochs, run.batch) == (10, 32)
            assert (run.network.lr_step, run.network.seed) == (3, run.seed)
            assert [layer.neurons for layer in run.network.layers] == [1000] * 3
            for layer in run.network.layers:
                assert layer.rule == row.settings["rule"]
                assert layer.lr == (7 if layer.rule == "scfb" else 6)
                assert layer.dropout == (2 if "DO" in row.name else 0)
                assert layer.init == ("gauss" if "GI" in row.name else "uniform")
    floats_only = comparison.runs_of(EVERY, **SETTINGS, integers=False)
    assert {name: runs[:3] for name, runs in made.items()} == floats_only


def test_reached():
    row = Row("r", {"rule": "bp"}, test=(Value(98.5, 0.05),), train=(Value(99.0, 0.0),))
    for mean, expected in ((98.5, True), (98.3, True), (98.29, False), (99.9, True), (0.0, False)):
        assert comparison.reached(row, [Value(mean)]) == [expected]
    assert comparison.reached(CONTROL, [Value(10.0), Value(20.0), Value(20.1)]) == [
        True,
        True,
        False,
    ]
    (row, *_) = ROWS
    assert comparison.reached(row, [Value(97.8), Value(97.9), Value(98.1)]) == [True, False, True]


def cells(text):
    """Give the rows of the table in a text, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_table2():
    exhibit = table2.table2([paper_like(row) for row in EVERY])
    assert "after\n3 epochs, mean ± standard deviation over 2 runs (" in exhibit.text
    rows = cells(exhibit.text)
    assert len(rows) == 6 * 3 + 3 + 3
    assert rows[0] == [
        "LEL(SYM)", "1", "97.8 ± 0.03", "97.80 ± 0.14", "97.80 ± 0.14",
        "99.8 ± 0.00", "99.80 ± 0.14", "99.80 ± 0.14", "yes", "yes",
    ]  # fmt: skip
    assert rows[1][:3] == ["", "2", "98.2 ± 0.07"]
    by_name = {row[0]: row for row in rows if row[0]}
    for name in ("FA + DO", "BP", "BP + DO"):
        assert [by_name[name][k] for k in (4, 7, 9)] == ["–"] * 3
    assert by_name["LEL(random K)"][2:] == [
        "–", "10.00 ± 0.14", "10.00 ± 0.14", "–", "10.00 ± 0.14", "10.00 ± 0.14", "yes", "yes",
    ]  # fmt: skip
    data = json.loads(json.dumps(exhibit.data))
    assert (data["epochs"], data["runs"], data["tolerance"]) == (3, 2, 0.2)
    first = data["rows"][0]
    assert first["paper"]["test"][1] == {"mean": 98.2, "deviation": 0.07}
    assert first["float"]["test"][0] == {"mean": 97.8, "deviation": 0.1414}
    assert first["integer"]["reached"] == [True] * 3
    assert first["float"]["curves"][1][-1] == pytest.approx([0.977, 0.981, 0.981])
    assert ["integer" in row for row in data["rows"]] == [True] * 6 + [False] * 3 + [True]


def test_table2_says_what_is_not_reached():
    exhibit = table2.table2([paper_like(row, 11 if row is CONTROL else -0.25) for row in EVERY])
    for row in cells(exhibit.text):
        assert row[-2] == "**no**"
        assert row[-1] in ("**no**", "–")


def test_curves():
    results = [paper_like(row) for row in EVERY]
    figure = table2.table2(results).figures["table2-curves"]
    panels = {axis.get_title(loc="left"): axis for axis in figure.axes}
    assert len(panels) == 24
    axis = panels["LEL(SCFB) + DO, layer 2"]
    float_line, integer_line, paper = axis.lines
    for line in (float_line, integer_line):
        assert list(line.get_xdata()) == [1, 2, 3]
        assert line.get_ydata() == pytest.approx([98.5 / 3, 98.5 * 2 / 3, 98.5])
    assert list(paper.get_ydata()) == [98.5, 98.5]
    assert len(panels["BP, layer 3"].lines) == 2
    assert list(panels["LEL(random K), layer 1"].lines[-1].get_ydata()) == [10, 10]
    # Fewer rows than fill the panels.
    figure = table2.table2([paper_like(LINE)]).figures["table2-curves"]
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["BP, layer 3"]


def test_figure3():
    exhibit = table2.figure3([paper_like(row) for row in (*FIGURE3, LINE)])
    rows = cells(exhibit.text)
    assert len(rows) == 4 * 3 + 2
    assert rows[0] == [
        "LEL(SYM)", "1", "97.8 ± 0.03", "97.80 ± 0.14", "99.8 ± 0.00", "99.80 ± 0.14", "yes",
    ]  # fmt: skip
    (axis,) = exhibit.figures["figure3"].axes
    heights = [bar.get_height() for bar in axis.patches]
    values = [
        part
        for row in FIGURE3
        for test, train in zip(row.test, row.train, strict=True)
        for part in (test.mean, train.mean - test.mean)
    ]
    assert heights == pytest.approx(values)
    ours, papers = (line.get_ydata()[0] for line in axis.lines)
    assert (ours, papers) == (pytest.approx(98.8), 98.8)


def test_measure_keeps_results_of_rows_together(tmp_path, monkeypatch):
    seen = []

    def made(runs, *_, **__):
        seen.extend(runs)
        return [outcome([run.seed, isinstance(run, Integer), 0]) for run in runs]

    monkeypatch.setattr(comparison.runs, "perform", made)
    results = comparison.measure(EVERY, tmp_path, **SETTINGS | {"seeds": 2})
    assert [result.row for result in results] == list(EVERY)
    for result in results:
        assert [run.test[:2] for run in result.floats] == [[0.01, 0], [0.02, 0]]
        assert [run.test[:2] for run in result.integers] in ([], [[0.01, 0.01], [0.02, 0.01]])
    # All of the first seed come first.
    assert [run.seed for run in seen] == [1] * 17 + [2] * 17


def run(arguments):
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    parsed = parser.parse_args(["paper", *arguments])
    return parsed.run(parsed)


@pytest.fixture
def tiny(monkeypatch):
    """Let the networks be tiny, on the digits."""
    monkeypatch.setattr(command, "MNIST", {"data": "digits", "neurons": 8})


@pytest.mark.usefixtures("tiny")
def test_command(tmp_path, capsys):
    out = str(tmp_path / "out")
    assert run(["table2", "--epochs", "1", "--seeds", "1", "--jobs", "1", "--out", out]) == 0
    captured = capsys.readouterr()
    rows = cells(captured.out)
    assert len(rows) == 24
    assert re.fullmatch(r"\d+\.\d\d", rows[0][3])
    names = [f"table2{end}" for end in (".json", ".md", "-curves.svg", "-curves.png")]
    assert captured.err.split() == [str(tmp_path / "out" / name) for name in names]
    assert all((tmp_path / "out" / name).stat().st_size for name in names)
    runs = sorted((tmp_path / "out" / "runs").iterdir())
    assert len(runs) == 17

    # What a run came to is what the table says.
    row = ROWS[0].float(data="digits", seed=1, epochs=1, neurons=8)
    (made,) = perform([row], tmp_path / "again")
    assert rows[0][3] == f"{100 * made.test[0]:.2f}"
    assert rows[0][6] == f"{100 * made.train[0]:.2f}"

    # Figure 3 needs no run that is not there.
    assert run(["figure3", "--epochs", "1", "--seeds", "1", "--jobs", "1", "--out", out]) == 0
    assert len(cells(capsys.readouterr().out)) == 14
    assert sorted((tmp_path / "out" / "runs").iterdir()) == runs


@pytest.mark.usefixtures("tiny")
def test_command_quick(tmp_path, capsys):
    assert run(["figure3", "--quick", "--jobs", "1", "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "after\n2 epochs, mean over 1 run (" in captured.out
    assert "This is a quick look" in captured.out
    assert "This is a quick look" in (tmp_path / "quick" / "figure3.md").read_text()
    assert str(tmp_path / "quick" / "figure3.json") in captured.err
    assert len(list((tmp_path / "runs").iterdir())) == 6


def test_command_all(monkeypatch, tmp_path, capsys):
    made = []
    monkeypatch.setattr(
        comparison, "measure", lambda rows, *_, **__: made.append(rows) or [*map(paper_like, rows)]
    )
    assert run(["all", "--count", "0", "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "quick" not in captured.out
    assert [len(rows) for rows in made] == [10, 6]
    written = [Path(path).name for path in captured.err.split() if path.endswith(".md")]
    assert written == ["table1.md", "figure6.md", "table2.md", "figure3.md"]
    for name in written:
        assert (tmp_path / name).read_text().splitlines()[0] in captured.out


def test_command_of_some_methods(monkeypatch, tmp_path, capsys):
    made = []
    monkeypatch.setattr(
        comparison, "measure", lambda rows, *_, **__: made.extend(rows) or [*map(paper_like, rows)]
    )
    chosen = ["--method", "BP + DO", "--method", "LEL(SYM) + DO"]
    assert run(["table2", *chosen, "--out", str(tmp_path)]) == 0
    assert [row.name for row in made] == ["LEL(SYM) + DO", "BP + DO"]
    assert len(cells(capsys.readouterr().out)) == 4

    # Figure 3 has no BP + DO.
    made.clear()
    assert run(["figure3", *chosen, "--out", str(tmp_path)]) == 0
    assert [row.name for row in made] == ["LEL(SYM) + DO"]
    with pytest.raises(UsageError, match=r"^--method: figure3 shows none of BP \+ DO, only LEL"):
        run(["figure3", *chosen[:2], "--out", str(tmp_path)])
    # That is said before anything is trained.
    made.clear()
    with pytest.raises(UsageError, match="figure3 shows none of"):
        run(["all", *chosen[:2], "--out", str(tmp_path)])
    assert not made
    with pytest.raises(SystemExit):
        run(["table2", "--method", "LEL"])
    assert "argument --method: invalid choice: 'LEL' (choose from" in capsys.readouterr().err


def test_command_help(capsys):
    with pytest.raises(SystemExit):
        run(["--help"])
    text = capsys.readouterr().out
    assert "python -m golden paper table2 --quick" in text
    with pytest.raises(SystemExit):
        run(["table9"])
    assert "invalid choice: 'table9'" in capsys.readouterr().err

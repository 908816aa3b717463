# SPDX-License-Identifier: BSD-2-Clause
"""Carrying out a build plan, with tools that only pretend, and reading what nextpnr reports."""

import json
import re

import pytest
from amaranth.build.run import BuildPlan

from boards.build import BuildError, CriticalPath, Result, Use, build, tool

SCRIPT = """\
#!/bin/sh
"$YOSYS" -q -l top.rpt top.ys
"$NEXTPNR_ECP5" --quiet --report report.json --log top.tim --textcfg top.config
"$ECPPACK" --compress --input top.config --bit top.bit
"""


def step(kind, delay, source, sink):
    """One step of a path as nextpnr reports it."""
    ends = {"from": {"cell": source, "port": "Q"}, "to": {"cell": sink, "port": "D"}}
    return {"type": kind, "delay": delay, **ends}


def report(achieved=90.0):
    """Make a report of a design with two clocks, of which `slow` is the worse."""
    a, b = "network.layer0.g_TRELLIS_FF_Q_3", "sum_LUT4_Z"
    c = "network.layer0.lane1.weights.block0_0"
    path = [
        step("clk-to-q", 0.5, a, a),
        step("routing", 4.0, a, b),
        step("logic", 0.25, b, b),
        step("routing", 5.25, b, c),
        step("setup", 0.0, c, c),
    ]
    cells = {"TRELLIS_COMB": 100, "TRELLIS_FF": 200, "MULT18X18D": 3, "DP16KD": 4, "TRELLIS_IO": 1}
    return {
        "fmax": {
            "fast": {"achieved": 60.0, "constraint": 25.0},
            "slow": {"achieved": achieved, "constraint": 100.0},
        },
        "critical_paths": [
            {"from": "posedge fast", "to": "posedge fast", "path": []},
            {"from": "posedge slow", "to": "<async>", "path": []},
            {"from": "posedge slow", "to": "posedge slow", "path": path},
        ],
        "utilization": {key: {"used": n, "available": 1000} for key, n in cells.items()},
    }


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Replace the tools; each call is noted in `calls`. Returns a function that sets Fmax."""
    calls = tmp_path / "calls"
    calls.write_text("")
    scripts = {
        "YOSYS": "",
        "NEXTPNR_ECP5": f'cp {tmp_path}/report.json "$3"; echo config > "$7"',
        "ECPPACK": 'cp "$3" "$5"',
    }
    for variable, action in scripts.items():
        script = tmp_path / variable
        script.write_text(f'#!/bin/sh\necho {variable} "$@" >> {calls}\n{action}\n')
        script.chmod(0o755)
        monkeypatch.setenv(variable, str(script))

    def set_fmax(achieved):
        (tmp_path / "report.json").write_text(json.dumps(report(achieved)))

    set_fmax(120.0)
    return set_fmax


def plan(content="design"):
    """Make a plan of the tools' three commands."""
    made = BuildPlan("build_top")
    made.add_file("build_top.sh", SCRIPT)
    made.add_file("top.il", content)
    return made


def test_read(tmp_path):
    """The figures of the slowest clock, and its path in the design's names."""
    (tmp_path / "report.json").write_text(json.dumps(report()))
    result = Result.read(tmp_path / "report.json", 7)
    assert (result.seed, result.fmax, result.constraint, result.met) == (7, 90.0, 100.0, False)
    assert result.worst == CriticalPath(
        "network.layer0.g", "network.layer0.lane1.weights.block0_0", 0.75, 9.25
    )
    assert str(result.worst) == (
        "network.layer0.g -> network.layer0.lane1.weights.block0_0: 10.00 ns, 0.75 in logic and "
        "9.25 in routing"
    )
    assert result.use == {
        "lut": Use(100, 1000),
        "ff": Use(200, 1000),
        "dsp": Use(3, 1000),
        "ebr": Use(4, 1000),
    }


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"fmax": {}}', None])
def test_read_errors(tmp_path, content):
    """What is no report is named as such."""
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BuildError, match=rf"^{re.escape(str(path))}: not a report of nextpnr's "):
        Result.read(path, 1)


def test_seeds(tmp_path, tools):
    """One synthesis, one place and route a seed, the bitstream of the fastest."""
    folder = tmp_path / "out"
    tools(120.0)
    build(plan(), folder, "net.bit", [1])
    tools(130.0)
    results = build(plan(), folder, "net.bit", [1, 5])
    assert [(r.seed, r.fmax) for r in results] == [(1, 120.0), (5, 130.0)]
    assert (folder / "net.bit").exists()
    assert (tmp_path / "calls").read_text().splitlines() == [
        "YOSYS -q -l top.rpt top.ys",
        "NEXTPNR_ECP5 --quiet --report seed1.part/report.json --log seed1.part/top.tim "
        "--textcfg seed1.part/top.config --seed 1",
        "ECPPACK --compress --input seed1/top.config --bit bitstream.part/top.bit",
        "NEXTPNR_ECP5 --quiet --report seed5.part/report.json --log seed5.part/top.tim "
        "--textcfg seed5.part/top.config --seed 5",
        "ECPPACK --compress --input seed5/top.config --bit bitstream.part/top.bit",
    ]


@pytest.mark.usefixtures("tools")
def test_unchanged(tmp_path):
    """A plan that has been carried out is not carried out again; another one is."""
    folder = tmp_path / "out"
    calls = tmp_path / "calls"
    first = build(plan(), folder, "net.bit", [1])
    calls.write_text("")
    assert build(plan(), folder, "net.bit", [1]) == first
    assert calls.read_text() == ""
    build(plan("changed"), folder, "net.bit", [1])
    assert [line.split()[0] for line in calls.read_text().splitlines()] == [
        "YOSYS",
        "NEXTPNR_ECP5",
        "ECPPACK",
    ]


def test_timing_not_met(tmp_path, tools):
    """A design that is too slow gives its figures but no bitstream, not even an older one."""
    folder = tmp_path / "out"
    build(plan(), folder, "net.bit", [1])
    tools(90.0)
    (result,) = build(plan("slower"), folder, "net.bit", [1])
    assert not result.met
    assert not (folder / "net.bit").exists()


@pytest.mark.usefixtures("tools")
def test_tool_fails(tmp_path, monkeypatch):
    """The error of a tool is passed on, and what it began is begun anew the next time."""
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho fine\necho 'ERROR: no room' >&2\nexit 1\n")
    failing.chmod(0o755)
    good = tool("NEXTPNR_ECP5")
    monkeypatch.setenv("NEXTPNR_ECP5", str(failing))
    folder = tmp_path / "out"
    message = f"failing failed in {folder}: ERROR: no room"
    with pytest.raises(BuildError, match=f"^{re.escape(message)}$"):
        build(plan(), folder, "net.bit", [1])
    monkeypatch.setenv("NEXTPNR_ECP5", good)
    assert build(plan(), folder, "net.bit", [1])[0].met


@pytest.mark.usefixtures("tools")
def test_tool_dies(tmp_path, monkeypatch):
    """A tool that ends without a reason: what it said last, and what may be tried."""
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho Executing ABC9.\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("YOSYS", str(failing))
    folder = tmp_path / "out"
    message = (
        f"failing failed in {folder} without a reason, after saying: Executing ABC9.; another "
        "build of the tool may be named in YOSYS, NEXTPNR_ECP5 or ECPPACK"
    )
    with pytest.raises(BuildError, match=f"^{re.escape(message)}$"):
        build(plan(), folder, "net.bit", [1])


def test_tool_missing(monkeypatch):
    """A tool that is not there is named, and how to get it."""
    monkeypatch.setenv("YOSYS", "/nowhere/yosys")
    message = (
        "/nowhere/yosys is not installed: pip install 'lel[boards]', take it from your system's "
        "packages, or name another in YOSYS"
    )
    with pytest.raises(BuildError, match=f"^{re.escape(message)}$"):
        tool("YOSYS")

# SPDX-License-Identifier: BSD-2-Clause
"""The runner: what it compiles, when it does not, and what it says of failures."""

import pytest
from amaranth.hdl import Instance, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sim import verilator

BENCH = "tests.sim.bench_adder"


class Adder(wiring.Component):
    def __init__(self, width=8):
        super().__init__({"a": In(width), "b": In(width), "o": Out(width + 1)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.a + self.b)
        return m


class Borrower(wiring.Component):
    """Leaves its work to Verilog."""

    a: In(8)
    o: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = Instance("inner", i_a=self.a, o_o=self.o)
        return m


def test_run(tmp_path):
    verilator.build_and_run(Adder(), BENCH, folder=tmp_path)
    assert "bench_adder.adds" in (tmp_path / "simulation.log").read_text()
    assert not (tmp_path / "waves.vcd").exists()


def test_failing_bench(tmp_path):
    with pytest.raises(verilator.SimulationError, match=r"bench_adder failed(.|\n)*assert 3 == "):
        verilator.build_and_run(Adder(), BENCH, folder=tmp_path, env={"LEL_TEST_OFF_BY": "1"})


def test_missing_bench(tmp_path):
    with pytest.raises(verilator.SimulationError, match="no_such_bench"):
        verilator.build_and_run(Adder(), "no_such_bench", folder=tmp_path)


def test_waves(tmp_path, monkeypatch):
    # As make would set it for the variables on its command line.
    monkeypatch.setenv("WAVES", "0")
    verilator.build_and_run(Adder(), BENCH, folder=tmp_path, waves=True)
    assert "$enddefinitions" in (tmp_path / "waves.vcd").read_text()


def test_same_design_is_compiled_once():
    first = verilator.build(Adder(5))
    made = (first.folder / "top").stat().st_mtime_ns
    assert verilator.build(Adder(5)) == first
    assert (first.folder / "top").stat().st_mtime_ns == made
    assert verilator.build(Adder(6)).folder != first.folder


def test_compile_error():
    with pytest.raises(
        verilator.SimulationError, match=r"could not compile top(.|\n)*build.log(.|\n)*inner"
    ):
        verilator.build(Borrower(), verilog_sources="module inner(input a, output o) endmodule")


def test_verilog_sources():
    source = "module inner(input [7:0] a, output [7:0] o); assign o = ~a; endmodule"
    model = verilator.build(Borrower(), verilog_sources=source)
    assert (model.folder / "top").exists()


def test_only_ports_are_public():
    text = "module top(clk, o);\n  input clk;\n  output [3:0] o;\n  wire secret;\nendmodule\n"
    assert verilator.public_ports(text, "top").splitlines() == [
        "`verilator_config",
        'public_flat_rw -module "top" -var "clk"',
        'public_flat_rd -module "top" -var "o"',
    ]


def test_no_such_module():
    with pytest.raises(ValueError, match="the Verilog has no module 'bottom'"):
        verilator.public_ports("module top();\nendmodule\n", "bottom")

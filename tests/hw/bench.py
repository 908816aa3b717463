# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of components share: plans of one layer, lanes in software, simulation."""

from amaranth.hdl import Module
from amaranth.sim import Simulator
from hypothesis import strategies as st

from golden import spec
from hw.plan import LayerPlan


def plan(*, inputs=5, classes=3, lr_growth=0, seed=1, **layer):
    """Plan a layer on its own; `layer` holds what its table would."""
    table = {"inputs": inputs, "classes": classes, "seed": seed, "layer": [{"neurons": 4, **layer}]}
    return LayerPlan(spec.parse(table, "test.toml").layers[0], lr_growth)


def simulate(component, *benches, background=(), clocks=100_000):
    """Run test benches on a component until all have ended; fail if that takes too long."""
    m = Module()
    m.submodules.dut = component
    simulator = Simulator(m)
    simulator.add_clock(1e-6)

    async def limit(ctx):
        await ctx.delay(clocks * 1e-6)
        raise AssertionError(f"the test bench has not ended after {clocks} clocks")

    for bench in benches:
        simulator.add_testbench(bench)
    for bench in (*background, limit):
        simulator.add_testbench(bench, background=True)
    simulator.run()


@st.composite
def plans(draw, lanes):
    """Draw plans of layers with any formats of weights and activations."""
    fw = draw(st.integers(4, 14))
    fx = draw(st.integers(4, 8))
    return plan(
        inputs=draw(st.integers(1, 9)),
        neurons=draw(st.integers(1, 60)),
        lanes=draw(lanes),
        fw=fw,
        fx=fx,
        wb=draw(st.integers(4, 16)),
        fy=draw(st.integers(0, 8)),
        lr=draw(st.integers(max(fw - fx - 7, 0), 9)),
    )


def clip(v, low, high):
    return min(max(v, low), high)


class Twin:
    """The lanes of a layer, one number at a time (contract, "One training step of a layer")."""

    def __init__(self, plan, weights):
        self.plan = plan
        self.weights = weights  # [lane][address]

    def group(self, base, x_old, x_new, g, update):
        """Pass over the weights of a group; `g` is shifted left as the array receives it."""
        p, k = self.plan, self.plan.update_shift
        limit = 1 << (p.layer.wb - 1)
        ys = []
        for lane, bank in enumerate(self.weights):
            z = 0
            for j in range(p.layer.columns):
                w = bank[base + j]
                if update:
                    w -= (g[lane] * x_old[j] + (1 << (k - 1))) >> k
                    w = bank[base + j] = clip(w, -limit, limit - 1)
                z += w * x_new[j]
            ys.append(clip(z >> p.z_shift, 0, 255))
        return ys

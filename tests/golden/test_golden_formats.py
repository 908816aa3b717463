# SPDX-License-Identifier: BSD-2-Clause
"""Every combination of formats: against the slow reference, or refused."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from golden.layer_spec import FORMATS
from golden.model import IntegerNetwork
from golden.spec import SpecError, parse
from tests.golden.reference import Reference, check_step, noise

#: Keys that are for classifiers that are trained.
TRAINED = ("lrv", "v_lanes")


@settings(deadline=None, max_examples=400, derandomize=True)
@given(
    formats=st.fixed_dictionaries(
        {},
        optional={key: st.integers(*FORMATS[key]) for key in FORMATS if key not in ("lanes", "gs")}
        | {
            "sr": st.booleans(),
            "loss": st.sampled_from(["hinge", "ce"]),
            "init": st.sampled_from(["uniform", "gauss"]),
        },
    ),
    rule=st.sampled_from(["sym", "scfb", "random", "tlc"]),
    batch=st.sampled_from([1, 2, 9]),
    seed=st.integers(0, 1000),
)
def test_formats_against_reference(formats, rule, batch, seed):
    layer = {"neurons": 4, "rule": rule} | formats
    if rule != "tlc":
        layer = {key: value for key, value in layer.items() if key not in TRAINED}
    if formats.get("loss") == "ce":
        layer.pop("fe", None)
    if formats.get("sr"):
        layer["wb"] = min(10, layer.get("wb", 10))
    table = {"inputs": 3, "classes": 3, "seed": seed, "batch": batch, "layer": [layer]}
    try:
        described = parse(table, "formats")
    except SpecError:
        assume(False)
        raise
    net = IntegerNetwork(described)
    (model,) = net.layers
    reference = Reference(model)
    random = torch.Generator().manual_seed(seed)
    check_step(net, [reference], *noise(net, batch, random))
    # The weights anywhere, their limits included; and those of a classifier that is trained.
    for weights, bits, held in ((model.W, described.layers[0].wb, "w"), (model.Mc, 16, "mc")):
        if held == "w" or rule == "tlc":
            limit = 1 << (bits - 1)
            values = torch.randint(-2 * limit, 2 * limit, weights.shape, generator=random)
            weights.copy_(values.clamp(-limit, limit - 1))
            setattr(reference, held, weights.long().tolist())
    check_step(net, [reference], *noise(net, batch, random))


def refused(layer):
    """Name the keys for one of which a layer of 4 neurons, 3 inputs, 3 classes is refused."""
    rule, loss, gauss = layer["rule"], layer.get("loss", "hinge"), layer.get("init") == "gauss"
    wb, mb, fy = layer.get("wb", 12), layer.get("mb", 2), layer.get("fy", 4)
    # The square root of 6 / 3 is 2^0.5, equation (7) the root of 2 / 7.
    fw = layer.get("fw", max(1, min(12, wb - 3)))
    best = {}
    for f in (7, 5, 3) if gauss else (1,):
        root = (f * (4**mb - 1) / 3 * 3.5) ** 0.5
        k = next(k for k in range(20) if root < 2 ** (k + 0.5))
        best[max(root / 2**k, 2**k / root)] = f, k
    terms, default = best[min(best)]
    ms, wide = layer.get("ms", default), (terms * (2**mb - 1)).bit_length()
    bits = layer.get("init_bits", 1)
    return {
        key
        for key, wrong in {
            "fy": fw + layer.get("fx", 8) < fy,
            "fe": loss == "ce" and layer.get("fe", 8) != 8,
            "init_bits": bits > wb - 1,
            "ms": not wide - 3 <= ms <= 12 if rule == "tlc" else loss == "hinge" and fy + ms < 0,
            "sr": layer.get("sr", False) and wb > 10,
            "gs": "gs" in layer,
            **{key: key in layer and rule != "tlc" for key in TRAINED},
        }.items()
        if wrong
    }


@settings(deadline=None, max_examples=3000, derandomize=True)
@given(
    changed=st.lists(st.sampled_from([*FORMATS, "sr", "loss", "init"]), max_size=6, unique=True),
    rule=st.sampled_from(["sym", "scfb", "random", "frozen", "tlc"]),
    draw=st.data(),
)
def test_each_combination_is_taken_or_refused(changed, rule, draw):
    """There is no third case: what is refused names a key that is to blame, all else trains."""
    values = {
        "sr": st.booleans(),
        "loss": st.sampled_from(["hinge", "ce"]),
        "init": st.sampled_from(["uniform", "gauss"]),
    }
    layer = {"neurons": 4, "rule": rule}
    for key in changed:
        layer[key] = draw.draw(values[key] if key in values else st.integers(*FORMATS[key]), key)
    table, blamed = {"inputs": 3, "classes": 3, "layer": [layer]}, refused(layer)
    if blamed:
        with pytest.raises(SpecError, match=rf"^x: layer 0: ({'|'.join(blamed)}): (must|is for) "):
            parse(table, "x")
        return
    net = IntegerNetwork(parse(table, "x"))
    reference = Reference(net.layers[0])
    check_step(net, [reference], *noise(net, 1, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    "layer",
    [
        {"rule": "tlc", "mb": 1, "ms": -2, "fy": 1},
        {"loss": "ce", "ms": -8, "fy": 2},
        {"loss": "ce", "rule": "tlc", "mb": 1, "ms": -2, "fy": 0},
    ],
)
def test_where_there_is_no_margin_to_be_0(layer):
    layer = {"neurons": 4, "rule": "sym"} | layer
    assert not refused(layer)
    net = IntegerNetwork(parse({"inputs": 3, "classes": 3, "layer": [layer]}, "x"))
    references, random = [Reference(net.layers[0])], torch.Generator().manual_seed(1)
    for _ in range(5):
        check_step(net, references, *noise(net, 1, random))

# SPDX-License-Identifier: BSD-2-Clause
"""The Verilog of a network as others get it: one file with its data sheet and an example."""

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate, groupby

from amaranth.hdl import Shape
from amaranth.lib import data
from amaranth.lib.wiring import In

from golden.layer_spec import FORMATS, TRAINED_BITS
from golden.spec import NetworkSpec

from .estimate import estimate
from .example import example
from .flat_ports import FlatPorts, Port
from .network import Network
from .ports import HEALTH, Command, Rule
from .primitives import ECP5, Primitives
from .verilog import convert, module_name, waived

__all__ = ["description", "export"]

#: What the ports are for; those of a layer without its name.
MEANINGS = {
    "i_valid": "a beat of a packet is on the ports i_*",
    "i_ready": "the beat is accepted at a rising edge with i_valid high",
    "i_header_command": "what to do with the packet: see Commands",
    "i_header_label": "the sample's class; C and more are no class; any for READ, LOAD",
    "i_last": "the beat is the packet's last",
    "i_gap": "columns from the first pixel of the beat before to that of this one: see Commands",
    "i_x": "pixels; any for READ, LOAD",
    "result_valid": "a record of a packet is on the ports result_*",
    "result_ready": "the record is accepted at a rising edge with result_valid high",
    "result_header_command": "the packet's command",
    "result_header_label": "the packet's label",
    "result_header_left": "the sample had left below: see Early exit",
    "result_margin": "the largest score less the second largest",
    "threshold": "see Early exit",
    "counters_left": "samples that had left below",
    "result_prediction": "the class with the largest score, the lowest of equal ones",
    "result_correct": "the prediction is the label; both only for TRAIN and INFER",
    "lr": "learning rate 2^-lr: see Learning rate and rule",
    "rule": "see Learning rate and rule",
    "weights_in_valid": "a weight is on weights_in_payload; it is accepted only during LOAD",
    "weights_in_ready": "the weight is accepted at a rising edge with weights_in_valid high",
    "weights_in_payload": "a weight, two's complement",
    "weights_out_valid": "a weight is on weights_out_payload, during READ",
    "weights_out_ready": "the weight is accepted at a rising edge with weights_out_valid high",
    "weights_out_payload": "a weight, two's complement",
    "counters_cycles": "clocks since reset",
    "counters_forward": "clocks in which an input that is not 0 meets a weight of every lane",
    "counters_update": "clocks in which a weight of every lane is updated",
    "counters_gap": "clocks in which the pipeline runs empty",
    "counters_stall_input": "clocks in which no sample has arrived",
    "counters_stall_error": "clocks in which the errors are not made yet",
    "counters_stall_output": "clocks in which the next layer or the reader does not keep up",
    "counters_other": "all other clocks: initialisation, commands",
    "counters_columns_skipped": "inputs of samples that were 0",
    "counters_updates_skipped": "training samples that updated nothing, for all errors were 0",
    "counters_groups_skipped": "groups of lanes that such updates left out, for theirs were 0",
    "counters_weight_reads": "weights that were read, forward and for updates",
    "counters_weight_writes": "weights that were updated",
    "counters_samples": "samples of TRAIN",
    "counters_no_error": "samples of TRAIN whose errors were all 0",
    "counters_saturated": "activations of samples of TRAIN that were at their upper end",
    "counters_updates": "weights that were to change: neither local error nor input was 0",
    "counters_updates_lost": "of them, those whose change was rounded to 0",
    "counters_at_limit": "weights at an end of their range, of the last READ",
    "counters_dead": "neurons that were 0 in all samples of TRAIN: see Health",
}


#: Keys of layers alone that train their classifiers.
TRAINED = ("lrv", "v_lanes")


def export(spec: NetworkSpec, primitives: Primitives) -> str:
    """Write the network of a description as Verilog: the data sheet, an example, the modules.

    The same description gives the same text wherever its file lies.

    Raises
    ------
    PlanError
        If there can be no hardware of it.
    RuntimeError
        If Yosys fails, with its message.
    """
    network = Network(spec=spec, primitives=primitives)
    flat = FlatPorts(network)
    name = module_name(spec.name)
    sheet = [
        *_introduction(spec, name),
        *_protocol(network),
        *_rates(network),
        *_early_exit(network),
        *_timing(network),
        *_health(network),
        *_ports(flat.ports),
        *_making(spec, primitives),
    ]
    head = "\n".join(f"// {line}".rstrip() for line in sheet)
    modules = convert(flat, name=name, tidy=True)
    return f"{head}\n\n{waived(example(network, flat.ports, name) + modules)}"


def description(spec: NetworkSpec) -> str:
    """Write a description as TOML, every default resolved; of the data only their sizes."""
    lines = [
        f"{key} = {json.dumps(getattr(spec, key))}"
        for key in ("name", "inputs", "classes", "seed", "batch", "epochs", "lr_step")
    ]
    for layer in spec.layers:
        lines += ["", "[[layer]]"]
        keys = ("neurons", "rule", "loss", "init", "source", "sr")
        # Only networks of convolutions have a gs.
        keys += tuple(key for key in FORMATS if key not in (*TRAINED, "gs"))
        keys += () if layer.margin is None else ("margin",)
        keys += ("health",) if layer.health else ()
        if layer.rule == "tlc":
            keys += ("lrv",) if layer.v_lanes is None else TRAINED
        lines += [f"{key} = {json.dumps(getattr(layer, key))}" for key in keys]
    return "\n".join(lines)


def _title(text: str) -> list[str]:
    return ["", text, "-" * len(text)]


def _introduction(spec: NetworkSpec, name: str) -> Iterator[str]:
    yield f"{name}: a network that learns from local errors, in hardware"
    yield ""
    yield "Samples and their labels go in. Each layer computes its activations, predicts the class"
    yield "through a fixed random classifier of its own, makes an error from the label and updates"
    yield "its weights, all layers at the same time. The last layer's prediction is the network's."
    yield ""
    yield "    layer   inputs  neurons  classes  lanes    weights  bits of each, of its fraction"
    for layer in spec.layers:
        yield (
            f"{layer.index:9}{layer.inputs:9}{layer.neurons:9}{layer.classes:9}{layer.lanes:7}"
            f"{layer.weights:11}{layer.wb:7}{layer.fw:4}"
        )
    yield from _title("Clock, reset, streams")
    yield "clk    everything happens at its rising edge"
    yield "rst    synchronous, active high; may be tied to 0, since registers have initial values"
    yield ""
    yield "Ports *_valid, *_ready and those of the same name beside them are a stream. A transfer"
    yield "happens at each rising edge at which valid and ready are high. Once valid is high, it"
    yield "stays so, and the payload stays as it is, until the transfer; so must you do."
    yield ""
    yield "After reset each layer makes its initial weights, one a clock. The first packet waits."


def _protocol(network: Network) -> Iterator[str]:
    yield from _title("Commands")
    width = len(network.i.p.x)
    yield f"A packet of TRAIN or INFER is a sample, {width} pixels a beat, with the same command"
    yield "and label in each of its beats, and i_last in the last. A packet of READ or LOAD is one"
    yield "beat. Packets pass the layers in order. Each layer answers each with one record on"
    yield "layerN_result_*, in order, and waits until its record is accepted."
    yield ""
    yield "The beats go through the pixels from the first to the last; pixels that no beat brings"
    yield "are 0. i_gap says how far the first pixel of a beat is from that of the beat before; in"
    yield "the first beat of a packet, from pixel 0. So there are two ways to send a sample, which"
    yield "may be mixed:"
    yield f"all of it    i_gap is 0 in the first beat and then always {width}; what is left of the"
    yield "             last beat is 0"
    yield "as a list    one pixel that is not 0 a beat, in the lowest bits of i_x, zeros above it,"
    yield "             and in i_gap how far it is from the one before; without any, a beat of 0"
    yield "Pixels that are 0 cost no time in the lanes."
    yield ""
    meanings = {
        "TRAIN": "predict, and learn from the label",
        "INFER": "predict only",
        "READ": "put out all weights on layerN_weights_out_*",
        "LOAD": "take all weights from layerN_weights_in_*",
    }
    for command in Command:
        yield f"{command.value}  {command.name:6} {meanings[command.name]}"
    yield ""
    yield "Every packet finds the weights as the packet before it has left them: nothing need be"
    yield "sent between them. The record of READ or LOAD comes when all weights of the layer have"
    yield "moved. READ and LOAD go through the layers one after the other, layer 0 first."
    yield ""
    dropping = [str(layer.index) for layer in network.spec.layers if layer.dropout]
    if dropping:
        yield f"TRAIN drops neurons of layers {', '.join(dropping)}, by numbers that begin at reset"
        yield "and go on with every TRAIN, whatever is loaded between."
        yield ""
    yield "Order of weights: all of neuron 0, then all of neuron 1, and so on. Of a neuron first"
    yield "those of inputs 0, 1, and so on, and last the bias."
    trained = [f"layer{plan.layer.index}" for plan in network.plans if plan.trained]
    if trained:
        yield f"The classifiers of {', '.join(trained)} learn too. Their weights, of {TRAINED_BITS}"
        yield "bits, follow in the same way, for each neuron those of class 0, 1, and so on."
        yield "They may still be moving when the next layer has begun."


def _rates(network: Network) -> Iterator[str]:
    yield from _title("Learning rate and rule")
    yield "Both are sampled when the error of a training sample is made, which is before the record"
    yield "of the sample comes. Change them when all samples have been answered."
    yield ""
    yield "    layer   lr: default  lowest  highest   rule: default"
    for plan in network.plans:
        rule = Rule.named(plan.layer.rule)
        name = "TLC" if plan.trained else rule.name
        yield (
            f"{plan.layer.index:9}{plan.layer.lr:14}{plan.lr_min:8}{plan.lr_max:9}"
            f"{rule.value:10} ({name})"
        )
    yield ""
    yield "There is no register behind these ports: tie them to the defaults, or drive them. An lr"
    yield "below the lowest acts as the lowest, one above the highest as the highest. Let it grow"
    yield "by one now and then as the training goes on: each time the learning rate halves."
    yield ""
    meanings = {
        "SYM": "errors come back through the classifier's own weights",
        "SCFB": "through other weights that have the same signs",
        "RANDOM": "through weights that have nothing to do with it: does not learn, for comparison",
        "FROZEN": "the weights stay as they are",
    }
    for rule in Rule:
        yield f"{rule.value}  {rule.name:7} {meanings[rule.name]}"
    if any(plan.trained for plan in network.plans):
        yield "Where the classifier learns, 0 to 2 are TLC: as SYM, and it learns. FROZEN stops"
        yield "both."


def _early_exit(network: Network) -> Iterator[str]:
    leaving = [plan for plan in network.plans if plan.layer.margin is not None]
    if not leaving:
        return
    yield from _title("Early exit")
    yield "An INFER leaves at the first of these layers whose margin for it, its largest score less"
    yield "the second largest, is at least threshold. The layers above do no work for it: their"
    yield "records of it have result_header_left set, and nothing else that counts. TRAIN does not"
    yield "leave."
    yield ""
    yield "    layer   threshold: default     of margin       never"
    for plan in leaving:
        layer, threshold = plan.layer, plan.threshold(plan.layer.margin)
        yield f"{layer.index:9}{threshold:21}{layer.margin:14g}{plan.never:12}"
    yield ""
    yield "There is no register behind threshold either. It is sampled in the clock in which the"
    yield "record of the sample is first shown on result_*."


def _timing(network: Network) -> Iterator[str]:
    spec, width = network.spec, len(network.i.p.x)
    expected = estimate(spec)
    yield from _title("Timing")
    yield "If neither samples nor the takers of records keep it waiting, the network takes a sample"
    yield f"of TRAIN about every {expected.clocks} clocks if no pixel, activation or error is 0."
    yield "Each zero makes it shorter, and so does INFER."
    yield "Clocks of each layer: " + ", ".join(str(layer.clocks) for layer in expected.layers)
    yield ""
    yield "A layer takes samples in while it works, and all layers work at the same time. After the"
    yield "last beat of a sample come, after at most about so many clocks, the records of"
    waits = accumulate(expected.clocks * (plan.lists + 2) for plan in network.plans)
    yield ", ".join(f"layer {index}: {clocks}" for index, clocks in enumerate(waits))
    yield "After reset a sample also waits for the initial weights."
    if spec.inputs <= 2 * width:
        return
    last = (spec.inputs - 1) // width
    yield ""
    yield "A TRAIN, at each rising edge of the clock; B0, B1, ... are beats of pixels:"
    yield ""
    pad = " " * len(str(last))
    yield f"    i_valid             0    1    1    1    ...  1 (B{last})   0"
    yield f"    i_ready             x    1    0    1    ...  1{pad}        x"
    yield "    i_header_command    x    0    0    0    ...  0"
    yield "    i_header_label      x    L    L    L    ...  L"
    yield "    i_last              x    0    0    0    ...  1"
    yield f"    i_gap               x    0    {width}    {width}    ...  {width}"
    yield f"    i_x                 x    B0   B1   B1   ...  B{last}"
    yield ""
    yield "B1 is held while i_ready is low. The module after this comment shows it in Verilog."


def _health(network: Network) -> Iterator[str]:
    layers = [f"layer{plan.layer.index}" for plan in network.plans if plan.layer.health]
    if not layers:
        return
    yield from _title("Health")
    yield f"The last {len(HEALTH)} counters of {', '.join(layers)} tell whether training has room."
    yield "They are right while the layer answers a READ. Take differences between two READs; but"
    yield "at_limit is of the weights of the READ, and dead of the samples of TRAIN since the READ"
    yield "before: the first TRAIN after a READ begins it anew."


def _ports(ports: Sequence[Port]) -> Iterator[str]:
    """List all ports: those of layers that are alike once."""
    yield from _title("Ports")
    yield "input          clk                      clock"
    yield "input          rst                      reset"
    yield from (_row(port, port.name) for port in ports if port.path[0] == "i")
    layers = [
        (str(owner), [(_row(port, port.name.removeprefix(f"{owner}_"))) for port in group])
        for owner, group in groupby(ports, lambda port: port.path[0])
        if owner != "i"
    ]
    for rows, alike in groupby(layers, lambda layer: layer[1]):
        owners = [owner for owner, _rows in alike]
        yield ""
        yield f"Ports of {', '.join(owners)}; the name of the layer and _ stand before each:"
        yield from rows
    yield ""
    yield "Ports monitor_* show what a layer computes, for verification; they may be left open."
    yield "They count for the one clock in which their valid is high."
    yield "Where a port holds several numbers, the first is the lowest."


def _row(port: Port, name: str) -> str:
    cast = port.cast
    bits = f"[{cast.width - 1}:0]" if cast.width > 1 else ""
    meaning = "see below" if name.startswith("monitor_") else MEANINGS[name]
    if isinstance(port.shape, data.ArrayLayout) and port.shape.length > 1:
        element = Shape.cast(port.shape.elem_shape)
        signed = "signed " * element.signed
        meaning += f"; {port.shape.length} numbers of {element.width} {signed}bits"
    direction = "input " if port.flow is In else "output"
    return f"{direction} {bits:>7} {name:24} {meaning}".rstrip()


def _making(spec: NetworkSpec, primitives: Primitives) -> Iterator[str]:
    yield from _title("Origin")
    try:
        release = version("lel")
    except PackageNotFoundError:
        release = "(version unknown)"
    yield f"Made by LEL {release}, with primitives {primitives.name}, from the description below:"
    yield "    python -m hw verilog FILE.toml -o FILE.v" + (
        "" if primitives.name == "portable" else f" --primitives {primitives.name}"
    )
    if primitives.name == ECP5.name:
        yield "To simulate it, add the models of the cells, ecp5_cells.v, which comes with LEL."
    yield "The module is named after the network, with lel_ before it; characters that identifiers"
    yield "do not have are _, and a digest of the name then follows."
    yield ""
    yield from (f"    {line}" for line in description(spec).splitlines())

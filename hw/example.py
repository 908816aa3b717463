# SPDX-License-Identifier: BSD-2-Clause
"""A test bench in Verilog that shows how a network's module is used."""

from collections.abc import Sequence
from typing import Any

from .flat_ports import Port
from .network import Network
from .ports import Command, Rule

__all__ = ["TRAINED", "example"]

#: How often the example trains on its sample.
TRAINED = 4


def example(network: Network, ports: Sequence[Port], name: str) -> str:
    """Write a test bench that trains, reads the weights, and says what the network says."""
    spec = network.spec
    top = len(network.plans) - 1
    tied: dict[str, Any] = {}
    for plan in network.plans:
        layer = plan.layer
        tied |= {
            f"layer{layer.index}_lr": layer.lr,
            f"layer{layer.index}_rule": Rule.named(layer.rule).value,
            **(
                {}
                if layer.margin is None
                else {f"layer{layer.index}_threshold": plan.threshold(layer.margin)}
            ),
            f"layer{layer.index}_result_ready": 1,
            f"layer{layer.index}_weights_out_ready": 1,
            f"layer{layer.index}_weights_in_valid": 0,
            f"layer{layer.index}_weights_in_payload": 0,
        }
    driven = {"i_valid": "valid", "i_header_command": "command", "i_header_label": "label",
              "i_last": "last", "i_gap": "gap", "i_x": "pixels"}  # fmt: skip
    width = len(network.i.p.x)
    widths = {port.name: port.cast.width for port in ports}
    outputs = [
        f"layer{i}_{key}"
        for i in range(top + 1)
        for key in ("result_valid", "result_header_command", "result_header_label",
                    "result_prediction", "result_correct", "weights_out_valid")
    ]  # fmt: skip
    weights = [f"layer{i}_weights_out_payload" for i in range(top + 1)]
    lines = [
        "// An example of use, which a simulator runs: it trains on one sample a few times, infers",
        "// it, and reads the weights. For instance:",
        # A comment that begins with the word verilator would be an order to Verilator.
        f"//     $ verilator --binary -DLEL_EXAMPLE --top-module {name}_example FILE.v",
        f"//     $ obj_dir/V{name}_example",
        "`ifdef LEL_EXAMPLE",
        "`timescale 1ns/1ps",
        f"module {name}_example;",
        "  reg clk = 0;",
        "  reg valid = 0, accepted = 0;",
        *(f"  reg [{widths[port] - 1}:0] {reg} = 0;" for port, reg in list(driven.items())[1:]),
        "  wire ready;",
        *(f"  wire [{widths[output] - 1}:0] {output};" for output in outputs),
        *(
            f"  wire signed [{plan.word_width - 1}:0] layer{i}_weights_out_payload;\n"
            f"  integer layer{i}_count = 0, layer{i}_check = 0;"
            for i, plan in enumerate(network.plans)
        ),
        "  integer i, j, k, clocks = 0;",
        "",
        f"  {name} network(",
        "    .clk(clk), .rst(1'b0), .i_ready(ready),",
        *(f"    .{port}({reg})," for port, reg in driven.items()),
        *(f"    .{port}({widths[port]}'d{value})," for port, value in tied.items()),
        *(f"    .{port}({port})," for port in weights),
        *(f"    .{output}({output})," for output in outputs[:-1]),
        f"    .{outputs[-1]}({outputs[-1]})",
        "  );",
        "",
        "  always #5 clk = !clk;",
        "",
        "  // One beat, from a falling edge until it has been accepted.",
        "  task beat(input integer what);",
        "    begin",
        "      valid = 1;",
        f"      command = what[{widths['i_header_command'] - 1}:0];",
        "      @(negedge clk);",
        "      while (!accepted) @(negedge clk);",
        "      valid = 0;",
        "    end",
        "  endtask",
        "",
        "  // A packet of READ or LOAD.",
        "  task order(input integer what);",
        "    begin",
        "      last = 1;",
        "      gap = 0;",
        "      beat(what);",
        "    end",
        "  endtask",
        "",
        "  // The pixel j of the sample: 37 j + 11, modulo 256.",
        "  function [7:0] pixel(input integer column);",
        "    begin",
        f"      pixel = column < {spec.inputs} ? 8'(37 * column + 11) : 8'd0;",
        "    end",
        "  endfunction",
        "",
        "  // A packet of TRAIN or INFER, all pixels of the sample.",
        "  task sample(input integer what);",
        "    begin",
        f"      for (j = 0; j < {spec.inputs}; j = j + {width}) begin",
        f"        for (i = 0; i < {width}; i = i + 1) pixels[8*i +: 8] = pixel(j + i);",
        f"        last = j + {width} >= {spec.inputs};",
        f"        gap = j == 0 ? {widths['i_gap']}'d0 : {widths['i_gap']}'d{width % spec.inputs};",
        "        beat(what);",
        "      end",
        '      $display("clock %0d: command %0d accepted", clocks, what);',
        "    end",
        "  endtask",
        "",
        "  initial begin",
        "    label = 1;",
        "    @(negedge clk);",
        f"    for (k = 0; k < {TRAINED}; k = k + 1) sample({Command.TRAIN.value});",
        f"    sample({Command.INFER.value});",
        f"    order({Command.READ.value});",
        "  end",
        "",
        "  // Records as they are accepted, and a checksum of the weights in their order.",
        "  always @(posedge clk) begin",
        "    accepted <= valid && ready;",
        "    clocks <= clocks + 1;",
    ]
    for i in range(top + 1):
        lines += [
            f"    if (layer{i}_weights_out_valid) begin",
            f"      layer{i}_count <= layer{i}_count + 1;",
            f"      layer{i}_check <= 31 * layer{i}_check + layer{i}_weights_out_payload;",
            "    end",
            f"    if (layer{i}_result_valid)",
            f'      $display("clock %0d: layer {i}: command %0d, label %0d, prediction %0d, '
            'correct %0d, weights %0d, check %0d",',
            f"        clocks, layer{i}_result_header_command, layer{i}_result_header_label, "
            f"layer{i}_result_prediction,",
            f"        layer{i}_result_correct, layer{i}_count, layer{i}_check);",
        ]
    lines += [
        f"    if (layer{top}_result_valid && layer{top}_result_header_command == "
        f"{Command.READ.value}) $finish;",
        "  end",
        "endmodule",
        "`endif",
        "",
    ]
    return "\n".join(lines)

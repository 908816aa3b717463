// SPDX-License-Identifier: BSD-2-Clause
//
// Behaviour of the two ECP5 cells that hw/primitives/ecp5.py uses, for simulation. What that file
// does not use is not modelled; a cell that asks for it ends the simulation.

/* verilator lint_off DECLFILENAME */ // the file holds both cells
/* verilator lint_off UNUSEDSIGNAL */ // ports and parameters of the cells that are not modelled
/* verilator lint_off UNUSEDPARAM */

module MULT18X18D(
  input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
  input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0,
  output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  parameter REG_INPUTA_CLK = "NONE";
  parameter REG_INPUTB_CLK = "NONE";
  parameter REG_PIPELINE_CLK = "NONE";
  parameter REG_OUTPUT_CLK = "NONE";

  initial begin
    if (REG_INPUTA_CLK != "CLK0" || REG_INPUTB_CLK != "CLK0" || REG_PIPELINE_CLK != "NONE"
        || REG_OUTPUT_CLK != "CLK0") begin
      $display("MULT18X18D: modelled only with CLK0 on both inputs and on the output");
      $fatal;
    end
  end

  reg signed [18:0] a, b;
  reg signed [35:0] p;
  wire [17:0] a_in = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1,
    A0};
  wire [17:0] b_in = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1,
    B0};

  // A nineteenth bit makes an unsigned operand a positive signed one.
  always @(posedge CLK0)
    if (RST0) begin
      a <= 0;
      b <= 0;
      p <= 0;
    end else if (CE0) begin
      a <= {SIGNEDA & a_in[17], a_in};
      b <= {SIGNEDB & b_in[17], b_in};
      p <= a * b;
    end

  always @(posedge CLK0)
    if (SOURCEA || SOURCEB) begin
      $display("MULT18X18D: the shift chains are not modelled");
      $fatal;
    end

  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19,
    P18, P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = p;
endmodule

module DP16KD(
  input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5,
    DIA4, DIA3, DIA2, DIA1, DIA0,
  input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5,
    DIB4, DIB3, DIB2, DIB1, DIB0,
  input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
  input CSA2, CSA1, CSA0,
  input CLKA, CEA, OCEA, WEA, RSTA,
  input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
  input CSB2, CSB1, CSB0,
  input CLKB, CEB, OCEB, WEB, RSTB,
  output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
    DOA4, DOA3, DOA2, DOA1, DOA0,
  output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
    DOB4, DOB3, DOB2, DOB1, DOB0
);
  parameter DATA_WIDTH_A = 18;
  parameter DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG";
  parameter REGMODE_B = "NOREG";
  parameter RESETMODE = "SYNC";
  parameter WRITEMODE_A = "NORMAL";
  parameter WRITEMODE_B = "NORMAL";
  parameter CSDECODE_A = "0b000";
  parameter CSDECODE_B = "0b000";
  parameter GSR = "ENABLED";

  initial begin
    if (DATA_WIDTH_A != DATA_WIDTH_B || REGMODE_A != "OUTREG" || REGMODE_B != "OUTREG"
        || RESETMODE != "SYNC" || CSDECODE_A != "0b000" || CSDECODE_B != "0b000") begin
      $display("DP16KD: modelled only as port A for writing and port B, as wide, for reading");
      $fatal;
    end
  end

  localparam LOW = DATA_WIDTH_A == 36 ? 5 : DATA_WIDTH_A == 18 ? 4 : DATA_WIDTH_A == 9 ? 3
      : DATA_WIDTH_A == 4 ? 2 : DATA_WIDTH_A == 2 ? 1 : 0;
  reg [35:0] array[0:(1 << (14 - LOW)) - 1];
  reg [35:0] latch, register;

  wire [35:0] data = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7,
    DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0, DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11,
    DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
  wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3,
    ADA2, ADA1, ADA0};
  wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3,
    ADB2, ADB1, ADB0};
  wire select_a = {CSA2, CSA1, CSA0} == 0;
  wire select_b = {CSB2, CSB1, CSB0} == 0;
  wire [13:0] row_a = address_a >> LOW;
  wire [13:0] row_b = address_b >> LOW;
  // Words of 18 and 36 bits have bytes; their enables are the lowest address bits.
  wire [35:0] bytes = {{9{address_a[3]}}, {9{address_a[2]}}, {9{address_a[1]}}, {9{address_a[0]}}};
  wire [35:0] enables = LOW >= 4 ? bytes : 36'hfffffffff;
  wire write = CEA & WEA & select_a;

  always @(posedge CLKA)
    if (write) array[row_a[13-LOW:0]] <= array[row_a[13-LOW:0]] & ~enables | data & enables;

  // A read in the clock of a write to the same row has no defined value: give a wrong one.
  always @(posedge CLKB) begin
    if (WEB || !WEA && LOW == 5) begin
      $display("DP16KD: writing through port B, and WEA with 36 bits, are not modelled");
      $fatal;
    end
    if (RSTB) register <= 0;
    else if (OCEB) register <= latch;
    if (CEB & select_b)
      latch <= write && row_a == row_b ? ~array[row_b[13-LOW:0]] : array[row_b[13-LOW:0]];
  end

  // Port A reads nothing but the lower half of the words that need the pins of both ports.
  wire [17:0] mask = LOW == 5 ? 18'h3ffff : (18'd1 << DATA_WIDTH_B) - 18'd1;
  wire [17:0] lower = LOW == 5 ? register[17:0] : 0;
  wire [17:0] upper = LOW == 5 ? register[35:18] : register[17:0];
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
    DOA4, DOA3, DOA2, DOA1, DOA0} = lower;
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
    DOB4, DOB3, DOB2, DOB1, DOB0} = upper & mask;
endmodule

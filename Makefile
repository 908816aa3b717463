# SPDX-License-Identifier: BSD-2-Clause
# Every target sets up the environment by itself; `make` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV)/bin)
RUN := $(BIN)/python -m

CONFIG ?= digits
BOARD ?= ulx3s
SIZE ?= 85F
# The board's system clock in MHz, and the seeds of place and route.
FREQ ?= 100
SEEDS ?= 1

# An option of the command line for each variable that is set.
option = $(if $(2),--$(1) $(2))

.DEFAULT_GOAL := help
.PHONY: help sim train paper sweep test lint bench bench-sim bench-golden estimate verilog \
        bitstream program clean

help:
	@echo "make sim           train in RTL beside the golden model, and compare every bit"
	@echo "                   CONFIG=digits|mnist|FILE.toml SAMPLES=n EPOCHS=n TEST=n WAVES=1"
	@echo "make test          check style and types, run the tests"
	@echo "make train         train the golden model alone            CONFIG= EPOCHS="
	@echo "make paper         the paper's tables and figures, ours beside it"
	@echo "                   EXHIBIT=all|table1|table2|figure3|figure6 METHOD= EPOCHS= RUNS=n QUICK=1"
	@echo "make sweep         which formats and sizes a network needs  STUDY= EPOCHS= RUNS=n QUICK=1"
	@echo "make bench         how well the hardware uses its clocks   CONFIG=mnist"
	@echo "make bench-sim     how fast the simulation runs            CONFIG="
	@echo "make bench-golden  how fast the golden model trains"
	@echo "make estimate      what a network takes, before synthesis  CONFIG= BOARD="
	@echo "make verilog       stand-alone Verilog in build/           CONFIG="
	@echo "make bitstream     CONFIG= BOARD=ulx3s SIZE=85F|45F|25F|12F FREQ=MHz SEEDS=\"1 2 3\""
	@echo "make program       load the bitstream                      as bitstream"
	@echo "make clean         remove what was built"

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable ".[sim,boards,export,test]"
	touch $@

sim: $(VENV)/installed
	$(RUN) sim $(CONFIG) $(call option,samples,$(SAMPLES)) $(call option,epochs,$(EPOCHS)) \
	    $(call option,test,$(TEST)) $(if $(WAVES),--waves)

train: $(VENV)/installed
	$(RUN) golden train $(CONFIG) $(call option,epochs,$(EPOCHS))

# What both commands of many runs take.
many = $(call option,epochs,$(EPOCHS)) $(call option,seeds,$(RUNS)) $(if $(QUICK),--quick)

EXHIBIT ?= all
paper: $(VENV)/installed
	$(RUN) golden paper $(EXHIBIT) $(many) $(if $(METHOD),--method "$(METHOD)")

sweep: $(VENV)/installed
	$(RUN) golden sweep $(STUDY) $(many)

bench: CONFIG := $(if $(filter file default,$(origin CONFIG)),mnist,$(CONFIG))
bench: $(VENV)/installed
	$(RUN) sim utilisation $(CONFIG)

bench-sim: $(VENV)/installed
	$(RUN) sim bench $(CONFIG)

bench-golden: $(VENV)/installed
	$(RUN) golden bench

estimate: $(VENV)/installed
	$(RUN) hw estimate $(CONFIG) --board $(BOARD)

verilog: $(VENV)/installed
	mkdir -p build
	$(RUN) hw verilog $(CONFIG) -o build/$(notdir $(basename $(CONFIG))).v

bitstream: $(VENV)/installed
	$(RUN) boards build $(BOARD) --config $(CONFIG) --size $(SIZE) --freq $(FREQ) --seeds $(SEEDS)

program: $(VENV)/installed
	$(RUN) boards program $(BOARD) --config $(CONFIG) --size $(SIZE) --freq $(FREQ) --seeds $(SEEDS)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

test: lint
	$(BIN)/pytest -n 2

clean:
	rm -rf build

# SPDX-License-Identifier: BSD-2-Clause
# Every target sets up the environment by itself; `make` lists them.

PYTHON ?= python3
VENV ?= .venv

CONFIG ?= digits
BOARD ?= ulx3s
# The board's system clock in MHz, and the seeds of place and route.
FREQ ?= 100
SEEDS ?= 2
EXHIBIT ?= all
FORMAT ?= onnx

# The value of a variable as one word for the shell, whatever is in it.
quoted = '$(subst ','\'',$(value $(1)))'
# An option of the command line, if the variable is set.
option = $(if $(value $(2)),--$(1)=$(call quoted,$(2)))
# Where the environment's programs are. All are called through Python: their own first lines cannot
# hold every path.
RUN = $(call quoted,VENV)/bin/python -m

.DEFAULT_GOAL := help
.PHONY: help environment sim train data export paper sweep test fuzz lint bench bench-sim bench-golden cost \
        estimate verilog bitstream program clean

help:
	@echo "make sim           train in RTL beside the golden model, and compare every bit"
	@echo "                   CONFIG=digits|mnist|FILE.toml SAMPLES=n EPOCHS=n TEST=n WAVES=1"
	@echo "                   WEIGHTS=FILE.npz to start from"
	@echo "make test          check style and types, run the tests"
	@echo "make fuzz          draw more networks at random, and compare every bit"
	@echo "                   N=200 SEED=0, or CASE=FILE.toml to try one that failed again"
	@echo "make train         train the golden model alone            CONFIG= EPOCHS= WEIGHTS= OUT=FILE.npz"
	@echo "make data          what a description trains on            CONFIG="
	@echo "make export        take weights elsewhere                  CONFIG= WEIGHTS=FILE.npz"
	@echo "                   FORMAT=onnx|c|npz OUT=FILE"
	@echo "make paper         the paper's tables and figures, ours beside it"
	@echo "                   EXHIBIT=all|table1|table2|figure3|figure6 METHOD= EPOCHS= RUNS=n QUICK=1"
	@echo "                   EXHIBIT=table3|figure4|table4|table5|figure5 WIDTH=0.25 on CIFAR-10"
	@echo "make sweep         which formats and sizes a network needs  STUDY= EPOCHS= RUNS=n QUICK=1"
	@echo "make bench         what the hardware spends its clocks on  CONFIG=mnist SAMPLES=n"
	@echo "make cost          what each choice of a description costs CONFIG= CHOICE="
	@echo "make bench-sim     how fast the simulation runs            CONFIG="
	@echo "make bench-golden  how fast the golden model trains        CONFIG=mnist-wide|cifar10"
	@echo "make estimate      what a network takes, before synthesis  CONFIG= BOARD= SIZE="
	@echo "make verilog       stand-alone Verilog in build/           CONFIG="
	@echo "make bitstream     CONFIG= BOARD=ulx3s SIZE=85F|45F|25F|12F FREQ=MHz SEEDS=\"1 2 3\""
	@echo "make program       load the bitstream                      as bitstream"
	@echo "make clean         remove what was built"
	@echo
	@echo "VENV=FOLDER is where the environment is made (.venv), PYTHON=python3 what makes it."

# Make cannot name a target with a space in its path, so that the shell looks at the dates.
environment:
	@if ! [ $(call quoted,VENV)/installed -nt pyproject.toml ] || \
	    ! [ $(call quoted,VENV)/installed -nt Makefile ]; then \
	    $(call quoted,PYTHON) -m venv $(call quoted,VENV) && \
	    $(RUN) pip install --quiet torch==2.13.0 && \
	    $(RUN) pip install --quiet --editable ".[sim,boards,export,test]" && \
	    touch $(call quoted,VENV)/installed; \
	fi

sim: environment
	$(RUN) sim $(call option,samples,SAMPLES) $(call option,epochs,EPOCHS) \
	    $(call option,test,TEST) $(call option,weights,WEIGHTS) $(if $(WAVES),--waves) \
	    -- $(call quoted,CONFIG)

train: environment
	$(RUN) golden train $(call option,epochs,EPOCHS) $(call option,weights,WEIGHTS) \
	    $(call option,out,OUT) -- $(call quoted,CONFIG)

data: environment
	$(RUN) golden data -- $(call quoted,CONFIG)

export: environment
	$(RUN) golden export $(call option,format,FORMAT) $(call option,out,OUT) \
	    -- $(call quoted,CONFIG) $(call quoted,WEIGHTS)

# What both commands of many runs take.
many = $(call option,epochs,EPOCHS) $(call option,seeds,RUNS) $(if $(QUICK),--quick)

paper: environment
	$(RUN) golden paper $(many) $(call option,method,METHOD) $(call option,width,WIDTH) \
	    -- $(call quoted,EXHIBIT)

sweep: environment
	$(RUN) golden sweep $(many) -- $(if $(value STUDY),$(call quoted,STUDY))

bench: CONFIG := $(if $(filter file default,$(origin CONFIG)),mnist,$(value CONFIG))
bench: environment
	$(RUN) sim clocks $(call option,samples,SAMPLES) -- $(call quoted,CONFIG)

cost: environment
	$(RUN) sim cost $(call option,choice,CHOICE) -- $(call quoted,CONFIG)

bench-sim: environment
	$(RUN) sim bench -- $(call quoted,CONFIG)

bench-golden: CONFIG := $(if $(filter file default,$(origin CONFIG)),mnist-wide,$(value CONFIG))
bench-golden: environment
	$(RUN) golden bench -- $(call quoted,CONFIG)

estimate: environment
	$(RUN) hw estimate $(call option,board,BOARD) $(call option,size,SIZE) -- $(call quoted,CONFIG)

verilog: environment
	mkdir -p build
	$(RUN) hw verilog --out="build/$$(basename -- $(call quoted,CONFIG) .toml).v" \
	    $(call option,size,SIZE) -- $(call quoted,CONFIG)

# What both targets for a board take.
board = $(call option,config,CONFIG) $(call option,size,SIZE) $(call option,freq,FREQ) \
    --seeds $(SEEDS) -- $(call quoted,BOARD)

bitstream: environment
	$(RUN) boards build $(board)

program: environment
	$(RUN) boards program $(board)

lint: environment
	$(RUN) ruff check .
	$(RUN) ruff format --check --quiet .
	$(RUN) pyright --pythonpath $(call quoted,VENV)/bin/python

test: lint
	$(RUN) pytest -n 2

fuzz: environment
	$(RUN) tests.fuzz $(call option,networks,N) $(call option,seed,SEED) $(call option,case,CASE)

clean:
	rm -rf build

# SPDX-License-Identifier: BSD-2-Clause
"""What a network will take of a device and of time, before any synthesis.

Clocks, multipliers and memory blocks follow from the plan and are exact. LUTs and flip-flops are
fitted: the coefficients below come from syntheses of the networks in `tests/hw/test_estimate.py`,
which says how far off they may be.
"""

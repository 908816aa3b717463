# SPDX-License-Identifier: BSD-2-Clause
"""The paper's own evidence, made again: its rules in floats, its tables and its figures."""

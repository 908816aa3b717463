# SPDX-License-Identifier: BSD-2-Clause
"""The engine: event lists, lanes and weights. It knows no classes, no labels and no rules."""

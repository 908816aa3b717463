# SPDX-License-Identifier: BSD-2-Clause
"""How it is checked: the trainer, compiled, learns beside the golden model, bit by bit."""

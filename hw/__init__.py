# SPDX-License-Identifier: BSD-2-Clause
"""How it is computed: the trainer as Amaranth components, one to a file."""

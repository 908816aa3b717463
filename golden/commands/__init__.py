# SPDX-License-Identifier: BSD-2-Clause
"""The commands of `python -m golden`, one a module.

Each registers itself with `add(commands)`. What takes long to import, such as PyTorch, is imported
by what carries a command out, so that the help and complaints come at once.
"""

# SPDX-License-Identifier: BSD-2-Clause
"""What both halves of a layer are made of."""

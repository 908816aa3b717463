# SPDX-License-Identifier: BSD-2-Clause
"""Board tops, their clocks, the byte link to a host, and the host's side of it."""

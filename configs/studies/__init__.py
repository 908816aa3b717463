# SPDX-License-Identifier: BSD-2-Clause
"""Studies that are known by their names."""

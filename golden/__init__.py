# SPDX-License-Identifier: BSD-2-Clause
"""What must be computed: the network description and the integer model of the learning rule."""

# SPDX-License-Identifier: BSD-2-Clause
"""What must be computed: the network description and the integer model of the learning rule."""

import os

# PyTorch's threads spin while they wait for one another: on a machine that others use too, a
# training step then takes thirty times as long. They read this when PyTorch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

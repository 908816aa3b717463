# SPDX-License-Identifier: BSD-2-Clause
"""What all tests need."""

import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def _interruptible():
    """Let programs that tests start be interrupted.

    What runs in the background of a shell is deaf to interrupts, and so are its children.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)

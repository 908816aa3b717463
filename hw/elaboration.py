# SPDX-License-Identifier: BSD-2-Clause
"""How Amaranth is called, whatever it is to write."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collector_off"]


@contextmanager
def collector_off() -> Iterator[None]:
    """Put Python's garbage collector off.

    Amaranth makes millions of objects of a network, and nearly all of them live until it is done:
    to search them for garbage again and again takes a fifth of the time or more.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

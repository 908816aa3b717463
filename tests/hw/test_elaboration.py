# SPDX-License-Identifier: BSD-2-Clause
"""Python's garbage collector around Amaranth."""

import gc

import pytest

from hw.elaboration import collector_off


def test_it_is_back_after_an_error():
    @collector_off()
    def elaborate():
        raise ValueError(f"collecting: {gc.isenabled()}")

    with pytest.raises(ValueError, match="collecting: False"):
        elaborate()
    assert gc.isenabled()


def test_who_has_put_it_off_finds_it_off():
    gc.disable()
    try:
        with collector_off():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()

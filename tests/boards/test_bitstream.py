# SPDX-License-Identifier: BSD-2-Clause
"""A real bitstream of a small network, with the real tools."""

import json

import pytest

from boards.__main__ import main

SPEC = """\
name = "small"
inputs = 4
classes = 2

[[layer]]
neurons = 2
lanes = 1
"""
#: Every bitstream for an ECP5 begins a configuration after this preamble.
PREAMBLE = bytes.fromhex("ffffbdb3")


def test_small_network(tmp_path, monkeypatch, capsys):
    """It is built, in time, and takes about what the estimate says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SPEC)
    arguments = ["--config", "small.toml", "--size", "12F", "--freq", "50", "--seeds", "1"]
    assert main(["build", "ulx3s", *arguments]) == 0
    assert "small on ulx3s-12F" in capsys.readouterr().out

    folder = tmp_path / "build" / "ulx3s-12F" / "small"
    assert PREAMBLE in (folder / "small.bit").read_bytes()[:1000]
    resources = json.loads((folder / "summary.json").read_text())["resources"]
    used = {key: use["used"] for key, use in resources.items()}
    estimate = {key: use["estimate"] for key, use in resources.items()}
    assert used["dsp"] == estimate["dsp"] == 1
    assert used["ebr"] == estimate["ebr"]
    assert used["lut"] == pytest.approx(estimate["lut"], rel=0.2)
    assert used["ff"] == pytest.approx(estimate["ff"], rel=0.1)

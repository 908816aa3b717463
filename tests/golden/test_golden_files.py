# SPDX-License-Identifier: BSD-2-Clause
"""Files that are whole or not there, and places that are looked at before the work."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from golden.__main__ import main
from golden.errors import InputError, shown
from golden.files import check_folder, check_place, replacing, write_text


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("older")

    def interrupted():
        with replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "older"
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "older"
    assert path.read_text() == "new"
    assert [*tmp_path.iterdir()] == [path]


def test_links_stay_links(tmp_path):
    target, link = tmp_path / "disk" / "file", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to(target)
    for text in ("first", "second"):
        check_place(link, 10)
        write_text(link, text)
        assert link.is_symlink()
        assert target.read_text(encoding="utf-8") == text
    assert [*target.parent.iterdir()] == [target]


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="there is no /dev/null")
def test_devices_stay_devices(tmp_path):
    check_place(Path("/dev/null"), 10)
    write_text(Path("/dev/null"), "text")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(InputError, match="is a folder; give a file to write to"):
        check_place(tmp_path)


def test_places(tmp_path, monkeypatch):
    check_place(tmp_path / "new", 10**6)
    assert not [*tmp_path.iterdir()]
    with pytest.raises(InputError, match=f"^{tmp_path}/no/new: there is no folder {tmp_path}/no; "):
        check_place(tmp_path / "no" / "new")

    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(InputError) as caught:
        check_place(tmp_path / "new", 5)
    assert str(caught.value) == (
        f"{tmp_path}/new: cannot be written: No space left on device; give a file in a folder that "
        "can be written, with room for 5 bytes"
    )


def test_folders(tmp_path):
    check_folder(tmp_path / "a" / "b", 1000)
    assert [*tmp_path.rglob("*")] == [tmp_path / "a", tmp_path / "a" / "b"]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=f"^{tmp_path}/file: cannot be written: File exists; "):
        check_folder(tmp_path / "file")
    with pytest.raises(InputError, match=f"^{tmp_path}: the disk has room for .* make room, or "):
        check_folder(tmp_path, 1 << 60)


@pytest.mark.parametrize(
    "command",
    [("sweep", "formats"), ("paper", "all"), ("test", "digits", "--weights", "w.npz")],
)
def test_folders_are_looked_at_before_the_work(command, tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"")
    assert main([*command, "--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/file: cannot be written: ")


def test_paths_in_messages(tmp_path):
    assert shown(tmp_path / "größe") == f"{tmp_path}/größe"
    assert shown(tmp_path / "a\nb\x1b[m") == f"'{tmp_path}/a\\nb\\x1b[m'"

# SPDX-License-Identifier: BSD-2-Clause
"""Files that are whole or not there, and places that are looked at before the work."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from golden.errors import InputError, shown
from golden.files import check_place, replacing, write_text


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


def test_paths_in_messages(tmp_path):
    assert shown(tmp_path / "größe") == f"{tmp_path}/größe"
    assert shown(tmp_path / "a\nb\x1b[m") == f"'{tmp_path}/a\\nb\\x1b[m'"

"""Files that are replaced whole."""

import os
from pathlib import Path

import pytest

from dhm.errors import RunError
from dhm.files import replacing


def write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    file, link = tmp_path / "a" / "file", tmp_path / "link"
    link.symlink_to(file)
    for text in ("new", "newer"):
        write(link, text)
        assert link.is_symlink() and file.read_text() == text
    assert os.listdir(tmp_path / "a") == ["file"]


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    folder, pipe = tmp_path / "folder", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (folder, pipe):
        with pytest.raises(RunError, match="is no file"):
            write(path, "text")
    assert folder.is_dir() and pipe.is_fifo()


def test_nothing_is_left_of_a_block_that_fails(tmp_path: Path) -> None:
    write(tmp_path / "file", "old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "file") as temporary:
        temporary.write_text("new")
        _ = 1 / 0
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "old"

"""Files of tensors: what cannot be written or read is one error of ours."""

import os
from pathlib import Path

import pytest
import torch

from dhm.errors import RunError
from dhm.tensor_file import read_header, read_tensors, write_tensors


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {"a": torch.rand(3, 4).T, "b": torch.arange(5)}
    write_tensors(path, "f 1", tensors, {"n": 3})
    assert read_header(path) == {"format": "f 1", "n": 3}
    header, read = read_tensors(path, "f 1", "a thing", "cpu")
    assert header == {"n": 3}
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    with pytest.raises(RunError, match=r"is not a thing of dhm: its header lacks format 'f 2'"):
        read_tensors(path, "f 2", "a thing", "cpu")


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, "f 1", {"a": torch.zeros(3)}, {})
    # safetensors raises an exception of its own here, which is no OSError.
    (tmp_path / f".{path.name}.{os.getpid()}.tmp").mkdir()
    with pytest.raises(RunError, match=r"cannot write .*x\.safetensors"):
        write_tensors(path, "f 1", {"a": torch.ones(3)}, {})
    assert not read_tensors(path, "f 1", "a thing", "cpu")[1]["a"].any()

"""Nothing outside the test is found or written: no user folders, no system places, own cache."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dhm.data import locate

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DHM_DATA", raising=False)
    monkeypatch.setenv("DHM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(locate, "SYSTEM_PLACES", ())


def idx_bytes(values: Any) -> bytes:
    values = np.asarray(values, np.uint8)
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.tobytes()


@pytest.fixture
def as_idx() -> Callable[[Any], bytes]:
    return idx_bytes


@pytest.fixture
def mnist_arrays() -> list[Any]:
    rng = np.random.default_rng(1)
    return [
        rng.integers(0, 256, (30, 28, 28), np.uint8),
        np.arange(30, dtype=np.uint8) % 10,
        rng.integers(0, 256, (10, 28, 28), np.uint8),
        np.arange(10, dtype=np.uint8),
    ]


@pytest.fixture
def write_mnist(mnist_arrays: list[Any]) -> Callable[..., Path]:
    """Writes the four files of MNIST, small, into a folder."""

    def write(folder: Path, zipped: bool = True) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in zip(IDX_NAMES, mnist_arrays, strict=True):
            content = idx_bytes(values)
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
        return folder

    return write

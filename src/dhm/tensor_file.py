"""Tensors in a file with a header of JSON: safetensors, as nothing in it can be executed."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dhm.errors import RunError, one_line
from dhm.files import replacing

KEY = "dhm"
"""Of the header: safetensors orders several by chance, and equal contents should be equal files."""

_DAMAGE = (
    SafetensorError,
    OSError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a damaged header, or one of another version, may raise: anything in it may be wrong."""


def write_tensors(
    path: str | Path, format: str, tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> None:
    """Write a file whole or not at all; raises `RunError` where it cannot be written."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    stored = {KEY: json.dumps({"format": format, **header})}
    with replacing(path) as temporary:
        try:
            safetensors.torch.save_file(contiguous, temporary, metadata=stored)
        except SafetensorError as error:  # which is no OSError, whatever the disk said
            raise RunError(f"cannot write {path}: {one_line(error)}") from error


def read_tensors(
    path: Path, format: str, what: str, device: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header, without its format, and the tensors of `what` that is expected in a file.

    Raises `RunError` where the file is of another format. What else may be wrong with it is for
    `decoding`, within which it is called.
    """
    with safe_open(path, framework="pt", device=device) as file:
        header = _header(file)
        if not isinstance(header, dict) or header.pop("format", None) != format:
            raise RunError(f"{path} is not {what} of dhm: its header lacks format {format!r}")
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_header(path: Path) -> dict[str, Any]:
    """The header alone, empty where there is none; raises `RunError` where the file is damaged."""
    with decoding(path), safe_open(path, framework="pt") as file:
        return dict(_header(file))


def _header(file: Any) -> Any:
    return json.loads((file.metadata() or {}).get(KEY, "{}"))


@contextmanager
def decoding(path: Path, remedy: str = "") -> Iterator[None]:
    """Turn whatever goes wrong with what was stored in a file into one `RunError`."""
    try:
        yield
    except RunError:
        raise
    except _DAMAGE as error:
        reason = one_line(error)
        raise RunError(f"{path} is damaged or of another version ({reason}){remedy}") from error

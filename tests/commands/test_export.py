"""`dhm export`: a file, or one line that says why not."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from dhm.cli import main


def test_export_writes_a_checked_file(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(models / "softmax"), "-o", "new/m.onnx"]) == 0
    assert capsys.readouterr().out == "p(y|x) in new/m.onnx, checked with onnxruntime\n"
    onnx.checker.check_model("new/m.onnx", full_check=True)
    assert [file.name for file in Path("new").iterdir()] == ["m.onnx"]


def test_mistakes_are_one_line(models: Path, fails: Callable[..., str]) -> None:
    softmax = models / "softmax"
    assert "required: -o/--output" in fails("export", softmax)
    assert "expected a name ending in .onnx, found m.pt" in fails("export", softmax, "-o", "m.pt")
    assert "no model at absent" in fails("export", "absent", "-o", "m.onnx")
    encoder = ("export", softmax, "-o", "m.onnx", "--encoder")
    assert "softmax has no trained encoder" in fails(*encoder)

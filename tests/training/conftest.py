"""Runs small enough to test the loop with: 200 digits, a few steps an epoch, tiny networks."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dhm import TrainConfig, train

TIMINGS = ("seconds", "examples_per_second")


@pytest.fixture(autouse=True)
def no_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing the curves takes longer than these runs; a test that wants them asks for `curves`."""
    if "curves" not in request.fixturenames:
        monkeypatch.setattr("dhm.training.train.learning_curves", lambda *arguments: None)


@pytest.fixture
def curves() -> None:
    """Have the learning curves drawn."""


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., TrainConfig]:
    """Options of a small run in the test's own folder."""

    def make(**options: Any) -> TrainConfig:
        defaults: dict[str, Any] = {
            "n_labeled": 200,
            "n_batch": 32,
            "epochs": 2,
            "picture_every": 0,
            "n_eval_samples": 2,
            "run_dir": str(tmp_path / "runs"),
            "logname": "x",
        }
        if options.get("model", "supervised-hdgm").endswith("hdgm"):
            defaults |= {"n_hidden": 16, "n_latent": 4, "n_aux": 2}
        return TrainConfig(**(defaults | options))

    return make


@pytest.fixture
def trained(small: Callable[..., TrainConfig]) -> Callable[..., Path]:
    """Trains a small run and returns its folder."""

    def run(resume: bool = False, overwrite: bool = False, **options: Any) -> Path:
        config = small(**options)
        return Path(train(config, resume=resume, overwrite=overwrite, progress=False)["run"])

    return run


@pytest.fixture
def weights() -> Callable[..., torch.Tensor]:
    """All tensors of a weights file in one vector."""
    return _weights


@pytest.fixture
def assert_same_run() -> Callable[[Path, Path], None]:
    """Bit-identical weights and the same figures, but for what depends on the clock."""

    def check(one: Path, other: Path) -> None:
        for file in ("model.safetensors", "last.safetensors"):
            assert torch.equal(_weights(one, file), _weights(other, file)), file
        assert _metrics(one) == _metrics(other)

    return check


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python with these words, with as many threads as here, in the test's folder."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:  # a launcher told to terminate ends its workers, too
        process.terminate()
        process.communicate()


def _weights(run: Path, file: str = "last.safetensors") -> torch.Tensor:
    return torch.cat([t.double().flatten() for t in load_file(run / file).values()])


def _metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in TIMINGS} for row in csv.DictReader(file)]

"""A trained hybrid, and a way to run a command that should fail."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dhm.cli import main

SMALL = ["--n_labeled", "100", "-e", "1", "--n_eval_samples", "2", "--picture_every", "0", "-q"]
SIZES = ["--n_hidden", "16", "--n_latent", "4", "--n_aux", "2"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables, runs and pictures land in the test's own folder, and curves are not drawn."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dhm.training.train.learning_curves", lambda *arguments: None)


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trained runs, `hybrid` and `softmax`."""
    folder = tmp_path_factory.mktemp("models")
    where = ["--run_dir", str(folder), "-l"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dhm.training.train.learning_curves", lambda *arguments: None)
        assert main(["train", *SMALL, *SIZES, *where, "hybrid"]) == 0
        assert main(["train", *SMALL, *where, "softmax", "--model", "softmax"]) == 0
    return folder


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that should fail with exit code 2 and one line; returns the line."""

    def run(*words: object) -> str:
        capsys.readouterr()
        before = sorted(Path().rglob("*"))
        assert main([str(word) for word in words]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines[-1].startswith("dhm: error: "), lines
        assert all(line.startswith("dhm: no novelty") for line in lines[:-1]), lines
        assert sorted(Path().rglob("*")) == before, "something was written or lost"
        return lines[-1]

    return run

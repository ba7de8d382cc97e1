"""A model as a folder of the Hub: saved, loaded, described; no network."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, errors

from dhm import hub
from dhm.data import from_arrays
from dhm.errors import DownloadError, RunError
from dhm.hub import HubModel
from dhm.models.base import Model
from dhm.models.build import build_model, save_model

SUMMARY = {
    "dataset": "/home/someone/secret/photos.npz",
    "n_labeled": 20,
    "epochs": 3,
    "test": {"error": 0.25, "nll": 0.5, "ece": 0.1, "log_likelihood": None},
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a model that was not trained."""
    rng = np.random.default_rng(0)
    data = from_arrays(rng.normal(size=(40, 3)), np.array(["a|b", "c"] * 20))
    folder = tmp_path / "run"
    save_model(build_model("softmax", "small", data, {}), folder / "model.safetensors")
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    return folder


def alike(a: Model, b: Model) -> bool:
    weights = b.state_dict()
    return a.spec == b.spec and all(torch.equal(w, weights[k]) for k, w in a.state_dict().items())


def test_a_saved_folder_is_loaded(run: Path, tmp_path: Path) -> None:
    given = HubModel.from_run(run)
    for name in ("first", "second"):  # and what was loaded can be saved again
        given.save_pretrained(tmp_path / name)
        found = HubModel.from_pretrained(tmp_path / name)
        assert alike(found.model, given.model)
        assert found.summary == {**SUMMARY, "dataset": "photos.npz"}
        given = found
    assert {file.name for file in (tmp_path / "second").iterdir()} == {
        *("README.md", "config.json", "model.safetensors", "summary.json")
    }


def test_the_card_says_what_the_model_is(run: Path, tmp_path: Path) -> None:
    HubModel.from_run(run).save_pretrained(tmp_path / "shared")
    card = ModelCard.load(tmp_path / "shared" / "README.md")
    assert card.data.library_name == "deep-hybrid-models"
    for words in ("| error | 0.2500 |", "a\\|b, c", "photos.npz", "HubModel.from_pretrained("):
        assert words in card.text
    assert "secret" not in card.content and "log_likelihood |" not in card.text


def test_a_model_without_a_run_has_a_card_too(run: Path, tmp_path: Path) -> None:
    HubModel(HubModel.from_run(run).model).save_pretrained(tmp_path / "shared")
    assert "Figures" not in (tmp_path / "shared" / "README.md").read_text()
    assert not (tmp_path / "shared" / "summary.json").exists()
    assert HubModel.from_pretrained(tmp_path / "shared").summary == {}


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model": "softmax", "dhm": {"model": "os.system"}}')
    with pytest.raises(RunError, match="no model at"):
        HubModel.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(RunError, match="damaged"):
        HubModel.from_pretrained(tmp_path)


def test_a_run_is_never_written_over(run: Path, tmp_path: Path) -> None:
    given = HubModel.from_run(run)
    (run / "config.yaml").write_text("model: softmax")
    before = (run / "model.safetensors").read_bytes()
    with pytest.raises(RunError, match="is a run folder: name another"):
        given.save_pretrained(run)
    assert (run / "model.safetensors").read_bytes() == before
    assert not (run / "README.md").exists()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match=r"cannot write .*file"):
        given.save_pretrained(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("text", ["[1, 2]", "3", '"text"', "null", '{"test": [1], "dataset": 3}'])
def test_a_summary_of_another_kind_is_no_error(run: Path, tmp_path: Path, text: str) -> None:
    (run / "summary.json").write_text(text)
    HubModel.from_run(run).save_pretrained(tmp_path / "shared")
    assert "Figures" not in (tmp_path / "shared" / "README.md").read_text()


def test_a_repository_is_downloaded_file_by_file(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the Hub would serve it: the only thing put in its place is the download itself."""
    shared = tmp_path / "shared"
    HubModel.from_run(run).save_pretrained(shared)
    asked: list[Any] = []

    def download(repo_id: str, filename: str, **how: Any) -> str:
        asked.append((repo_id, filename, how["revision"]))
        if not (shared / filename).exists():
            raise errors.LocalEntryNotFoundError(f"no {filename}")
        return str(shared / filename)

    monkeypatch.setattr(hub, "hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", lambda **how: download(**how))
    found = HubModel.from_pretrained("user/name", revision="v1")
    assert alike(found.model, HubModel.from_run(run).model) and found.summary["epochs"] == 3
    names = ("config.json", "model.safetensors", "summary.json")
    assert asked == [("user/name", name, "v1") for name in names]
    (shared / "summary.json").unlink()
    assert HubModel.from_pretrained("user/name").summary == {}


def test_a_repository_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="user/absent is no folder here, and cannot be"):
        HubModel.from_pretrained("user/absent", cache_dir=tmp_path, local_files_only=True)
    with pytest.raises(DownloadError, match="no folder here"):
        HubModel.from_pretrained("not/a/name")


def test_importing_dhm_leaves_the_hub_alone() -> None:
    code = (
        "import sys, dhm, dhm.cli, dhm.models.build\n"
        "assert 'huggingface_hub' not in sys.modules or 'accelerate' in sys.modules\n"
        "sys.modules['huggingface_hub'] = None\n"
        "try: import dhm.hub\n"
        "except dhm.errors.MissingDependencyError as error: print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "deep-hybrid-models[hub]" in found.stdout, found.stderr

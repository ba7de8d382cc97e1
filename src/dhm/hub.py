"""Sharing trained models on the Hugging Face Hub: safetensors and JSON, no code."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dhm.errors import DHMError, DownloadError, MissingDependencyError, RunError, one_line
from dhm.models.base import Model
from dhm.models.build import load_model, save_model
from dhm.training.run_folder import RunFolder, write_text, writing

try:
    from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
except ImportError as error:
    raise MissingDependencyError(
        "huggingface_hub is needed for the Hub; install it with: "
        'pip install "deep-hybrid-models[hub]"'
    ) from error

WEIGHTS, SUMMARY = "model.safetensors", "summary.json"


class HubModel(ModelHubMixin):
    """A trained model and its figures, as a repository of the Hub or a folder like one.

    `save_pretrained(folder)`, `push_to_hub("user/name")` and `from_pretrained(folder or name)` are
    huggingface_hub's. A repository holds `model.safetensors`, which says how to build the model,
    `summary.json` where there is one, and a model card. Nothing in it is executed when it is
    loaded.

    Arguments:
        model: the trained model.

    Example:
        >>> import dhm, tempfile
        >>> config = dhm.TrainConfig(model="softmax", epochs=1, run_dir=tempfile.mkdtemp())
        >>> run = dhm.train(config, progress=False)["run"]
        >>> shared = tempfile.mkdtemp()
        >>> HubModel.from_run(run).save_pretrained(shared)
        >>> HubModel.from_pretrained(shared).model.spec.model
        'softmax'
    """

    summary: Mapping[str, Any]
    """What a run's `summary.json` holds; empty where the model is not from a run."""

    def __init__(self, model: Model) -> None:
        # The summary is no argument: the mixin would keep it in a config.json of its own.
        self.model, self.summary = model, {}

    @classmethod
    def from_run(cls, run: str | Path) -> "HubModel":
        """The best weights of a run folder, or of one that was saved, with their figures.

        Raises `RunError` where there are none.
        """
        found = cls(load_model(run))
        found.summary = RunFolder(Path(run)).read_summary()
        return found

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Any:
        """The model in a folder, or in a repository of the Hub, which is downloaded.

        Arguments:
            pretrained_model_name_or_path: a folder, or "user/name".
            options: huggingface_hub's: revision, token, cache_dir, force_download,
                local_files_only.

        Raises:
            DownloadError: there is neither a folder nor a repository of this name, or it cannot be
                reached.
            RunError: it holds no model, or a damaged one.
        """
        try:
            return super().from_pretrained(pretrained_model_name_or_path, **options)
        except DHMError:
            raise
        except (HfHubHTTPError, OSError, ValueError) as error:
            reason = one_line(error)
            raise DownloadError(
                f"{pretrained_model_name_or_path} is no folder here, and cannot be downloaded from "
                f"the Hub: {reason}"
            ) from error

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Write the repository to a folder, which is made if absent.

        Arguments:
            save_directory: the folder; no run's, whose weights and figures would be replaced.
            options: huggingface_hub's: repo_id, push_to_hub ...

        Raises `RunError` for a run folder, or where the folder cannot be made or written.
        """
        folder = RunFolder(Path(save_directory))
        if folder.config.exists():
            raise RunError(f"{folder.path} is a run folder: name another to save the model in")
        with writing(str(folder.path)):
            folder.path.mkdir(parents=True, exist_ok=True)
        return super().save_pretrained(save_directory, **options)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """What the model is, its figures, and how to load it."""
        return ModelCard(model_card(self.model, self.summary))

    def _save_pretrained(self, save_directory: Path) -> None:
        save_model(self.model, save_directory / WEIGHTS)
        # Nothing is read from it: it is for people, and the Hub counts downloads by this name.
        write_text(save_directory / "config.json", _json({"dhm": asdict(self.model.spec)}))
        if self.summary:
            write_text(save_directory / SUMMARY, _json(_without_paths(self.summary)))

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> "HubModel":
        if Path(model_id).is_dir():
            return cls.from_run(model_id)
        names = ("revision", "cache_dir", "force_download", "token", "local_files_only")
        how = {name: options[name] for name in names}
        weights = Path(hf_hub_download(model_id, WEIGHTS, **how))
        with suppress(EntryNotFoundError):  # there may be no summary
            hf_hub_download(model_id, SUMMARY, **how)
        return cls.from_run(weights.parent)  # a snapshot: what was downloaded of one commit


def model_card(model: Model, summary: Mapping[str, Any]) -> str:
    """The model card in Markdown, after the lines of YAML that the Hub reads."""
    spec = model.spec
    facts = {
        "model": f"{spec.model}, {spec.network} network, {model.n_parameters():,} weights",
        "inputs": f"{spec.dtype} of shape {spec.shape}",
        "classes": ", ".join(spec.classes),
        **spec.options,
    }
    tested = summary.get("test")
    figures = {
        name: f"{value:.4f}"
        for name, value in (tested.items() if isinstance(tested, dict) else ())
        if isinstance(value, int | float)
    }
    about = _without_paths(summary)
    known = ("dataset", "n_train", "n_labeled", "n_test", "epochs", "n_eval_samples", "seed")
    trained = {name: about[name] for name in known if about.get(name) is not None}
    parts = [_FRONT, _table("Model", facts), _table("Training", trained)]
    return "\n".join([*parts, _table("Figures on the test set", figures), _LOADING])


_FRONT = """\
---
library_name: deep-hybrid-models
tags: [deep-hybrid-models, deep-generative-model, semi-supervised]
---

# A deep hybrid model

A classifier and a generative model that share a latent variable, trained together by
deep-hybrid-models: `pip install "deep-hybrid-models[hub]"`.
"""
_LOADING = """\
## Use

```python
from dhm.hub import HubModel

model = HubModel.from_pretrained("USER/NAME").model  # the name of this repository, or a folder
```

The weights are a safetensors file whose header says how to build the model; no code is loaded.
Error is a fraction, nll and log_likelihood are nats per example.
"""


def _table(title: str, rows: Mapping[str, Any]) -> str:
    if not rows:
        return ""
    cells = (
        f"| {name} | {str(value).replace('|', chr(92) + '|')} |" for name, value in rows.items()
    )
    return "\n".join([f"## {title}\n", "| | |", "|---|---|", *cells, ""])


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"


def _without_paths(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary without the place of the data on the machine that trained."""
    dataset = {"dataset": Path(str(summary["dataset"])).name} if "dataset" in summary else {}
    return {**summary, **dataset}

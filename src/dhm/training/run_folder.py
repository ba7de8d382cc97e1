"""A run folder: what lies in it, and how it is written so that nothing is ever left half done."""

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dhm.errors import RunError


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn the errors of a failed write, a full disk above all, into one `RunError`."""
    try:
        yield
    except RunError:
        raise
    except (OSError, RuntimeError) as error:  # torch and safetensors raise RuntimeErrors of theirs
        _refuse(what, error)
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        _refuse(what, error)


def _refuse(what: str, error: Exception) -> None:
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    raise RunError(f"cannot write {what}: {reason}; what was there before is kept") from error


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with writing(str(path)):
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)


@dataclass(frozen=True)
class RunFolder:
    """Paths and writers of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """Options, to run again with `dhm train --config`."""
        return self.path / "config.yaml"

    @property
    def weights(self) -> Path:
        """The best weights by validation."""
        return self.path / "model.safetensors"

    @property
    def last_weights(self) -> Path:
        """The weights at the end of the last epoch."""
        return self.path / "last.safetensors"

    @property
    def summary(self) -> Path:
        """The run's figures."""
        return self.path / "summary.json"

    @property
    def metrics(self) -> Path:
        """One row an epoch."""
        return self.path / "metrics.csv"

    def picture(self, kind: str, epoch: int) -> Path:
        """Path of a picture of one epoch, its folder made."""
        folder = self.path / kind
        folder.mkdir(exist_ok=True)
        return folder / f"epoch_{epoch:04d}.png"

    def create(self, overwrite: bool) -> None:
        """Make the folder, empty; an existing one is removed only if asked and if it is a run's."""
        if self.path.exists():
            if not overwrite:
                raise RunError(
                    f"{self.path} exists; go on with it by --resume, replace it by --overwrite, "
                    f"or name another by --logname"
                )
            if not self.config.is_file() and any(self.path.iterdir()):
                raise RunError(f"{self.path} is not a run folder; --overwrite will not remove it")
        with writing(str(self.path)):
            if self.path.exists():
                shutil.rmtree(self.path)
            self.path.mkdir(parents=True)

    def write_config(self, options: Mapping[str, Any]) -> None:
        """Write the options as YAML."""
        import yaml

        write_text(self.config, yaml.safe_dump(dict(options), sort_keys=False))

    def write_metrics(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write one row an epoch; a column is every name that any row has."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.metrics, text.getvalue())

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the run's figures as JSON."""
        write_text(self.summary, json.dumps(summary, indent=2) + "\n")

    def latest_checkpoint(self) -> Path | None:
        """The newest whole checkpoint."""
        found = [p for p in self.path.glob("checkpoint-*") if p.name.split("-")[1].isdigit()]
        return max(found, key=lambda p: int(p.name.split("-")[1]), default=None)


def free_name(run_dir: Path, name: str) -> str:
    """The name, or name-2, name-3 ... whichever is not taken yet."""
    taken, k = name, 1
    while (run_dir / taken).exists():
        k += 1
        taken = f"{name}-{k}"
    return taken

"""A run folder: what lies in it, and how it is written so that nothing is ever left half done."""

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from dhm.config import read_config
from dhm.errors import ConfigError, RunError, one_line
from dhm.files import replacing


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn the errors of a failed write, a full disk above all, into one `RunError`."""
    try:
        yield
    except RunError:
        raise
    except OSError as error:
        raise RunError(f"cannot write {what}: {error.strerror or error}") from error
    # What torch and safetensors say of a failed write does not name its reason, or at length.
    except (RuntimeError, SafetensorError) as error:
        reason = one_line(error)
        raise RunError(f"cannot write {what}; is the disk full? ({reason})") from error


def write_text(path: str | Path, text: str) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class RunFolder:
    """Paths and writers of one run."""

    path: Path

    @classmethod
    def of(cls, run: str | Path) -> "RunFolder":
        """The run folder of this name, or that of a weights file in one."""
        path = Path(run)
        return cls(path if path.is_dir() else path.parent)

    @property
    def config(self) -> Path:
        """Options, to run again with `dhm train --config`."""
        return self.path / "config.yaml"

    @property
    def weights(self) -> Path:
        """The weights that the run has in the end: the best by validation, or the last."""
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

    @property
    def replaced(self) -> Path:
        """Where the run that `--overwrite` replaces is kept until the new one has a checkpoint."""
        return self.path.with_name(f".{self.path.name}.replaced")

    def picture(self, kind: str, epoch: int) -> Path:
        """Path of a picture of one epoch."""
        return self.path / kind / f"epoch_{epoch:04d}.png"

    def check_free(self, overwrite: bool) -> None:
        """Raise `RunError` if the folder exists and may not be replaced."""
        with writing(str(self.path)):
            exists = self.path.exists()
        if exists and not overwrite:
            raise RunError(
                f"{self.path} exists; go on with it by --resume, replace it by --overwrite, "
                f"or name another by --logname"
            )
        if exists and not self._is_run():
            raise RunError(f"{self.path} is not a run folder; --overwrite will not remove it")

    def create(self, overwrite: bool) -> None:
        """Make the folder, empty; put a run of that name aside if asked to."""
        self.check_free(overwrite)
        with writing(str(self.path)):
            if self.replaced.exists() and self.latest_checkpoint() is None:
                # What lies here was killed before its first checkpoint; the run it was to replace
                # is still put aside, and stays there.
                shutil.rmtree(self.path, ignore_errors=True)
            elif self.path.exists():
                shutil.rmtree(self.replaced, ignore_errors=True)
                self.path.rename(self.replaced)
            self.path.mkdir(parents=True)

    def abandon_if_empty(self) -> None:
        """Undo `create` where the run ended before its first checkpoint."""
        if self.latest_checkpoint() is None:
            shutil.rmtree(self.path, ignore_errors=True)
            if self.replaced.exists():
                self.replaced.rename(self.path)

    def _is_run(self) -> bool:
        try:
            return {"dataset", "model", "seed"} <= read_config(self.config).keys()
        except ConfigError:
            return False

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

    def read_summary(self) -> dict[str, Any]:
        """The figures written before; empty where there are none, or what is there is damaged."""
        try:
            found = json.loads(self.summary.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def checkpoint(self, epoch: int, step: int) -> Path:
        """Path of the checkpoint after a step of an epoch."""
        return self.path / f"checkpoint-{epoch}-{step}"

    def checkpoints(self) -> list[Path]:
        """The whole checkpoints there are, oldest first."""
        pattern = re.compile(r"checkpoint-(\d+)-(\d+)")
        found = {
            tuple(map(int, match.groups())): path
            for path in self.path.glob("checkpoint-*")
            if (match := pattern.fullmatch(path.name))
        }
        return [found[numbers] for numbers in sorted(found)]

    def latest_checkpoint(self) -> Path | None:
        """The newest whole checkpoint."""
        return next(reversed(self.checkpoints()), None)


def new_run(run_dir: Path, name: str) -> RunFolder:
    """Make the folder NAME, NAME-2, NAME-3 ..., whichever is not taken yet."""
    with writing(str(run_dir / name)):
        run_dir.mkdir(parents=True, exist_ok=True)
        path, k = run_dir / name, 1
        while not _made(path):
            k += 1
            path = run_dir / f"{name}-{k}"
    return RunFolder(path)


def _made(folder: Path) -> bool:
    try:
        folder.mkdir()  # fails for all but one of several runs that start at once
    except FileExistsError:
        return False
    return True

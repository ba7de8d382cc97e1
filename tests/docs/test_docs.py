"""Every example in the documentation runs, and every name in it exists.

The blocks of a page are run in order, in one folder: `python` in one namespace, `sh` and `console`
by bash, where `dhm` is quicker than it says (see fork_server.py). What is not run is listed, with
the reason, as skipped tests.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from csv import DictReader
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from dhm import TrainConfig
from dhm.cli import COMMANDS, main
from dhm.data.sources import SOURCES

ROOT = Path(__file__).parents[2]
GUIDE, FEW_LABELS = (ROOT / "docs" / f"{name}.md" for name in ("guide", "few-labels"))
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]

FENCE = re.compile(r"^```(?P<language>\w*) *(?P<mark>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
NOT_RUN = {
    **dict.fromkeys(("make", "pip", "source", "git"), "installs or sets up"),
    **dict.fromkeys(("accelerate", "torchrun"), "starts several processes"),
    "tensorboard": "serves until it is stopped",
}
"""Programs whose commands are left out of a block, and why."""
FILES = "|".join(name for name, source in SOURCES.items() if source.files)
NEEDS_FILES = re.compile(rf"(?<![\w-])({FILES})(?![\w-])")
"""Commands about data that would have to be downloaded; what is only imagined is marked notest."""


@dataclass(frozen=True)
class Block:
    """A fenced block, what of it runs, and what is left out with the reason."""

    page: Path
    line: int
    language: str
    code: str
    left_out: tuple[tuple[str, str], ...]

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        language, code = match["language"], match["code"]
        line = text.count("\n", 0, match.start()) + 1
        if language not in ("python", "sh", "console"):
            continue
        left_out: list[tuple[str, str]] = []
        if match["mark"] == "notest":
            code, left_out = "", [(code.strip().splitlines()[0], "marked notest")]
        elif language != "python":
            code, left_out = _runnable(code, prompts=language == "console")
        yield Block(page, line, language, code, tuple(left_out))


def _runnable(code: str, prompts: bool) -> tuple[str, list[tuple[str, str]]]:
    """Those of a shell block's commands that are run, and those that are not."""
    commands = code.replace("\\\n", " ").splitlines()
    if prompts:
        commands = [line[2:] for line in commands if line.startswith("$ ")]
    kept, left_out = [], []
    for command in commands:
        program = command.split()[0] if command.strip() else ""
        reason = NOT_RUN.get(program.rpartition("/")[2])
        if reason is None and NEEDS_FILES.search(command):
            reason = "needs files"
        if reason is None:
            kept.append(command)
        else:
            left_out.append((command, reason))
    return "\n".join(kept), left_out


LEFT_OUT = [
    (block.place, *what) for page in PAGES for block in blocks(page) for what in block.left_out
]


@pytest.fixture(scope="module")
def environment() -> Iterator[Mapping[str, str]]:
    """Environment variables of a shell whose `dhm` is the fork server's."""
    server = Path(__file__).with_name("fork_server.py")
    # Not under pytest's own folder: the name of a socket may have a hundred letters only.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path, program = Path(folder, "socket"), Path(folder, "dhm")
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -ES "{server}" "{path}" "$@"\n')
        program.chmod(0o755)
        listener.bind(str(path))
        listener.listen()
        own = {k: v for k, v in os.environ.items() if not k.startswith("DHM_")}
        own |= {"OMP_NUM_THREADS": "1", "DHM_CACHE": folder}
        own["PATH"] = os.pathsep.join((folder, str(Path(sys.executable).parent), own["PATH"]))
        command = [sys.executable, str(server), str(listener.fileno())]
        with subprocess.Popen(command, pass_fds=[listener.fileno()], env=own) as process:
            try:
                yield own
            finally:
                process.kill()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(
    page: Path,
    tmp_path: Path,
    environment: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dhm.training.train.learning_curves", lambda *arguments: None)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python":
            # Blank lines before it, so that a traceback shows the line of the page.
            source = "\n" * block.line + block.code
            exec(compile(source, str(page), "exec"), namespace)
        else:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.code],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert done.returncode == 0, f"{block.place}:\n{block.code}\n{done.stdout}"
    if page == GUIDE:
        _check_run_folders(page.read_text(encoding="utf-8"), tmp_path / "runs")


def _check_run_folders(guide: str, runs: Path) -> None:
    """Everything in the runs that the guide made is in its tables."""
    found: set[str] = set()
    for run in runs.iterdir():
        found |= {f"{item.name}{'/' if item.is_dir() else ''}" for item in run.iterdir()}
        with (run / "metrics.csv").open() as file:
            found |= set(DictReader(file).fieldnames or ())
        summary = json.loads((run / "summary.json").read_text())
        found |= summary.keys()
        for value in summary.values():
            found |= value.keys() if isinstance(value, dict) else set()
    shown = {re.sub(r"checkpoint-\d+-\d+", "checkpoint-EPOCH-STEP", name) for name in found}
    unknown = {name for name in shown if f"`{name}`" not in guide and f"`{name}epoch" not in guide}
    assert not unknown
    # More than any run has by itself: a run with a density, and checkpoints.
    assert {"val_bound", "log_likelihood", "checkpoint-EPOCH-STEP/", "samples/"} <= shown


@pytest.mark.parametrize("place, command, reason", LEFT_OUT, ids=[row[0] for row in LEFT_OUT])
def test_examples_left_out(place: str, command: str, reason: str) -> None:
    pytest.skip(f"{place} not run, {reason}: {command}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known: set[str] = set()
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        known |= _flags(capsys.readouterr().out)
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    # What stands behind another program's name is that program's, up to the `-m dhm` it starts.
    others = rf"\b({'|'.join(NOT_RUN)}|python3? benchmarks)\b[^`\n]*?(-m dhm|`|$)"
    assert _flags(re.sub(others, "", text, flags=re.M)) <= known


def _flags(text: str) -> set[str]:
    found = re.findall(r"(?<![\w-])--([a-z][\w-]*)", text)
    return {name.replace("-", "_") for name in found}


def test_guides_mention_every_option() -> None:
    options = {f.name for f in fields(TrainConfig)}
    options |= {"recipe", "config", "resume", "overwrite", "quiet"}
    pages = (page.read_text(encoding="utf-8") for page in (GUIDE, FEW_LABELS))
    assert options <= set().union(*map(_flags, pages))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def _anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ +(.*?) *$", prose, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

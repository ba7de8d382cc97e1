"""Two processes over gloo give what one would."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dhm.training.reevaluate import evaluate_run

LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
Start = Callable[..., "subprocess.Popen[str]"]


def test_two_processes_take_the_steps_of_one(
    start: Start,
    trained: Callable[..., Path],
    weights: Callable[..., torch.Tensor],
    tmp_path: Path,
) -> None:
    # 201 examples in batches of 34, 34, 34, 33 ...: the shares are not all equal.
    options: dict[str, Any] = {
        "model": "softmax",
        "alg": "sgd",
        "lr": 0.3,
        "n_labeled": 201,
        "n_batch": 34,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    words += ["-e", 2, "-l", "two", "--run_dir", tmp_path / "runs", "--n_eval_samples", 2]
    process = start(*LAUNCHER, "-m", "dhm", "train", *words)
    alone = trained(**options)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err

    run = tmp_path / "runs" / "two"
    assert out.count("run folder") == 1
    assert [line[:9] for line in err.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    torch.testing.assert_close(weights(run), weights(alone), atol=1e-5, rtol=0)
    assert {path.name for path in run.parent.iterdir()} == {"two", "x"}
    summary = json.loads((run / "summary.json").read_text())
    assert summary["hardware"]["processes"] == 2
    again = evaluate_run(run)
    for part in ("validation", "test"):
        for name in ("error", "nll", "ece"):
            assert summary[part][name] == pytest.approx(again[part][name], rel=1e-5)


ENDED = """
import os
from pathlib import Path
from dhm.training import engine

def names():
    return [task.joinpath("comm").read_text() for task in Path("/proc/self/task").iterdir()]

def ended(end=engine.end_processes):
    before = sum("gloo" in name for name in names())
    end()
    left = sum("gloo" in name for name in names())
    print(f"{before} threads, {left} left\\n", end="", flush=True)

engine.end_processes = ended
from dhm.cli import main
main("train -q --model semisup-mlp --n_labeled 50 -e 1 --device cpu --run_dir runs".split())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the names of threads in /proc")
def test_no_thread_of_the_connection_outlives_a_run(start: Start, tmp_path: Path) -> None:
    # One that frees a tensor while Python exits aborts the process, now and then.
    (tmp_path / "script.py").write_text(ENDED)
    process = start(*LAUNCHER, "script.py")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    lines = [line for line in out.splitlines() if "threads" in line]
    assert lines == ["3 threads, 0 left"] * 2


# Each check is printed by each process; `train` is called several times in one process.
SCRIPT = """
import csv
import sys
from math import isclose
from pathlib import Path
import torch
from dhm import TrainConfig, train
from dhm.errors import ConfigError, RunError
from dhm.training.recording import InFolder
from dhm.training import train as module

def report(name, value):
    print(f"{name} {value}\\n", end="", flush=True)  # in one piece: two processes write

fit = module.Trainer.fit
def checked_fit(self):
    fit(self)
    remembered = [b.flatten().double() for b in self.objective.methods.buffers()]
    state = torch.cat([torch.zeros(1, dtype=torch.double), *remembered])
    both = self.engine.gather(state).view(2, -1)
    report("same_state", torch.equal(both[0], both[1]))
    if "temporal_ensembling" in self.objective.methods:
        counts = self.objective.methods["temporal_ensembling"].counts
        report("seen_once_an_epoch", bool((counts == self.state.epoch).all()))
    tensors = (*self.trained.parameters(), *self.trained.buffers())
    mine = torch.cat([t.detach().flatten() for t in tensors])
    both = self.engine.gather(mine).view(2, -1)
    report("same_weights", torch.equal(both[0], both[1]))
    report("own_noise", len(self.engine.gather(torch.rand(1)).unique()) == 2)
module.Trainer.fit = checked_fit

def attempt(name, error, **options):
    try:
        run(**options)
    except error as e:
        report(name, str(e))

def run(resume=False, **options):
    small = dict(model="semisup-hdgm", n_labeled=50, n_lbl_batch=21, n_batch=201, epochs=2, ema=0.9,
        n_hidden=16, n_latent=4, n_aux=2, n_eval_samples=2, logname="x", picture_every=0)
    return train(TrainConfig(**small | options), resume=resume, progress=False)

summary = run(rampdown=0)
whole = Path("runs/x/last.safetensors").read_bytes()
report("epochs", summary["epochs"])
run(logname="y", epochs=1, rampdown=0)
report("extended", run(logname="y", epochs=2, rampdown=0, resume=True)["epochs"])
report("resumes_exactly", Path("runs/y/last.safetensors").read_bytes() == whole)
consistent = dict(temporal_ensembling=1.0, mean_teacher=1.0, fixmatch=1.0, threshold=0.2, vat=1.0,
    label_spreading=1.0, spread_every=1)
run(logname="c", rampdown=0, **consistent)
run(logname="d", epochs=1, rampdown=0, **consistent)
run(logname="d", rampdown=0, resume=True, **consistent)
report("consistency_resumes_exactly", Path("runs/c/last.safetensors").read_bytes()
    == Path("runs/d/last.safetensors").read_bytes())
two_players = dict(model="semisup-ali", n_hidden=None, n_aux=None, rampdown=0)
run(logname="p", **two_players)
run(logname="q", epochs=1, **two_players)
run(logname="q", resume=True, **two_players)
p, q = (Path(f"runs/{name}/last.safetensors").read_bytes() for name in "pq")
report("two_players_resume_exactly", p == q)
checkpoint = InFolder.checkpoint
def cut(self, epoch, step):
    checkpoint(self, epoch, step)
    self.engine.wait_for_everyone()  # for the first process to have written it
    if step:
        raise RunError("cut")
InFolder.checkpoint = cut
within = dict(logname="m", rampdown=0, checkpoint_every=3)
attempt("cut", RunError, **within)
InFolder.checkpoint = checkpoint
run(resume=True, **within)
report("resumes_exactly_within", Path("runs/m/last.safetensors").read_bytes() == whole)
x, m = (list(csv.DictReader(open(f"runs/{name}/metrics.csv"))) for name in "xm")
report("same_figures", all(isclose(float(one[name]), float(other[name]), rel_tol=1e-5)
    for one, other in zip(x, m, strict=True) for name in one if name.startswith("train_")))
attempt("exists", RunError)
attempt("no_work", ConfigError, model="softmax", n_batch=1, n_lbl_batch=None, logname="z",
    n_hidden=None, n_latent=None, n_aux=None)
attempt("no_labelled_work", ConfigError, n_lbl_batch=1, logname="z")
run(val_size=1, logname="v")
attempt("unwritable", RunError, run_dir="script.py", logname="z")
Path("finished").touch()
"""


def test_all_processes_agree(start: Start, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    out, err = start(*LAUNCHER, "script.py").communicate(timeout=250)
    assert (tmp_path / "finished").exists(), err
    said: dict[str, list[str]] = {}
    for line in out.splitlines():
        name, _, value = line.partition(" ")
        said.setdefault(name, []).append(value)
    # x, y, y extended, c, d, d extended, p, q, q extended, m, v.
    for name in ("same_weights", "own_noise", "same_state"):
        assert said[name] == ["True"] * 22, name
    assert said["seen_once_an_epoch"] == ["True"] * 6
    assert said["consistency_resumes_exactly"] == ["True"] * 2
    assert said["epochs"] == said["extended"] == ["2"] * 2
    for name in ("resumes_exactly", "resumes_exactly_within", "two_players_resume_exactly"):
        assert said[name] == ["True"] * 2, name
    assert said["cut"] == ["cut"] * 2 and said["same_figures"] == ["True"] * 2
    for name, part in {
        "exists": "--overwrite",
        "no_work": "leaves some of 2 processes without work",
        "no_labelled_work": "--n_lbl_batch 1 leaves some",
        "unwritable": "Not a directory",
    }.items():
        assert len(said[name]) == 2 and all(part in text for text in said[name]), name
    assert not (tmp_path / "runs" / "z").exists()

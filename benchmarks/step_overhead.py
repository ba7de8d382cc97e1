"""What the loop adds to a training step of the paper's network, over the bare passes.

Bare: forward, backward and Adam of the same model on one batch held in memory. The loop: all of
`Trainer`'s epoch but validation, so batches gathered from bytes, clipping, logging and Accelerate
too. Both take turns in one process, a step each in turn, so that a busy machine slows both;
the ratio is that of the medians. Run on an otherwise idle machine.

    python benchmarks/step_overhead.py          # some minutes
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from _runs import markdown

from dhm.config import Network, TrainConfig
from dhm.data import Dataset, Examples
from dhm.models.base import Batch
from dhm.models.build import build_model
from dhm.training.data import TrainingData
from dhm.training.engine import make_engine
from dhm.training.environment import hardware, versions
from dhm.training.recording import InMemory
from dhm.training.train import fill_in, make_trainer

RESULTS = Path(__file__).parent / "results" / "step_overhead.json"
N_BATCH, STEPS, ROUNDS = 128, 1, 20
CASES: list[tuple[Network, tuple[int, int, int]]] = [
    ("paper", (1, 28, 28)),
    ("paper", (3, 32, 32)),
]


def measure(network: Network, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Seconds a step of the loop and of the bare passes."""
    rng = np.random.default_rng(0)
    n = N_BATCH * STEPS
    examples = Examples(
        rng.integers(0, 256, (n, *shape)).astype(np.uint8), rng.integers(0, 10, n).astype(np.int64)
    )
    data = Dataset("noise", examples, examples, tuple("0123456789"))
    engine = make_engine("auto", "no")
    parts = TrainingData(examples, None, examples)
    config = TrainConfig(network=network, n_batch=N_BATCH, epochs=10**6, rampdown=0)
    config = fill_in(config.for_model(), parts, 1)
    torch.manual_seed(0)
    model = build_model(config.model, network, data, config.own_options())
    recorder = InMemory(lambda row: False)
    trainer = make_trainer(model, parts, config, engine, recorder, fresh=True, progress=False)
    model = build_model(config.model, network, data, config.own_options()).to(engine.device)
    assert config.lr is not None
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    x = torch.from_numpy(examples.x[:N_BATCH]).to(engine.device)
    batch = Batch(x, torch.from_numpy(examples.y[:N_BATCH]).to(engine.device))

    def bare() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            model(batch, "hybrid").total.backward()
            optimizer.step()

    def loop() -> None:
        trainer.state.step_in_epoch = 0
        trainer._train_epoch([])

    seconds: dict[str, list[float]] = {"bare": [], "loop": []}
    for round_ in range(ROUNDS + 1):
        for name, steps in (("bare", bare), ("loop", loop)):
            start = time.perf_counter()
            steps()
            if engine.device.type == "cuda":
                torch.cuda.synchronize()
            if round_:  # the first round warms up
                seconds[name].append((time.perf_counter() - start) / STEPS)
    middle = {name: median(values) for name, values in seconds.items()}
    return {
        "network": network,
        "shape": shape,
        "n_batch": N_BATCH,
        "seconds_per_step": {name: round(value, 4) for name, value in middle.items()},
        "loop_over_bare": round(middle["loop"] / middle["bare"], 4),
        "versions": versions(),
        "hardware": hardware(engine),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, one line a shape of images."""
    header = ["network", "images", "batch", "bare s", "loop s", "loop over bare"]
    return markdown(
        header,
        [
            [
                row["network"],
                "x".join(map(str, row["shape"])),
                str(row["n_batch"]),
                *(f"{row['seconds_per_step'][name]:.3f}" for name in ("bare", "loop")),
                f"{row['loop_over_bare'] - 1:+.1%}",
            ]
            for row in rows
        ],
    )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    rows = [measure(network, shape) for network, shape in CASES]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))

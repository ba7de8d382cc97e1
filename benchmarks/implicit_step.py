"""One training step of the paper's implicit networks, as a share of the machine's matrix products.

A step is both players' turns, forward, backward and Adam, on 100 labelled and 100 unlabelled images
of 3x32x32. Its operations are counted by torch, backward passes too. A product of two float32
matrices takes turns with the steps in the same process, so that a busy machine slows both; the
figures are those of the medians. Run on an otherwise idle machine.

    python benchmarks/implicit_step.py          # about 3 minutes on 2 cores
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from _runs import markdown
from torch.utils.flop_counter import FlopCounterMode

from dhm.config import TrainConfig
from dhm.data import Dataset, Examples
from dhm.models.base import Batch
from dhm.models.build import build_model
from dhm.training.engine import make_engine
from dhm.training.environment import hardware, versions

RESULTS = Path(__file__).parent / "results" / "implicit_step.json"
SHAPE, N_BATCH, ROUNDS, SIDE = (3, 32, 32), 100, 20, 2048


def measure(rounds: int) -> dict[str, Any]:
    """Seconds a step, its operations, and their rate beside that of a matrix product."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (2 * N_BATCH, *SHAPE)).astype(np.uint8)
    examples = Examples(x, np.arange(2 * N_BATCH) % 10)
    data = Dataset("noise", examples, examples, tuple("0123456789"))
    config = TrainConfig(model="semisup-ali", network="paper").for_model()
    engine = make_engine("auto", "no")
    torch.manual_seed(0)
    model = build_model(config.model, config.network, data, config.own_options())
    images, y = torch.from_numpy(x), torch.from_numpy(examples.y[:N_BATCH])
    batch = Batch(images[:N_BATCH], y, images[N_BATCH:])
    model.initialize(batch)
    operations = {}
    for name in model.players():  # counted on the host, where torch can count backward passes, too
        with FlopCounterMode(display=False) as counter:
            model(batch, name).total.backward()
        operations[name] = counter.get_total_flops()
    model.to(engine.device)
    images, y = images.to(engine.device), y.to(engine.device)
    batch = Batch(images[:N_BATCH], y, images[N_BATCH:])
    torch.backends.cudnn.allow_tf32 = False  # the product's numbers are float32, too
    assert config.lr is not None and config.b1 is not None and config.b2 is not None
    betas = config.b1, config.b2
    optimizers = {
        name: torch.optim.Adam(p, lr=config.lr, betas=betas, fused=True)
        for name, p in model.players().items()
    }
    matrix = torch.randn(SIDE, SIDE, device=engine.device)

    def turn(player: str) -> None:
        model.zero_grad(set_to_none=True)
        model(batch, player).total.backward()
        optimizers[player].step()

    def product() -> None:
        for _ in range(10):
            torch.mm(matrix, matrix)

    def seconds(work: Callable[[], None]) -> float:
        start = time.perf_counter()
        work()
        if engine.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    for name in optimizers:  # the first warms up
        turn(name)
    taken: dict[str, list[float]] = {name: [] for name in (*optimizers, "product")}
    for _ in range(rounds):
        for name in optimizers:
            taken[name].append(seconds(lambda name=name: turn(name)))  # type: ignore[misc]
        taken["product"].append(seconds(product))
    peak = 10 * 2 * SIDE**3 / median(taken["product"])
    step = sum(median(taken[name]) for name in optimizers)
    rate = sum(operations.values()) / step
    return {
        "network": config.network,
        "shape": SHAPE,
        "n_batch": N_BATCH,
        "rounds": rounds,
        "seconds_per_step": round(step, 4),
        "seconds_per_turn": {name: round(median(taken[name]), 4) for name in optimizers},
        "gflop_per_turn": {name: round(n / 1e9, 1) for name, n in operations.items()},
        "gflop_per_step": round(sum(operations.values()) / 1e9, 1),
        "gflop_per_second": {"step": round(rate / 1e9, 1), "product": round(peak / 1e9, 1)},
        "share_of_peak": round(rate / peak, 3),
        "versions": versions(),
        "hardware": hardware(engine),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, one line a measurement."""
    header = [
        "machine",
        "network",
        "images",
        "batch",
        "s a step",
        "GFLOP",
        "GFLOP/s",
        "of a product",
        "share",
    ]
    return markdown(
        header,
        [
            [
                row["hardware"]["name"],
                row["network"],
                "x".join(map(str, row["shape"])),
                str(row["n_batch"]),
                f"{row['seconds_per_step']:.3g}",
                f"{row['gflop_per_step']:.0f}",
                *(f"{row['gflop_per_second'][name]:.0f}" for name in ("step", "product")),
                f"{row['share_of_peak']:.0%}",
            ]
            for row in rows
        ],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"steps timed [{ROUNDS}]")
    parser.add_argument("--keep", action="store_true", help=f"put it into {RESULTS.name}")
    options = parser.parse_args()
    result = measure(options.rounds)
    print(json.dumps({k: v for k, v in result.items() if k != "versions"}, indent=1))
    if options.keep:
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
        others = [row for row in kept if row["hardware"]["name"] != result["hardware"]["name"]]
        RESULTS.write_text(json.dumps([*others, result], indent=1) + "\n")

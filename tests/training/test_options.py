"""Every option does what its help says."""

import json
from collections.abc import Callable
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dhm import TrainConfig, load_data, load_model, train
from dhm.config import read_config
from dhm.data import hide_labels, labeled_subset, split_validation
from dhm.errors import ConfigError
from dhm.models.base import Batch, Loss
from dhm.training import train as module
from dhm.training.progress import Progress
from dhm.training.trainer import Trainer

Trained = Callable[..., Path]
Weights = Callable[..., Tensor]
SOFTMAX: dict[str, Any] = {"model": "softmax", "clip_norm": 0.0, "clip_value": 0.0, "rampdown": 0}


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Each turn of the run: its player, terms, learning rate, batch, gradient, weights after."""
    noted: list[dict[str, Any]] = []
    original = Trainer._take_turn

    def take_turn(self: Trainer, player: str, batch: Batch, *rest: Any) -> Loss:
        loss = original(self, player, batch, *rest)
        noted.append(
            {
                "player": player,
                "terms": loss.terms,
                "lr": self.optimizers[player].param_groups[0]["lr"],
                "batch": batch,
                "gradient": [p.grad.clone() for p in self.players[player] if p.grad is not None],
                "weights": {k: v.clone() for k, v in self.model.state_dict().items()},
            }
        )
        return loss

    monkeypatch.setattr(Trainer, "_take_turn", take_turn)
    return noted


@pytest.fixture
def initial(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The weights that training starts from."""
    found: dict[str, Tensor] = {}
    original = Trainer.fit

    def fit(self: Trainer) -> None:
        found.update({k: v.clone() for k, v in self.model.state_dict().items()})
        original(self)

    monkeypatch.setattr(Trainer, "fit", fit)
    return found


def test_a_config_file_gives_the_same_run(
    trained: Trained, assert_same_run: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    from dhm.cli import main

    one = trained(logname="one", ema=0.5, seed=3, seed_data=2, rampdown=1, warmup=1.0, val_size=100)
    written = read_config(one / "config.yaml")
    assert "logname" not in written and "run_dir" not in written
    words = ["train", "-q", "--config", str(one / "config.yaml"), "--run-dir", str(tmp_path / "b")]
    assert main(words) == 0
    other = tmp_path / "b" / "digits-supervised-hdgm"
    assert_same_run(one, other)
    assert read_config(other / "config.yaml") == written
    assert main(words) == 0
    assert_same_run(one, tmp_path / "b" / "digits-supervised-hdgm-2")


def test_the_numbers_depend_on_the_seed_and_not_on_what_is_shown(
    trained: Trained,
    small: Callable[..., TrainConfig],
    weights: Weights,
    assert_same_run: Callable[[Path, Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = trained(logname="one")
    torch.rand(3)
    np.random.rand()
    shown = Path(train(small(logname="shown", picture_every=1), progress=True)["run"])
    assert_same_run(one, shown)
    assert len(list((shown / "samples").glob("*.png"))) == 2
    assert capsys.readouterr().err.count("epoch") == 2
    assert_same_run(one, trained(logname="saved", checkpoint_every=1))
    assert_same_run(one, trained(logname="parts", n_superbatch=70))
    for name, options in {"seed": {"seed": 1}, "data": {"seed_data": 1}}.items():
        assert not torch.equal(weights(one), weights(trained(logname=name, **options)))


def test_sgd_takes_the_step_of_the_books(
    trained: Trained, turns: list[dict[str, Any]], initial: dict[str, Tensor]
) -> None:
    trained(alg="sgd", lr=0.3, epochs=1, **SOFTMAX)
    w, b = (initial[f"network.1.{name}"].clone() for name in ("weight", "bias"))
    for turn in turns[:2]:
        x = turn["batch"].x.flatten(1).float() / 255 if turn["batch"].x.dtype == torch.uint8 else 0
        y = F.one_hot(turn["batch"].y, 10)
        residual = (torch.softmax(x @ w.T + b, 1) - y) / len(y)
        w -= 0.3 * residual.T @ x
        b -= 0.3 * residual.sum(0)
        torch.testing.assert_close(turn["weights"]["network.1.weight"], w, atol=1e-6, rtol=0)
        torch.testing.assert_close(turn["weights"]["network.1.bias"], b, atol=1e-6, rtol=0)


def test_adam_has_its_rate_and_betas(
    trained: Trained, turns: list[dict[str, Any]], initial: dict[str, Tensor]
) -> None:
    lr, b1, b2 = 0.01, 0.5, 0.8
    trained(lr=lr, b1=b1, b2=b2, epochs=1, **SOFTMAX)
    w = initial["network.1.bias"].clone()
    m = v = torch.zeros(10)
    for t, turn in enumerate(turns, start=1):
        g = turn["gradient"][1]
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        w -= lr * (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt() + 1e-8)
        torch.testing.assert_close(turn["weights"]["network.1.bias"], w, atol=1e-5, rtol=0)


def test_the_gradient_is_clipped_by_norm_and_then_by_value(
    trained: Trained, turns: list[dict[str, Any]]
) -> None:
    free = {**SOFTMAX, "epochs": 1, "seed": 5}
    trained(logname="free", **free)
    trained(logname="clipped", **free | {"clip_norm": 0.1, "clip_value": 0.01})
    raw, clipped = turns[0]["gradient"], turns[len(turns) // 2]["gradient"]
    norm = torch.cat([g.flatten() for g in raw]).norm()
    assert norm > 0.2
    for g, c in zip(raw, clipped, strict=True):
        expected = (g * 0.1 / norm).clamp(-0.01, 0.01)
        torch.testing.assert_close(c, expected, atol=1e-6, rtol=1e-4)
    assert max(c.abs().max() for c in clipped) == pytest.approx(0.01)  # both were at work


def test_the_ramp_scales_the_learning_rate(trained: Trained, turns: list[dict[str, Any]]) -> None:
    trained(lr=0.01, epochs=4, **SOFTMAX | {"rampdown": 2})
    rates = [turn["lr"] for turn in turns]
    steps = len(rates) // 4
    assert rates[: 2 * steps] == [0.01] * (2 * steps)
    falling = [0.01 * exp(-12.5 * (i / steps / 2) ** 2) for i in range(2 * steps)]
    assert rates[2 * steps :] == pytest.approx(falling)


def test_the_linear_schedule_ends_in_the_last_third(
    trained: Trained, turns: list[dict[str, Any]]
) -> None:
    trained(lr=0.01, epochs=3, schedule="linear", model="semisup-ali", network="mlp", n_batch=200)
    for player in ("critic", "generator"):
        rates = [turn["lr"] for turn in turns if turn["player"] == player]
        steps = len(rates) // 3
        assert rates[: 2 * steps] == [0.01] * (2 * steps)
        assert rates[2 * steps :] == pytest.approx([0.01 * (1 - i / steps) for i in range(steps)])


def test_a_recipes_name_is_no_config() -> None:
    with pytest.raises(ConfigError, match=r"expected a TrainConfig, .*load_recipe.* found str"):
        train("digits-50")  # type: ignore[arg-type]


@pytest.mark.parametrize(("epochs", "length"), [(1, 0), (2, 1), (40, 20), (200, 50)])
def test_half_of_a_short_run_is_not_ramped(
    small: Callable[..., TrainConfig], epochs: int, length: int
) -> None:
    config = small(model="softmax", epochs=epochs).for_model()
    data = module.prepare(load_data("digits"), config)
    assert module.fill_in(config, data, 1).rampdown == length


def test_the_average_is_that_of_the_books(trained: Trained, turns: list[dict[str, Any]]) -> None:
    run = trained(ema=0.8, **SOFTMAX)
    average = turns[0]["weights"]
    for n, turn in enumerate(turns[1:], start=1):
        decay = min(0.8, (1 + n) / (10 + n))
        average = {k: decay * v + (1 - decay) * turn["weights"][k] for k, v in average.items()}
    kept = load_model(run / "last.safetensors").state_dict()
    for name in ("network.1.weight", "network.1.bias"):
        torch.testing.assert_close(kept[name], average[name], atol=1e-6, rtol=1e-5)
        assert not torch.allclose(kept[name], turns[-1]["weights"][name], atol=1e-4)


def test_patience_ends_a_run_that_gets_no_better(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([0.5, 0.4, 0.4, 0.45, 0.45, 0.1, 0.1])
    nll = iter([1.0, 1.0, 0.9, 1.0, 1.0, 1.0, 1.0])

    def evaluate(*arguments: Any, **options: Any) -> dict[str, float]:
        return {"error": next(errors), "nll": next(nll), "ece": 0.1}

    monkeypatch.setattr("dhm.training.trainer.evaluate", evaluate)
    run = trained(patience=2, epochs=7, **SOFTMAX)
    # Epoch 3 is better by its nll; 4 and 5 are not better.
    assert len((run / "metrics.csv").read_text().splitlines()) == 1 + 5
    assert json.loads((run / "summary.json").read_text())["epochs"] == 5


def test_the_best_weights_are_kept_beside_the_last(
    trained: Trained, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([0.5, 0.4, 0.6])
    monkeypatch.setattr(
        "dhm.training.trainer.evaluate",
        lambda *a, **k: {"error": next(errors), "nll": 1.0, "ece": 0.0},
    )
    run = trained(epochs=3, **SOFTMAX)
    monkeypatch.undo()
    two = trained(logname="two", epochs=2, **SOFTMAX)
    assert torch.equal(weights(run, "model.safetensors"), weights(two))
    assert not torch.equal(weights(run), weights(two))


def test_the_last_weights_are_kept_where_they_are_asked_for(
    trained: Trained, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([0.5, 0.4, 0.6, 0.7])
    monkeypatch.setattr(
        "dhm.training.trainer.evaluate",
        lambda *a, **k: {"error": next(errors), "nll": 1.0, "ece": 0.0},
    )
    run = trained(epochs=5, keep="last", patience=2, **SOFTMAX)
    assert torch.equal(weights(run, "model.safetensors"), weights(run))
    summary = json.loads((run / "summary.json").read_text())
    assert summary["epochs"] == summary["best_epoch"] == 4, "patience is with validation still"


@pytest.mark.parametrize(
    ("n_labeled", "n_batch", "most"),
    [(20, 32, 1024), (1179, 32, 1179), (20, 1200, 1200)],
    ids=["repeated", "as many as labels", "as many as unlabelled ones"],
)
def test_a_labelled_batch_of_mere_copies_is_refused(
    small: Callable[..., TrainConfig], n_labeled: int, n_batch: int, most: int
) -> None:
    config = small(model="semisup-cnn", n_labeled=n_labeled, n_batch=n_batch).for_model()
    data = module.prepare(load_data("digits"), config)
    assert module.fill_in(replace(config, n_lbl_batch=most), data, 1).n_lbl_batch == most
    message = f"--n_lbl_batch should be at most {most}, .* found {most + 1}: .* choose a smaller"
    with pytest.raises(ConfigError, match=message):
        module.fill_in(replace(config, n_lbl_batch=most + 1), data, 1)


def test_batch_sizes_and_labels(trained: Trained, turns: list[dict[str, Any]]) -> None:
    trained(model="softmax", n_labeled=60, n_batch=25, epochs=1)
    assert [len(turn["batch"].x) for turn in turns] == [20, 20, 20]
    labels = torch.cat([turn["batch"].y for turn in turns])
    assert torch.bincount(labels).tolist() == [6] * 10
    turns.clear()
    trained(
        logname="semi", model="semisup-hdgm", n_labeled=30, n_batch=300, n_lbl_batch=12, epochs=1
    )
    assert {len(turn["batch"].x) for turn in turns} == {12}
    assert sum(len(turn["batch"].x_unlabeled) for turn in turns) == 1213
    assert all((turn["batch"].y >= 0).all() for turn in turns)


@pytest.mark.parametrize(("size", "n"), [(0.1, 135), (0.5, 674), (1, 1), (300, 300)])
def test_validation_examples_as_share_or_number(
    small: Callable[..., TrainConfig], size: float, n: int
) -> None:
    config = small(val_size=size, model="softmax", n_labeled=None)
    data = module.prepare(load_data("digits"), config)
    assert len(data.validation) == n and len(data.labeled) == 1348 - n


def test_labels_that_are_not_to_be_used_are_not(small: Callable[..., TrainConfig]) -> None:
    digits = load_data("digits")
    rest, _ = split_validation(digits.train, 0.1, 0)
    supervised = module.prepare(digits, small(n_labeled=40))
    assert supervised.unlabeled is None
    np.testing.assert_array_equal(supervised.labeled.x, labeled_subset(rest, 40, 0).x)
    semi = module.prepare(digits, small(n_labeled=40, model="semisup-hdgm"))
    assert semi.unlabeled is not None and len(semi.unlabeled) == len(rest)
    assert (semi.unlabeled.y >= 0).sum() == 40
    np.testing.assert_array_equal(semi.unlabeled.y, hide_labels(rest, 40, 0).y)
    np.testing.assert_array_equal(semi.labeled.x, supervised.labeled.x)


@pytest.mark.parametrize(
    ("options", "untrained"),
    [({"sup_weight": 0.0}, "classifier"), ({"unsup_weight": 0.0}, "decoder")],
)
def test_a_weight_of_zero_reaches_the_model(
    trained: Trained, initial: dict[str, Tensor], options: dict[str, float], untrained: str
) -> None:
    last = load_model(trained(**options) / "last.safetensors").state_dict()
    changed = {k.split(".")[0] for k, v in last.items() if not torch.equal(v, initial[k])}
    assert untrained not in changed and "encoder" in changed


def test_weights_scale_the_terms_of_the_loss(trained: Trained) -> None:
    import csv

    run = trained(sup_weight=3.0, unsup_weight=0.5, epochs=1)
    with (run / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    expected = 3 * float(row["train_nll_y"]) - 0.5 * float(row["train_bound"])
    assert float(row["train_loss"]) == pytest.approx(expected, rel=1e-5)


def test_warm_up_fades_the_latent_terms_in(trained: Trained) -> None:
    import csv

    with (trained(warmup=4.0, epochs=1, unsup_weight=1.0, lr=1e-6) / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    kl, log_px = float(row["train_kl"]), float(row["train_log_px_given_z"])
    beta = np.mean([step / 7 / 4 for step in range(7)])
    expected = float(row["train_nll_y"]) - (log_px - beta * kl)
    assert float(row["train_loss"]) == pytest.approx(expected, abs=0.02 * kl)


@pytest.mark.parametrize("of", ["folder", "file"])
def test_reload_starts_from_the_weights_of_a_run(
    trained: Trained, initial: dict[str, Tensor], of: str
) -> None:
    source = trained(logname="source")
    path = source if of == "folder" else source / "model.safetensors"
    initial.clear()
    trained(reload=str(path), seed=9)
    kept = load_model(source).state_dict()
    assert all(torch.equal(initial[name], value) for name, value in kept.items())


def test_reload_of_other_sizes_is_one_error(trained: Trained) -> None:
    source = trained(logname="source")
    with pytest.raises(ConfigError, match=r"--reload .* does not fit"):
        trained(reload=str(source), n_hidden=17)
    with pytest.raises(ConfigError, match=r"--reload .*source"):
        trained(reload=str(source), model="softmax")
    other = trained(logname="other", model="softmax")
    with pytest.raises(ConfigError, match=r"Missing key.* \.\.\.$") as raised:
        trained(reload=str(other), model="semisup-ali")
    assert len(str(raised.value)) < 350, "not the name of every weight"
    assert not source.with_name("x").exists()


def test_bf16_computes_in_bf16_and_keeps_float32(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[torch.dtype] = set()
    hook = nn.modules.module.register_module_forward_hook(
        lambda m, i, out: seen.add(out.dtype) if isinstance(m, nn.Conv2d | nn.Linear) else None
    )
    run = trained(precision="bf16", model="supervised-cnn", epochs=1)
    hook.remove()
    assert torch.bfloat16 in seen
    weights = load_model(run).state_dict().values()
    assert {w.dtype for w in weights if w.is_floating_point()} == {torch.float32}
    assert json.loads((run / "summary.json").read_text())["hardware"]["precision"] == "bf16"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "nonsense"}, "--device nonsense cannot be used here"),
        ({"device": "cuda:7"}, "--device cuda:7 cannot be used here"),
        ({"precision": "fp16", "device": "cpu"}, "--precision fp16 cannot be used on cpu"),
        ({"device": "meta"}, "--device meta cannot be used here"),
    ],
)
def test_a_device_that_is_not_there_is_one_error(
    trained: Trained, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        trained(**options)
    assert "\n" not in str(caught.value)


def test_evaluation_samples_reach_the_test(trained: Trained, monkeypatch: Any) -> None:
    asked: list[int] = []
    original = module.evaluate

    def evaluate(model: Any, examples: Any, n_samples: int = 0, **options: Any) -> Any:
        asked.append(n_samples)
        return original(model, examples, n_samples, **options)

    monkeypatch.setattr(module, "evaluate", evaluate)
    summary = json.loads((trained(n_eval_samples=7, epochs=1) / "summary.json").read_text())
    assert asked == [0, 7] and summary["n_eval_samples"] == 7


def test_checkpoints_within_an_epoch(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    original = Trainer._save_checkpoint

    def save(self: Trainer) -> None:
        steps.append(self.state.step)
        original(self)

    monkeypatch.setattr(Trainer, "_save_checkpoint", save)
    run = trained(checkpoint_every=3)
    assert steps == [3, 6, 7, 9, 12, 14]
    assert [path.name for path in run.glob("checkpoint*")] == ["checkpoint-2-0"]


def test_the_bar_is_asked_for_means_of_the_epoch_so_far(
    trained: Trained, turns: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def step(self: Progress, epoch: int, n: int, means: Callable[[], dict[str, float]]) -> None:
        seen.append((epoch, n, means()))

    monkeypatch.setattr(Progress, "step", step)
    run = trained()
    assert [epoch for epoch, _, _ in seen] == [0] * 7 + [1] * 7
    sizes = [n for _, n, _ in seen]
    assert sum(sizes) == 400 and set(sizes) == {28, 29}
    nll = [turn["terms"]["nll_y"].item() for turn in turns]
    for last in range(7, 14):  # over examples, and of the second epoch alone
        mean = np.average(nll[7 : last + 1], weights=sizes[7 : last + 1])
        assert seen[last][2]["nll_y"] == pytest.approx(mean, rel=1e-5)
    rows = (run / "metrics.csv").read_text().splitlines()
    names = rows[0].split(",")
    row = dict(zip(names, rows[2].split(","), strict=True))
    for name, value in seen[-1][2].items():
        assert value == pytest.approx(float(row[f"train_{name}"]), rel=1e-5)
    assert next(iter(seen[0][2])) == "loss"

"""The loop: turns of the players, averaging, validation, checkpoints. Names no model."""

import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, load
from torch import Tensor, nn

from dhm.config import TrainConfig
from dhm.consistency.regularized import Regularized
from dhm.data.binarize import binarized
from dhm.errors import ConfigError, DivergedError, RunError, one_line
from dhm.evaluation.evaluate import METRICS, evaluate
from dhm.models.base import Loss, Model
from dhm.nn.average import MovingAverage
from dhm.nn.batch_norm import refresh_statistics
from dhm.nn.device import to_device
from dhm.training.feed import Feed, drawn
from dhm.training.progress import Progress
from dhm.training.recording import Recorder
from dhm.training.schedules import rampdown

N_STATISTICS = 4000
"""Training inputs that the statistics of batch normalisation are taken over for evaluation."""


@dataclass
class TrainingState:
    """All that a checkpoint holds beside weights, optimisers and random generators."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    weight: float = 0.0
    epoch_seconds: float = 0.0
    wall_seconds: float = 0.0
    processes: int = 1
    device: str = "cpu"
    best: list[float] | None = None
    best_epoch: int = 0
    epochs_since_best: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """For Accelerate's checkpoints: plain numbers, strings, lists and dicts only."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the values of a checkpoint."""
        for name, value in state.items():
            setattr(self, name, value)


class Trainer:
    """Trains a model on a feed of batches; what happens is told to a recorder.

    Without validation examples no weights are better than the last.
    """

    def __init__(
        self,
        objective: Regularized,
        feed: Feed,
        config: TrainConfig,
        engine: Accelerator,
        recorder: Recorder,
        progress: Progress,
    ) -> None:
        self.config, self.engine, self.recorder = config, engine, recorder
        self.feed, self.validation = feed, feed.data.validation
        self.progress, self.stopped = progress, False
        assert config.epochs is not None and config.rampdown is not None
        assert config.lr is not None and config.schedule is not None
        self.n_epochs, self.rampdown_length = config.epochs, config.rampdown
        self.lr, self.schedule = config.lr, config.schedule
        self.objective = objective.to(engine.device)
        self.model = self.objective.model
        self.players = {
            name: [p for p in parameters if p.numel()]
            for name, parameters in self.model.players().items()
        }
        self.optimizers = {
            name: engine.prepare(self._make_optimizer(parameters))
            for name, parameters in self.players.items()
        }
        with warnings.catch_warnings():
            # Accelerate does not know torch's new name of this option yet.
            warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
            self.wrapped = engine.prepare(self.objective)
        self.average: MovingAverage | None = None
        if config.ema:
            self.average = MovingAverage(self.model, config.ema)
            engine.register_for_checkpointing(self.average)
        self.state = TrainingState(processes=engine.num_processes, device=engine.device.type)
        engine.register_for_checkpointing(self.state)

    @property
    def trained(self) -> Model:
        """The model to evaluate and keep: the moving average, if one is taken."""
        if self.average is None:
            return self.model
        module = self.average.module
        assert isinstance(module, Model)
        return module

    @property
    def finished(self) -> bool:
        """True after the last epoch, without patience for another, or told so by the recorder."""
        patience = self.config.patience
        impatient = patience is not None and self.state.epochs_since_best >= patience
        return self.stopped or impatient or self.state.epoch >= self.n_epochs

    def fit(self) -> None:
        """Train from where the state stands to the last epoch.

        Ctrl-C or SIGTERM save a checkpoint after the step under way, then raise
        `KeyboardInterrupt`.
        """
        state, feed = self.state, self.feed
        done = state.epoch * feed.n_main + state.step_in_epoch * feed.n_batch
        self.progress.start(self.n_epochs, feed.n_main, done)
        with self.progress, _interruptible(self.engine) as interrupted:
            while not self.finished:
                self._train_epoch(interrupted)
                self._end_epoch()
                if interrupted:
                    raise KeyboardInterrupt

    def resume(self, checkpoint: Path) -> None:
        """Take over everything from a checkpoint; raises `RunError` where any of it is amiss."""
        here = (self.engine.num_processes, self.engine.device.type)
        with _reading(checkpoint):
            # Accelerate reads some of these by full unpickling, which could run code; plain data
            # can be read without.
            for file in checkpoint.glob("custom_checkpoint_*.pkl"):
                load(file)
            self.engine.load_state(str(checkpoint))
            made = (self.state.processes, self.state.device)
            if made == here:
                self._check_generators(checkpoint)
        if made != here:
            made_by, by = (f"{n} process{'es' * (n > 1)} on {device}" for n, device in (made, here))
            raise RunError(
                f"the checkpoint {checkpoint} was made by {made_by}, and {by} cannot go on exactly "
                f"as it would have; resume it there, or start a run from its weights by --reload"
            )
        if self.n_epochs < self.state.epoch:
            raise ConfigError(
                f"--epochs {self.n_epochs} is fewer than the {self.state.epoch} trained already"
            )

    def _check_generators(self, checkpoint: Path) -> None:
        """Accelerate goes on without a word where it cannot restore the random generators."""
        states = load(checkpoint / f"random_states_{self.engine.process_index}.pkl")
        saved, found = states["torch_manual_seed"], torch.get_rng_state()
        if self.engine.device.type == "cuda":
            found = torch.cuda.get_rng_state()
            saved = states["torch_cuda_manual_seed"][torch.cuda.current_device()]
        if not torch.equal(saved, found):
            raise ValueError("the state of the random generators was not restored")

    def _make_optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        config = self.config
        if config.alg == "sgd":
            return torch.optim.SGD(parameters, lr=self.lr)
        assert config.b1 is not None and config.b2 is not None
        fused = self.engine.device.type in ("cpu", "cuda")
        betas = (config.b1, config.b2)
        return torch.optim.Adam(parameters, lr=self.lr, betas=betas, fused=fused)

    def _train_epoch(self, interrupted: list[int]) -> None:
        state, every = self.state, self.config.checkpoint_every
        clock = time.perf_counter()
        if state.step_in_epoch == 0:
            self.objective.start_epoch(self.trained, state.epoch)
        self.wrapped.train()
        device = self.engine.device
        names = list(state.sums)
        # The sums stay on the device, so that the host never waits for it but to show or save them.
        sums = torch.tensor(list(state.sums.values()), device=device)

        def note() -> None:
            nonlocal clock, sums
            if self.engine.num_processes > 1:
                # Means over processes: all of them go on from what the first one saves.
                own = torch.cat([sums, sums.new_tensor([state.weight])])
                mean = self.engine.reduce(own, "mean")
                sums, state.weight = mean[:-1], float(mean[-1])
            state.sums = dict(zip(names, sums.tolist(), strict=True))
            state.epoch_seconds += time.perf_counter() - clock
            clock = time.perf_counter()

        def means() -> dict[str, float]:
            return dict(zip(names, (sums / state.weight).tolist(), strict=True))

        for batch, factor in self.feed.epoch(state.epoch, state.step_in_epoch):
            learning_rate = self._learning_rate(batch.epoch)
            n = len(batch.main)
            terms: dict[str, Tensor] = {}
            for name in self.players:
                loss = self._take_turn(name, batch, factor, learning_rate)
                terms |= {"loss": terms.get("loss", 0.0) + loss.total.detach(), **loss.terms}
            if not names:
                names, sums = list(terms), torch.zeros(len(terms), device=device)
            sums.add_(torch.stack([term.float() for term in terms.values()]), alpha=n)
            if self.average is not None:
                self.average.update(self.model)
            state.step += 1
            state.step_in_epoch += 1
            state.weight += n
            stop = bool(interrupted)
            if stop or (every and state.step % every == 0):
                note()
                self._save_checkpoint()
            if stop:
                raise KeyboardInterrupt
            self.progress.step(state.epoch, n * self.engine.num_processes, means)
        note()

    def _learning_rate(self, epoch: float) -> float:
        return self.lr * rampdown(epoch, self.n_epochs, self.rampdown_length, self.schedule)

    def _take_turn(self, player: str, batch: Any, factor: float, learning_rate: float) -> Loss:
        config, parameters, optimizer = self.config, self.players[player], self.optimizers[player]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        self.model.zero_grad(set_to_none=True)
        loss: Loss = self.wrapped(batch, player)
        self.engine.backward(loss.total * factor if factor != 1 else loss.total)
        if config.clip_norm or config.clip_value:
            self.engine.unscale_gradients(optimizer)
        if config.clip_norm:
            nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        if config.clip_value:
            nn.utils.clip_grad_value_(parameters, config.clip_value)
        # Accelerate's own step, needed only for float16, spends 0.14 ms on looking for a package.
        (optimizer if self.engine.scaler is not None else optimizer.optimizer).step()
        return loss

    def _end_epoch(self) -> None:
        state = self.state
        means = {name: total / state.weight for name, total in state.sums.items()}
        self._check_finite("loss", *means.values())
        clock = time.perf_counter()
        if self.engine.num_processes > 1:
            # Statistics are of each process's own share; those that are saved are the first's.
            broadcast([*self.model.buffers(), *self.trained.buffers()])
        self._refresh_statistics()
        n_samples = 1 if self.model.has_density else 0
        figures: dict[str, float | None] = {}
        if self.validation is not None:
            figures = evaluate(
                self.trained, self.validation, n_samples, seed=self.config.seed, engine=self.engine
            )
            self._check_finite("validation loss", *figures.values())
        rate = state.weight * self.engine.num_processes / max(state.epoch_seconds, 1e-9)
        epoch = state.epoch + 1
        row: dict[str, Any] = {"epoch": epoch, "step": state.step}
        row |= {"lr": self._learning_rate(epoch - 1)}
        row |= {f"train_{name}": value for name, value in means.items()}
        if figures:
            row |= {f"val_{name}": figures[name] for name in METRICS if self.model.has_classifier}
            if n_samples:
                row["val_bound"] = figures["log_likelihood"]
        row |= {"seconds": round(state.epoch_seconds, 3), "examples_per_second": round(rate, 1)}
        state.history.append(row)
        state.epoch, state.step_in_epoch = epoch, 0
        self._keep_weights(row)
        self.stopped = self.recorder.epoch(self.trained, state.history, self.finished)
        state.wall_seconds += state.epoch_seconds + time.perf_counter() - clock
        state.sums, state.weight, state.epoch_seconds = {}, 0.0, 0.0
        self._save_checkpoint()
        self.progress.epoch(row)

    def _refresh_statistics(self) -> None:
        """Give batch normalisation the statistics of training inputs under the weights to keep."""
        examples = self.feed.data.main
        rows = drawn(examples, (self.config.seed, self.state.epoch, 3))
        n_seen = min(len(rows), N_STATISTICS)
        # Spread over all of them: data of one's own may be sorted by class.
        index = rows[np.linspace(0, len(rows) - 1, n_seen).astype(np.intp)]
        seen = examples.take(index)
        if self.config.binarize:
            seen = binarized(seen, self.config.seed_data)
        # Each batch, too, whose own variance is what the mean is taken of.
        order = np.random.default_rng((self.config.seed, self.state.epoch, 4)).permutation(n_seen)
        parts = np.array_split(order, max(1, n_seen // 500))
        batches = (to_device(seen.x[part], self.engine.device) for part in parts)
        refresh_statistics(self.trained, self.trained.features, batches)

    def _check_finite(self, what: str, *values: float | None) -> None:
        if not all(isfinite(value) for value in values if value is not None):
            raise DivergedError(
                f"the {what} is no longer finite in epoch {len(self.state.history) + 1}: try a "
                f"smaller --lr than {self.lr:g}"
            )

    def _keep_weights(self, row: dict[str, Any]) -> None:
        state = self.state
        # Of equal errors on a small validation set the lower nll, then the later epoch, is better.
        # Without a classifier the best weights are those of the highest bound, and without that,
        # too, the last.
        if self.validation is None:
            value = []
        elif self.model.has_classifier:
            value = [row["val_error"], row["val_nll"]]
        else:
            value = [-row["val_bound"]] if self.model.has_density else []
        # While the bound is faded in, p(x) is not yet what it will be, and an error knows nothing
        # of that: the last weights are the best so far, and those that follow need not beat them.
        fading = state.epoch < (self.config.warmup or 0.0)
        better = fading or state.best is None or value <= state.best
        if better and not fading:
            state.best = value
        state.epochs_since_best = 0 if better else state.epochs_since_best + 1
        kept = better or self.config.keep == "last"
        if kept:
            state.best_epoch = state.epoch
        self.recorder.weights(self.trained, kept)

    def _save_checkpoint(self) -> None:
        self.recorder.checkpoint(self.state.epoch, self.state.step_in_epoch)


@contextmanager
def _interruptible(engine: Accelerator) -> Iterator[list[int]]:
    """A list that the first Ctrl-C or SIGTERM puts its number into; the second stops at once.

    With several processes, which must all save at the same step, a signal stops at once, and
    training resumes from the last checkpoint.
    """
    received: list[int] = []
    if engine.num_processes > 1 or threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(signum: int, frame: Any) -> None:
        received.append(signum)
        signal.signal(signum, signal.default_int_handler)

    previous = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


@contextmanager
def _reading(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    # A damaged file can raise almost anything out of torch, pickle or safetensors.
    except Exception as error:
        reason = one_line(error)
        raise RunError(
            f"the checkpoint {checkpoint} is damaged, or of another model or version of dhm: "
            f"{reason}; start again by --overwrite, or another run from its last weights by "
            f"--reload"
        ) from error

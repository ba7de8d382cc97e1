"""What keeps a run's progress: a folder, or memory alone."""

import shutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from dhm.errors import RunError
from dhm.models.base import Model
from dhm.models.build import save_model
from dhm.training.run_folder import RunFolder, writing

if TYPE_CHECKING:
    from accelerate import Accelerator

Row = dict[str, Any]
"""The figures of an epoch, by the names of the columns of `metrics.csv`."""


class Recorder(Protocol):
    """Whom the loop tells what happens; in every process, after the same steps."""

    def weights(self, model: Model, kept: bool) -> None:
        """After an epoch: its weights, and whether the run is to have them, so far, in the end."""

    def epoch(self, model: Model, history: Sequence[Row], finished: bool) -> bool:
        """After that: a row for each epoch so far. True ends training here."""

    def checkpoint(self, epoch: int, step: int) -> None:
        """When all that training needs to go on from here should be kept."""


class InFolder:
    """Weights, figures, pictures and checkpoints in a run folder."""

    def __init__(
        self,
        run: RunFolder,
        engine: "Accelerator",
        on_picture: Callable[[Model, int], None],
        picture_every: int,
    ) -> None:
        self.run, self.engine = run, engine
        self.on_picture, self.picture_every = on_picture, picture_every

    def weights(self, model: Model, kept: bool) -> None:
        """Write the last weights, and those that are kept."""
        if self.engine.is_main_process:
            if kept:
                save_model(model, self.run.weights)
            save_model(model, self.run.last_weights)

    def epoch(self, model: Model, history: Sequence[Row], finished: bool) -> bool:
        """Write the figures, and sometimes pictures."""
        if not self.engine.is_main_process:
            return False
        row = history[-1]
        self.run.write_metrics(history)
        with writing(str(self.run.path)):
            scalars = {k: v for k, v in row.items() if k not in ("epoch", "step")}
            self.engine.log(scalars, step=row["epoch"])
        if self.picture_every and (row["epoch"] % self.picture_every == 0 or finished):
            self.on_picture(model, row["epoch"])
        return False

    def checkpoint(self, epoch: int, step: int) -> None:
        """Write a checkpoint under a temporary name, rename it, then remove older ones."""
        final = self.run.checkpoint(epoch, step)
        temporary = self.run.path / "checkpoint.tmp"
        main = self.engine.is_main_process
        if main:
            shutil.rmtree(temporary, ignore_errors=True)
        self.engine.wait_for_everyone()
        try:
            with writing(str(final)):
                # Accelerate's way with safetensors takes tensors of no elements, as there are
                # without the auxiliary variable, for shared ones and leaves them out.
                self.engine.save_state(str(temporary), safe_serialization=False)
                self.engine.wait_for_everyone()
                if main:
                    temporary.rename(final)
        except RunError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        if main:
            for older in self.run.checkpoints()[:-1]:
                shutil.rmtree(older, ignore_errors=True)
            shutil.rmtree(self.run.replaced, ignore_errors=True)


class InMemory:
    """The weights to keep so far, and the figures; a callback may make an epoch the last."""

    def __init__(self, on_epoch: Callable[[Row], bool]) -> None:
        self.on_epoch = on_epoch
        self.kept: dict[str, Tensor] | None = None
        self.history: list[Row] = []

    def weights(self, model: Model, kept: bool) -> None:
        """Hold a copy of those that are kept."""
        if kept:
            self.kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def epoch(self, model: Model, history: Sequence[Row], finished: bool) -> bool:
        """Keep the figures and pass them on."""
        self.history = list(history)
        return self.on_epoch(dict(history[-1]))

    def checkpoint(self, epoch: int, step: int) -> None:
        """Nothing: what is interrupted here is not gone on with."""

"""The objective: whose loss the terms join, what each part is shown, and what is computed."""

from collections.abc import Callable
from math import exp
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dhm.augment.images import ImageAugmentation
from dhm.consistency.base import Views
from dhm.consistency.registry import method_class
from dhm.consistency.regularized import Regularized, Weighted
from dhm.models.base import Batch, Loss, Model

Make = Callable[..., Any]
STRENGTHS = ("rotation", "log_scale", "shear", "translation", "log_contrast")


class TwoPlayers(Model):
    """Notes what each player is shown; its classifier is linear."""

    def __init__(self, like: Model) -> None:
        super().__init__(like.spec)
        self.standardize = like.standardize
        self.layer = nn.Linear(64, 4)
        self.shown: dict[str, Batch] = {}
        self.passes: list[bool] = []

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"critic": list(self.parameters()), "generator": []}

    def forward(self, batch: Batch, player: str) -> Loss:
        self.shown[player] = batch
        return Loss(torch.tensor(3.0), {"nll_y": torch.tensor(3.0)})

    def logits(self, x: Tensor) -> Tensor:
        self.passes.append(torch.is_grad_enabled())
        return self.layer(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        return self.standardize(x).flatten(1)


@pytest.fixture
def model(make_model: Make) -> Any:
    torch.manual_seed(0)
    return TwoPlayers(make_model("semisup-cnn"))


@pytest.fixture
def batch(make_model: Make, make_batch: Make) -> Batch:
    return make_batch(make_model("semisup-cnn"))


@pytest.fixture
def regularized(model: Any, make_task: Make) -> Make:
    def make(weights: dict[str, float], rampup: float = 0.0) -> Regularized:
        task = make_task(model)
        methods = {k: Weighted(w, method_class(k)(task)) for k, w in weights.items()}
        return Regularized(model, methods, ImageAugmentation(), rampup)

    return make


def test_weights_and_ramp_scale_the_terms(regularized: Make, batch: Batch) -> None:
    objective = regularized({"entropy": 2.0, "information": 0.5}, rampup=3.0)
    loss = objective(batch, "critic")
    w = exp(-1.25)  # at epoch 1.5 of 3
    expected = 3 + w * (2 * loss.terms["entropy"] + 0.5 * loss.terms["information"])
    torch.testing.assert_close(loss.total, expected)
    assert set(loss.terms) == {"nll_y", "entropy", "information"}
    assert not any(term.requires_grad for term in loss.terms.values())


def test_the_other_player_is_left_alone(regularized: Make, model: Any, batch: Batch) -> None:
    loss = regularized({"entropy": 2.0})(batch, "generator")
    assert loss.total == 3 and not model.passes
    assert model.shown["generator"] is batch


def test_labelled_inputs_are_weak_copies_and_unlabelled_ones_themselves(
    regularized: Make, model: Any, batch: Batch
) -> None:
    torch.manual_seed(5)
    regularized({})(batch, "critic")
    shown = model.shown["critic"]
    torch.manual_seed(5)
    weak = ImageAugmentation().weak(model.standardize(batch.x))
    torch.testing.assert_close(shown.x, 255 * weak)
    assert torch.equal(shown.x, shown.x.round()), "bytes stay on their grid"
    assert not torch.equal(shown.x, batch.x.float())
    assert shown.x_unlabeled is batch.x_unlabeled and shown.y is batch.y
    # Without an unlabelled stream a density is learnt from the labelled inputs, as they are.
    regularized({})(batch._replace(x_unlabeled=None), "critic")
    assert model.shown["critic"].x_unlabeled is batch.x


def test_without_methods_and_augmentation_nothing_is_added(model: Any, batch: Batch) -> None:
    state = torch.get_rng_state()
    assert Regularized(model)(batch, "critic").total == 3
    assert model.shown["critic"] is batch and not model.passes
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("methods", "passes"),
    [
        # One without a graph for the label, one with for the strong copies.
        (["fixmatch"], [False, True]),
        (["fixmatch", "iic", "entropy", "information"], [True, True]),
        (["entropy"], [True]),
        (["pi_model", "temporal_ensembling", "entropy"], [True, True]),
        (["mixup"], [False, True]),
        (["mixup", "fixmatch"], [False, True, True]),
        # The teacher's pass is its own model's.
        (["mean_teacher"], [True]),
        # The target, the direction, the perturbed inputs.
        (["vat"], [False, True, True]),
    ],
)
def test_no_pass_is_made_twice(
    regularized: Make, model: Any, batch: Batch, methods: list[str], passes: list[bool]
) -> None:
    objective = regularized(dict.fromkeys(methods, 1.0))
    objective(batch, "critic")
    model.passes.clear()
    objective(batch, "critic").total.backward()
    assert sorted(model.passes) == sorted(passes)


def test_views_work_on_network_inputs(make_model: Make, make_views: Make) -> None:
    for shape in ((1, 8, 8), (6,)):
        model = make_model("softmax", shape)
        views: Views = make_views(model, "none")
        torch.testing.assert_close(views.inputs, model.standardize(views.batch.x))
        torch.testing.assert_close(views.weak_logits, model.logits(views.batch.x))
        torch.testing.assert_close(views.targets.sum(1), torch.ones(24))
        assert not views.targets.requires_grad


def test_a_gradient_reaches_the_model_only_through_what_asks_for_it(
    regularized: Make, model: Any, batch: Batch
) -> None:
    views = Views(model, batch, ImageAugmentation(), weak_gradient=False)
    assert not views.weak_logits.requires_grad and views.strong_logits.requires_grad


def test_methods_see_whole_what_the_losses_see_with_holes(
    model: Any, batch: Batch, make_task: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    entropy = method_class("entropy")(make_task(model))
    forward = entropy.forward
    monkeypatch.setattr(entropy, "forward", lambda v: (seen.append(v.inputs), forward(v))[1])
    Regularized(model, {"entropy": Weighted(1.0, entropy)}, hide=0.9)(batch, "critic")
    assert model.shown["critic"].x.isnan().any() and model.shown["critic"].x_unlabeled.isnan().any()
    torch.testing.assert_close(seen[0], model.standardize(batch.main))


def test_copies_and_predictions_are_not_rounded_in_mixed_precision(
    make_model: Make, make_batch: Make
) -> None:
    """An affine map of half precision puts pixels somewhere else."""
    model = make_model("semisup-cnn", (1, 28, 28))
    views = Views(model, make_batch(model), ImageAugmentation(**dict.fromkeys(STRENGTHS, 0.0)))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(views.strong, views.inputs, atol=1e-5, rtol=0)
        assert views.strong_logits.dtype == views.weak_logits.dtype == torch.float32

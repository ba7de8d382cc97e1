"""The implicit hybrid on SVHN with 1000 labels as its authors ran it.

    dhm train --recipe svhn-1000-original

The settings are those of the script published with Kuleshov & Ermon, UAI 2017: 100 labels of each
class, batches of 100, Adam with 3e-4 and beta 1 of 0.5, flat and then linear decay over the last
third of 900 epochs, feature matching, the Pi model with a weight that rises to 100 over 30 epochs,
an average of the weights. What is ours: the Pi model's two inputs are shifted (the script's were
identical), and 1000 validation examples come off the training images. The published figure is the
paper's; we have not run this.
"""

from dhm.recipes.recipe import Recipe

SVHN_1000_ORIGINAL = Recipe(
    name="svhn-1000-original",
    about="the implicit hybrid on SVHN with 1000 labels, the authors' network and settings",
    options={
        "dataset": "svhn",
        "n_labeled": 1000,
        "val_size": 1000,
        "model": "semisup-ali",
        "network": "paper",
        "sup_weight": 1.0,
        "unsup_weight": 1.0,
        "generator_loss": "feature-matching",
        "n_latent": 100,
        "pi_model": 100.0,
        "augment": "image",
        "rampup": 30,
        "epochs": 900,
        "n_batch": 100,
        "n_lbl_batch": 100,
        "lr": 3e-4,
        "b1": 0.5,
        "schedule": "linear",
        "rampdown": 300,
        "clip_norm": 0.0,
        "clip_value": 0.0,
        "ema": 0.9999,
    },
    # 2.7 s a step, on an H100 0.031 s (benchmarks/results/implicit_step.json), without the Pi
    # model's passes; 723 of these an epoch.
    time="over 20 days, by the time of a step; meant for a GPU: on an H100 over 5 hours",
    expected="test error about 4 %",
    source="Kuleshov & Ermon, Deep hybrid models, UAI 2017",
)

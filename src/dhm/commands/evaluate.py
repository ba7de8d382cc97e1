"""`dhm evaluate`."""

import argparse

from dhm.commands.common import add_data_dir, add_device, add_run, check_units, print_summary


def add_options(command: argparse.ArgumentParser) -> None:
    add_run(command)
    command.add_argument(
        "--dataset", metavar="DATA", help="another data set, of the same shape and classes"
    )
    add_data_dir(command)
    command.add_argument(
        "--n_eval_samples",
        metavar="N",
        type=int,
        help="importance samples for log p(x) [as the run]",
    )
    add_device(command)
    command.add_argument("--json", metavar="FILE", help="write the figures to a JSON file too")


def run(options: argparse.Namespace) -> None:
    """Print the figures of a trained model on validation and test data."""
    from dhm.training.reevaluate import evaluate_run

    check_units(options.run_folder)
    summary = evaluate_run(
        options.run_folder,
        options.dataset,
        options.data_dir,
        options.n_eval_samples,
        device=options.device,
    )
    print_summary(summary)
    if options.json:
        import json

        from dhm.training.run_folder import write_text

        write_text(options.json, json.dumps(summary, indent=2) + "\n")

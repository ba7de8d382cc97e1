"""`dhm recipes`."""

import argparse


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", nargs="?", help="show this one whole")


def run(options: argparse.Namespace) -> None:
    """List the recipes, or show one with all of its options."""
    from dhm.recipes import RECIPES, load

    if options.name is None:
        for name in RECIPES:
            recipe = load(name)
            print(f"{name}\n    {recipe.about}")
            print(f"    time on 2 cores: {recipe.time or 'not measured yet'}")
            print(f"    expected: {recipe.expectation}")
        return
    recipe = load(options.name)
    print(f"{recipe.name}: {recipe.about}\n")
    print(f"time on 2 cores  {recipe.time or 'not measured yet'}")
    print(f"expected         {recipe.expectation}")
    print(f"run it           dhm train --recipe {recipe.name}\n\nThe same without the recipe:\n")
    print(recipe.command.replace(" --", " \\\n    --"))

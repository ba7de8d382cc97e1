"""Learning curves: which columns of the metrics share a panel, and how a panel is drawn."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dhm.errors import DataError
from dhm.evaluation._rows import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NOT_DRAWN = {"epoch", "step", "seconds", "examples_per_second"}
_SPLITS = {"train": "training", "val": "validation", "test": "test"}
_COLORS = {"training": "tab:blue", "validation": "tab:orange", "test": "tab:green"}
# The classifier's term of the loss is the same quantity as the log loss of validation.
_SAME_AS = {"nll_y": "nll"}
_FIRST = ("loss", "error", "nll", "bound")
_LAST = ("lr",)
_TITLES = {"nll": "nll (nats)", "lr": "learning rate", "ece": "calibration error"}
_FRACTIONS = {"error", "ece"}


def curves_figure(metrics: Sequence[Mapping[str, float | None]], title: str) -> "Figure":
    """A panel per quantity; see `pictures.learning_curves`.

    Raises:
        DataError: there is no row, or nothing in them to draw.

    Example:
        >>> figure = curves_figure([{"epoch": 1, "train_loss": 2.0, "lr": 0.1}], "")
        >>> [axes.get_title(loc="left") for axes in figure.axes if axes.has_data()]
        ['loss', 'learning rate']
    """
    from matplotlib.figure import Figure

    panels = _panels(metrics)
    if not panels:
        raise DataError(f"found no measure to draw in {len(metrics)} rows of metrics")
    axis, at = _horizontal(metrics)
    columns = min(len(panels), 4 if len(panels) > 9 else 3)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4 * columns, 2.7 * rows + 0.4), dpi=110, layout="constrained")
    if title:
        figure.suptitle(shorten(title, 40 * columns), fontsize=12)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (quantity, lines) in zip(grid, panels.items(), strict=False):
        _draw_panel(axes, quantity, lines, at)
        axes.set_xlabel(axis, fontsize=8)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return figure


def _horizontal(metrics: Sequence[Mapping[str, float | None]]) -> tuple[str, list[float]]:
    """What the rows are plotted against, which is not always 1, 2, 3: a run may be resumed."""
    for name in ("epoch", "step"):
        values = [value for row in metrics if (value := row.get(name)) is not None]
        if len(values) == len(metrics):
            return name, values
    return "row", [float(i) for i in range(len(metrics))]


def _panels(
    metrics: Sequence[Mapping[str, float | None]],
) -> dict[str, dict[str, list[float | None]]]:
    """Quantity -> name of line -> values by row, in the order in which they are drawn."""
    columns = dict.fromkeys(name for row in metrics for name in row)
    found: dict[str, dict[str, list[float | None]]] = {}
    for column in columns:
        values = [row.get(column) for row in metrics]
        if column in _NOT_DRAWN or all(value is None for value in values):
            continue
        split, _, quantity = column.partition("_")
        if split not in _SPLITS or not quantity:
            found.setdefault(column, {})[""] = values
            continue
        alias = _SAME_AS.get(quantity, quantity)
        if f"{split}_{alias}" not in columns:
            quantity = alias
        found.setdefault(quantity, {})[_SPLITS[split]] = values
    middle = [name for name in found if name not in _FIRST + _LAST]
    return {name: found[name] for name in (*_FIRST, *middle, *_LAST) if name in found}


def _draw_panel(
    axes: "Axes", quantity: str, lines: Mapping[str, list[float | None]], at: list[float]
) -> None:
    """One quantity: its lines, a legend if they have names, a note of values not finite."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    not_finite, highest = 0, -math.inf
    for name, values in lines.items():
        points = [(a, value) for a, value in zip(at, values, strict=True) if value is not None]
        x, y = np.array(points, dtype=np.float64).T
        finite = np.isfinite(y)
        not_finite += int((~finite).sum())
        highest = max(highest, y.max(initial=-math.inf, where=finite))
        axes.plot(
            x,
            np.where(finite, y, np.nan),
            color=_COLORS.get(name, "0.3"),
            label=name or None,
            linewidth=1.5,
            # A line needs two points; the marker shows an epoch that stands alone.
            marker="o" if len(x) <= 30 or not_finite else None,
            markersize=3,
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    # The same range in every panel, whatever was measured when.
    margin = 0.03 * (max(at) - min(at)) or 1.0
    axes.set_xlim(min(at) - margin, max(at) + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    if highest == -math.inf:
        axes.set_yticks([])
    elif quantity in _FRACTIONS:
        axes.set_ylim(0, 1.08 * highest or 0.01)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    else:
        axes.ticklabel_format(axis="y", scilimits=(-3, 5))
        axes.yaxis.get_offset_text().set_fontsize(8)
    if any(lines):
        axes.legend(fontsize=8, frameon=False)
    # Above the panel, where no line can cross the note.
    title = _TITLES.get(quantity, quantity)
    axes.set_title(shorten(title, 28 if not_finite else 40), fontsize=10, loc="left")
    if not_finite:
        axes.set_title(f"{not_finite} not finite", fontsize=8, loc="right", color="tab:red")

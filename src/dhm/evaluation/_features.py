"""A data set of vectors at a glance: how each feature spreads, and how the classes differ in it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dhm.evaluation._rows import class_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More columns than this cannot be told apart, more numbers than that take seconds to draw.
_MAX_FEATURES = 64
_MAX_NUMBERS = 10_000_000
_MAX_EXAMPLES = 10_000
_LIMIT = 3.0  # standard deviations either side


def feature_figure(x: Any, y: NDArray[np.integer[Any]], classes: Sequence[str]) -> "Figure":
    """Histograms of the standardised features above, their means in each class below.

    Arguments:
        x: (N, D) dense, with NaN for what is missing, or a scipy CSR matrix.
        y: (N,) class indices, -1 for unlabelled.
        classes: the names of the classes, by index.

    Example:
        >>> figure = feature_figure(np.eye(4), np.array([0, 0, 1, 1]), ["cat", "dog"])
        >>> [axes.get_title() for axes in figure.axes if axes.get_title()]
        ['examples (4)', 'mean of each class']
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    n, d = x.shape
    rows, left_out = class_rows(y, classes)
    z, columns, used = _standardised(x, y)
    edges = np.linspace(-_LIMIT, _LIMIT, 25)
    counts = np.stack([np.histogram(column, edges)[0] for column in z.clip(-_LIMIT, _LIMIT).T])

    by_class = len(rows) > 1
    figure = Figure(
        figsize=(8, 3.1 + (0.6 + 0.25 * len(rows)) * by_class), dpi=110, layout="constrained"
    )
    ratios = [2.2, 0.4 + 0.25 * len(rows)] if by_class else [1.0]
    panels = figure.subplots(len(ratios), 1, height_ratios=ratios, squeeze=False).ravel()

    spread = panels[0].imshow(
        counts.T / max(len(z), 1),
        cmap="Blues",
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, len(columns) - 0.5, -_LIMIT, _LIMIT),
        norm=PowerNorm(0.5, vmin=0),  # or the zeros of sparse features outshine all else
    )
    sampled = f", {len(used)} of them drawn" if len(used) < n else ""
    panels[0].set_title(f"examples ({n}{sampled})", fontsize=10)
    panels[0].set_ylabel("standard deviations\nfrom the mean", fontsize=8)
    bars = [(figure.colorbar(spread, ax=panels[0]), "fraction")]

    if by_class:
        drawn = y[used]
        # A class none of whose examples were drawn stays white rather than look average.
        means = np.full((len(rows), len(columns)), np.nan)
        for row, (_, members) in zip(means, rows, strict=True):
            inside = drawn == y[members[0]]
            if inside.any():
                row[:] = _mean(z[inside])
        reach = float(np.clip(np.nanmax(np.abs(means)), 0.1, _LIMIT))
        heat = panels[1].imshow(
            means,
            cmap="RdBu_r",
            vmin=-reach,
            vmax=reach,
            aspect="auto",
            interpolation="nearest",
        )
        more = f" ({left_out} more left out)" if left_out else ""
        panels[1].set_title(f"mean of each class{more}", fontsize=10)
        panels[1].set_yticks(range(len(rows)), [title for title, _ in rows])
        bars.append((figure.colorbar(heat, ax=panels[1]), "std. deviations"))
    for bar, label in bars:
        bar.ax.tick_params(labelsize=8)
        bar.set_label(label, fontsize=8)

    which = "feature"
    if len(columns) < d:
        are_first = columns[-1] == len(columns) - 1
        how = "the first ones" if are_first else "those in which the classes differ most"
        which = f"feature ({len(columns)} of {d}, {how})"
    ticks = np.unique(np.linspace(0, len(columns) - 1, min(len(columns), 16)).astype(int))
    for axes in panels:
        axes.set_xticks(ticks, [str(columns[tick]) for tick in ticks])
        axes.tick_params(labelsize=8)
    panels[-1].set_xlabel(which, fontsize=8)
    return figure


def _standardised(
    x: Any, y: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Features to draw, at mean 0 and deviation 1, their positions, and those of the examples."""
    n, d = x.shape
    used = np.arange(n)
    limit = max(1, min(_MAX_EXAMPLES, _MAX_NUMBERS // max(d, 1)))
    if n > limit:
        used = np.unique(np.linspace(0, n - 1, limit).astype(np.intp))
    part = x[used]
    z = np.array(part.toarray() if hasattr(part, "toarray") else part, dtype=np.float64)
    z[~np.isfinite(z)] = np.nan
    z -= _mean(z)
    deviation = np.sqrt(_mean(z**2))
    z /= np.where(deviation > 0, deviation, 1)  # a constant feature becomes all zeros
    columns = np.arange(d)
    if d > _MAX_FEATURES:
        labels = [label for label in np.unique(y[used]) if label >= 0]
        means = np.stack([_mean(z[y[used] == label]) for label in labels or [-1]])
        # The most telling: those in which the classes differ most, or the first if none do.
        order = np.argsort(-means.var(axis=0), kind="stable")
        columns = np.sort(order[:_MAX_FEATURES])
    return z[:, columns], columns, used


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each column over what is not NaN; 0 where all is."""
    present = ~np.isnan(values)
    return np.where(present, values, 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)

"""Pictures a person looks at: grids of images, learning curves, a data set at a glance.

matplotlib and pillow are imported in the functions that need them, because they are slow to import
and most commands draw nothing. Figures are drawn through matplotlib's objects, without pyplot, so
that a caller's own figures and settings are left alone.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dhm.errors import DataError
from dhm.evaluation._curves import curves_figure
from dhm.evaluation._features import feature_figure
from dhm.evaluation._rows import class_rows
from dhm.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Neither black nor white, so that the edges of both kinds of image show.
_BACKGROUND = 128
_MIN_WIDTH = 400
# A long, narrow picture is not magnified to a file that viewers refuse.
_MAX_SIDE = 4000


def image_grid(images: ArrayLike, columns: int | None = None, pad: int = 2) -> NDArray[np.uint8]:
    """One picture with the images side by side on grey, row after row.

    Arguments:
        images: (N, C, H, W), uint8, or floats in [0, 1]: others are clipped, NaN becomes grey.
        columns: images in a row; if None, so many that the picture is about square.
        pad: grey pixels around each image.

    Returns:
        uint8 (H', W') for one channel, (H', W', 3) for three.

    Raises:
        DataError: there is no image, or the shape or type is wrong.

    Example:
        >>> image_grid(np.ones((2, 1, 2, 2)), pad=1)
        array([[128, 128, 128, 128, 128, 128, 128],
               [128, 255, 255, 128, 255, 255, 128],
               [128, 255, 255, 128, 255, 255, 128],
               [128, 128, 128, 128, 128, 128, 128]], dtype=uint8)
    """
    cells = _as_uint8(images)
    n, channels, height, width = cells.shape
    columns = min(n, _square(n) if columns is None else columns)
    if columns < 1 or pad < 0:
        raise DataError(f"expected columns >= 1 and pad >= 0, found {columns} and {pad}")
    rows = math.ceil(n / columns)
    # Each image with the grey above and to the left of it is a tile; the rest closes the frame.
    tiles = np.full(
        (rows * columns, channels, pad + height, pad + width), _BACKGROUND, dtype=np.uint8
    )
    tiles[:n, :, pad:, pad:] = cells
    tiles = tiles.reshape(rows, columns, *tiles.shape[1:]).transpose(0, 3, 1, 4, 2)
    grid = tiles.reshape(rows * (pad + height), columns * (pad + width), channels)
    grid = np.pad(grid, ((0, pad), (0, pad), (0, 0)), constant_values=_BACKGROUND)
    return grid[:, :, 0] if channels == 1 else grid


def reconstruction_grid(
    x: ArrayLike, reconstruction: ArrayLike, columns: int | None = None
) -> NDArray[np.uint8]:
    """One picture of pairs, each original directly above its reconstruction.

    Arguments:
        x: (N, C, H, W), as in `image_grid`.
        reconstruction: the same shape.
        columns: pairs in a row; if None, so many that the picture is about square.

    Returns:
        uint8 (H', W') or (H', W', 3).

    Raises:
        DataError: there is no image, the shapes differ, or a shape or type is wrong.

    Example:
        >>> reconstruction_grid(np.zeros((6, 1, 8, 8)), np.ones((6, 1, 8, 8)), columns=3).shape
        (46, 40)
    """
    above, below = _as_uint8(x), _as_uint8(reconstruction)
    if above.shape != below.shape:
        raise DataError(
            f"expected a reconstruction of shape {above.shape}, as the originals, "
            f"found {below.shape}"
        )
    n, channels, _, width = above.shape
    # One grey line within a pair and four between pairs: the eye groups them without a legend.
    line = np.full((n, channels, 1, width), _BACKGROUND, dtype=np.uint8)
    pairs = np.concatenate([above, line, below], axis=2)
    return image_grid(pairs, _square(n, height=2) if columns is None else columns, pad=4)


def save_image(array: NDArray[np.uint8], path: str | Path, min_width: int = _MIN_WIDTH) -> None:
    """Write a picture as PNG, each pixel magnified to a square so that small ones can be seen.

    Arguments:
        array: uint8 (H, W) or (H, W, 3).
        path: the file, whatever its suffix; its folder is made if absent.
        min_width: the whole factor of magnification is the smallest that makes the file this many
            pixels wide, or less if it would become taller than 4000.

    Raises:
        DataError: the array is not a picture.
        RunError: the file cannot be written.

    Example:
        >>> from PIL import Image
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     save_image(np.zeros((30, 30), np.uint8), Path(folder) / "grey.png")
        ...     with Image.open(Path(folder) / "grey.png") as image:
        ...         print(image.size)
        (420, 420)
    """
    from PIL import Image

    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not is_picture or array.size == 0:
        raise DataError(
            f"expected a uint8 picture of shape (H, W) or (H, W, 3), found {array.dtype} of shape "
            f"{array.shape}: image_grid makes one"
        )
    height, width = array.shape[:2]
    factor = max(1, min(math.ceil(min_width / width), _MAX_SIDE // height))
    large = array.repeat(factor, axis=0).repeat(factor, axis=1)
    with replacing(path) as temporary:
        Image.fromarray(large).save(temporary, format="PNG")


def dataset_picture(
    x: Any,
    y: NDArray[np.integer[Any]],
    classes: Sequence[str],
    path: str | Path,
    per_class: int = 10,
) -> None:
    """Write a PNG of a data set: for images a row of examples per class, else how features spread.

    Each row is titled with the class and how many examples it has; unlabelled examples have a row
    of their own. At most 20 rows are drawn.

    Arguments:
        x: (N, C, H, W) images as in `image_grid`, or (N, D) vectors, dense or a scipy CSR matrix;
            NaN marks what is missing.
        y: (N,) class indices, -1 for unlabelled.
        classes: the names of the classes, by index.
        path: the file; its folder is made if absent.
        per_class: images in a row, the first of each class.

    Raises:
        DataError: there is no example, or a shape, type or label is wrong.
        RunError: the file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> x, y = np.zeros((4, 1, 8, 8)), np.array([0, 0, 1, -1])
        >>> with TemporaryDirectory() as folder:
        ...     dataset_picture(x, y, ["cat", "dog"], Path(folder) / "data.png")
    """
    y = np.asarray(y)
    if x.ndim not in (2, 4) or len(y) == 0 or x.shape[0] != len(y):
        raise DataError(
            "expected at least one example, as (N, C, H, W) or (N, D), and N labels; found shape "
            f"{x.shape} and {len(y)} labels"
        )
    if y.min() < -1 or y.max() >= len(classes):
        raise DataError(
            f"expected labels in [0, {len(classes)}), or -1 for none, found {y.min()} to {y.max()}"
        )
    figure = (
        _example_figure(x, y, classes, per_class) if x.ndim == 4 else feature_figure(x, y, classes)
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def learning_curves(
    metrics: Sequence[Mapping[str, float | None]], path: str | Path, title: str = ""
) -> None:
    """Write a PNG with one panel per measured quantity, training and validation in the same panel.

    A column named train_<quantity>, val_<quantity> or test_<quantity> is a line in the panel of its
    quantity, any other but counters and timings has a panel of its own; columns without a value
    are left out. Lines run over what was not measured (None) and break at NaN and infinities,
    which a note in the panel counts.

    Arguments:
        metrics: a row per epoch, with the columns of a run's metrics.csv.
        path: the file; its folder is made if absent.
        title: written above the panels.

    Raises:
        DataError: there is no row, or nothing in them to draw.
        RunError: the file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> rows = [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.0}]
        >>> with TemporaryDirectory() as folder:
        ...     learning_curves(rows, Path(folder) / "curves.png")
    """
    figure = curves_figure(metrics, title)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _example_figure(
    x: NDArray[Any], y: NDArray[np.integer[Any]], classes: Sequence[str], per_class: int
) -> "Figure":
    """A row of images per class, each pixel a square of whole screen pixels."""
    from matplotlib.figure import Figure

    rows, left_out = class_rows(y, classes)
    most = max(len(members) for _, members in rows)
    per_class = max(1, min(per_class, most, _MAX_SIDE // x.shape[3]))
    # Classes with fewer examples end in grey cells.
    shape = (len(rows) * per_class, *x.shape[1:])
    cells = np.full(shape, _BACKGROUND, dtype=np.uint8)
    for i, (_, members) in enumerate(rows):
        chosen = members[:per_class]
        cells[i * per_class : i * per_class + len(chosen)] = _as_uint8(x[chosen])
    pad = 2
    grid = image_grid(cells, per_class, pad)

    # The axes are placed in pixels, or 8x8 digits would be magnified unevenly.
    # 16 pixels are the height of a title.
    wanted = max(math.ceil(_MIN_WIDTH / grid.shape[1]), math.ceil(16 / x.shape[2]))
    factor = max(1, min(wanted, _MAX_SIDE // max(grid.shape)))
    height, width = (factor * n for n in grid.shape[:2])
    left = 16 + 7 * max(len(title) for title, _ in rows)
    bottom = 30 if left_out else 10
    size = (left + width + 10, bottom + height + 10)
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100)
    axes = figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]))
    axes.imshow(grid, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    step = x.shape[2] + pad
    axes.set_yticks(
        [pad + i * step + x.shape[2] / 2 - 0.5 for i in range(len(rows))],
        [title for title, _ in rows],
        fontsize=9,
    )
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if left_out:
        axes.set_xlabel(f"and {left_out} more classes", fontsize=9)
    return figure


def _as_uint8(images: ArrayLike) -> NDArray[np.uint8]:
    """(N, C, H, W) of either type as uint8, with NaN in the background's grey."""
    array = np.asarray(images)
    if array.ndim != 4 or array.size == 0 or array.shape[1] not in (1, 3):
        raise DataError(
            "expected at least one image, as (N, 1, H, W) or (N, 3, H, W), found shape "
            f"{array.shape}"
        )
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"expected uint8, or floats in [0, 1], found {array.dtype}")
    scaled = np.rint(np.clip(array, 0, 1) * 255)
    return np.nan_to_num(scaled, nan=_BACKGROUND).astype(np.uint8)


def _square(n: int, height: int = 1) -> int:
    """Columns that make n cells, each `height` times as tall as wide, a full and squarish grid."""
    ideal = math.ceil(math.sqrt(height * n))
    return next((c for c in range(ideal, 2 * ideal) if n % c == 0), ideal)

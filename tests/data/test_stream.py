"""Files a block at a time: every format gives the same rows, and a bad one names itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import sparse

from dhm.data.stream import Form, check_not_read, stream
from dhm.data.stream import form as form_module
from dhm.errors import ConfigError, DataError, DataNotFoundError

VECTORS = Form((4,), "float32")
IMAGES = Form((1, 5, 3), "uint8")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rows at a time, so that a few examples make several blocks."""
    monkeypatch.setattr(form_module, "MAX_ROWS", 7)


@pytest.fixture
def x() -> Any:
    return np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


@pytest.fixture
def pixels() -> Any:
    return np.random.default_rng(0).integers(0, 256, (20, 1, 5, 3)).astype(np.uint8)


def whole(sources: Any, form: Form) -> tuple[list[str], Any, Any]:
    """All rows of `stream`, which come in blocks of at most seven."""
    blocks = list(stream(sources if isinstance(sources, list) else [sources], form))
    assert all(len(b.row) == b.x.shape[0] == len(b.file) <= 7 for b in blocks)
    xs = [b.x.toarray() if hasattr(b.x, "toarray") else b.x for b in blocks]
    files = [name for b in blocks for name in b.file]
    return files, np.concatenate([b.row for b in blocks]), np.concatenate(xs)


def message(sources: Any, form: Form, error: type[Exception] = DataError) -> str:
    with pytest.raises(error) as caught:
        whole(sources, form)
    return str(caught.value)


def write_frame(path: Path, x: Any, **more: Any) -> None:
    frame = pd.DataFrame(x, columns=list("abcd")).assign(**more)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)


WRITERS: dict[str, Callable[[Path, Any], Any]] = {
    "x.npy": np.save,
    "columns.npy": lambda path, x: np.save(path, np.asfortranarray(x)),
    "x.npz": lambda path, x: np.savez_compressed(path, x=x, y=np.zeros(3)),
    "other.npz": lambda path, x: np.savez(path, inputs=x),
    "sparse.npz": lambda path, x: sparse.save_npz(path, sparse.csr_matrix(x)),
    "x.csv": write_frame,
    "x.parquet": write_frame,
    "labelled.csv": lambda path, x: write_frame(path, x, label="cat"),
    "labelled.parquet": lambda path, x: write_frame(path, x, y=1),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows(name: str, x: Any, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name, x)
    files, row, found = whole(tmp_path / name, VECTORS)
    assert files == [str(tmp_path / name)] * 20 and row.tolist() == list(range(20))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, x, rtol=1e-6)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_columns_by_name(name: str, x: Any, tmp_path: Path) -> None:
    path = tmp_path / name
    write_frame(path, x, label="cat")
    found = whole(path, Form((3,), "float32", features=("d", "a", "b")))[2]
    np.testing.assert_allclose(found, x[:, [3, 0, 1]], rtol=1e-6)
    lacking = Form((3,), "float32", features=("a", "e", "f"))
    assert "found none called 'e', 'f'; name the columns" in message(path, lacking)


def test_hdf5_is_read_by_rows(pixels: Any, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"], file["label"] = pixels, np.zeros(20)
    assert (whole(tmp_path / "x.h5", IMAGES)[2] == pixels).all()


@pytest.mark.parametrize(
    "stored",
    [
        lambda p: p,
        lambda p: p[:, 0],
        lambda p: p.transpose(0, 2, 3, 1),
        lambda p: p.astype(np.int64),
        lambda p: p / 255,
        lambda p: (p / 255).astype(np.float32),
    ],
)
def test_layouts_and_types_of_images(
    stored: Callable[[Any], Any], pixels: Any, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", stored(pixels))
    assert (whole(tmp_path / "x.npy", IMAGES)[2] == pixels).all()
    floats = whole(tmp_path / "x.npy", Form(IMAGES.shape, "float32"))[2]
    np.testing.assert_allclose(floats, np.float32(pixels / 255), rtol=1e-6)


def test_image_files_and_folders_make_full_blocks(pixels: Any, tmp_path: Path) -> None:
    for i, image in enumerate(pixels):
        folder = tmp_path / ("b" if i % 2 else "a/deep")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(folder / f"{i:02d}.png")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_text("no image")
    sources = [tmp_path / "b" / "01.png", tmp_path]
    sizes = [len(block.row) for block in stream(sources, IMAGES)]
    assert sizes == [7, 7, 7]
    files, row, found = whole(sources, IMAGES)
    order = [1, *range(0, 20, 2), *range(1, 20, 2)]
    assert (found == pixels[order]).all() and not row.any()
    assert [int(Path(name).stem) for name in files] == order


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_other_modes_of_images_are_converted(mode: str, tmp_path: Path) -> None:
    black_and_white = np.array([[0, 255, 0], [255, 0, 255]], np.uint8)
    image = Image.fromarray(black_and_white).convert(mode)
    image.save(tmp_path / ("x.tif" if mode == "CMYK" else "x.png"))
    path = next(tmp_path.iterdir())
    assert (whole(path, Form((1, 2, 3), "uint8"))[2] == black_and_white).all()
    colour = whole(path, Form((3, 2, 3), "uint8"))[2]
    assert (colour == black_and_white).all() and colour.shape == (1, 3, 2, 3)


def test_images_that_do_not_fit(tmp_path: Path, pixels: Any) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(pixels[0, 0]).save(path)
    larger = message(path, Form((1, 6, 6), "uint8"))
    assert f"{path}: the model takes images of 6 x 6 pixels, found 3 x 5" in larger
    assert "found an image" in message(path, VECTORS)
    Image.fromarray(pixels[0, 0].astype(np.uint16) * 256).save(path)
    assert "8 bits a channel, found mode I;16" in message(path, IMAGES)
    Image.fromarray(pixels[0, 0]).save(path)
    path.write_bytes(path.read_bytes()[:60])
    assert "damaged" in message(path, IMAGES) and str(path) in message(path, IMAGES)
    path.unlink()
    assert "found none" in message(tmp_path, IMAGES)


def test_the_test_part_of_a_data_set() -> None:
    files, row, found = whole("digits", Form((1, 8, 8), "uint8"))
    assert set(files) == {"digits"} and len(row) == 449 and found.dtype == np.uint8
    assert "found (1, 8, 8)" in message("digits", VECTORS)


def test_names_that_cannot_be_read(tmp_path: Path) -> None:
    assert "did you mean 'digits'?" in message("digist", IMAGES, DataNotFoundError)
    (tmp_path / "x.xls").write_text("")
    assert "found .xls" in message(tmp_path / "x.xls", IMAGES)
    (tmp_path / "x").write_text("")
    assert "found no extension" in message(tmp_path / "x", IMAGES)
    # Before the first file is read, the last has been looked for.
    with pytest.raises(DataNotFoundError):
        stream(["digits", "absent.npy"], IMAGES)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.csv", "x.parquet"])
def test_a_bad_row_names_itself(name: str, x: Any, tmp_path: Path) -> None:
    path = tmp_path / name
    for value in (np.nan, np.inf):
        x[13, 2] = value
        WRITERS[name](path, x)
        assert f"{path}, row 13: " in message(path, VECTORS), value


@pytest.mark.parametrize("name", ["x.npy", "x.csv", "x.parquet"])
def test_gaps_are_kept_where_they_are_allowed(name: str, x: Any, tmp_path: Path) -> None:
    x[13, 2], x[4] = np.nan, np.nan
    WRITERS[name](tmp_path / name, x)
    found = whole(tmp_path / name, Form((4,), "float32", missing=True))[2]
    np.testing.assert_allclose(found, x, rtol=1e-6)


def test_gaps_of_bytes_are_floats_of_their_range(pixels: Any, tmp_path: Path) -> None:
    stored = pixels / 255
    stored[3, 0, 2, 1] = np.nan
    np.save(tmp_path / "x.npy", stored[:, 0])
    blocks = [b.x for b in stream([tmp_path / "x.npy"], Form((1, 5, 3), "uint8", missing=True))]
    assert [b.dtype for b in blocks] == [np.float32, np.uint8, np.uint8]
    expected = np.where(np.isnan(stored), np.nan, pixels)[:7].astype(np.float32)
    np.testing.assert_array_equal(blocks[0], expected)


@pytest.mark.parametrize("gap", [True, False])
@pytest.mark.parametrize("layout", [lambda p: p, lambda p: p.transpose(0, 2, 3, 1)])
def test_floats_of_bytes_stay_as_they_are(
    gap: bool, layout: Callable[[Any], Any], pixels: Any, tmp_path: Path
) -> None:
    stored = pixels + 0.0
    stored[:7], stored[7, 0, 0, 0] = 0, 254.25
    stored[7:] = np.maximum(stored[7:], 0)
    stored[14:] = stored[14:] > 99  # zeros and ones: what the rest says they are
    if gap:
        stored[3, 0, 2, 1] = stored[8, 0, 1, 1] = np.nan
    np.save(tmp_path / "x.npy", layout(stored))
    form = Form((1, 5, 3), "uint8", missing=True)
    found = whole(tmp_path / "x.npy", form)[2]
    np.testing.assert_array_equal(found, stored)
    # Zeros and ones alone are black and white, as without gaps.
    np.save(tmp_path / "x.npy", stored[14:])
    assert (whole(tmp_path / "x.npy", form)[2] == 255 * stored[14:]).all()
    assert "they look like 0..255" in message(
        [tmp_path / "x.npy", save(tmp_path, np.nan_to_num(stored))], IMAGES
    )


def save(folder: Path, x: Any) -> Path:
    np.save(folder / "saved.npy", x)
    return folder / "saved.npy"


@pytest.mark.parametrize(
    ("first", "later", "expected"),
    [
        (0.5, 200.0, "row 9: float images must lie in [0, 1], found"),
        (200.0, 256.0, "row 9: float images must lie in [0, 1] or in 0..255, found"),
        (200.0, -1.0, "row 9: float images must lie in [0, 1] or in 0..255, found -1 to"),
        (200.0, np.inf, "row 9: expected finite values"),
        (0.5, np.inf, "row 9: expected finite values"),
    ],
)
def test_a_files_floats_are_of_one_range(
    first: float, later: float, expected: str, tmp_path: Path
) -> None:
    stored = np.full((20, 1, 5, 3), first)
    stored[9, 0, 1, 1] = later
    found = message(save(tmp_path, stored), Form((1, 5, 3), "uint8", missing=True))
    assert expected in found


def test_what_is_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "link.csv").symlink_to(folder / "x.csv")
    for name in ("x.csv", "images/a.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")
    for output, source in {
        "data/../data/x.csv": "x.csv",
        "data/x.csv": "data/x.csv",
        "link.csv": "x.csv",
        "new.csv": "new.csv",
        "data/images/a.png": "images",
    }.items():
        with pytest.raises(ConfigError, match="is one of the inputs: the output needs another"):
            check_not_read(output, ["digits", source], folder)
    check_not_read("x.csv", ["x.csv"], folder)  # that in the data folder is read
    check_not_read("data/images/t.csv", ["images", "digits"], folder)
    check_not_read("data/images/b.png", ["images"], folder)


def test_images_out_of_range_name_their_row(pixels: Any, tmp_path: Path) -> None:
    stored = pixels.astype(np.int64)
    stored[9, 0, 0, 0] = 300
    np.save(tmp_path / "x.npy", stored)
    assert "row 9: integer images must lie in 0..255" in message(tmp_path / "x.npy", IMAGES)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_tables_that_do_not_fit(name: str, x: Any, tmp_path: Path) -> None:
    path = tmp_path / name
    write_frame(path, x)
    found = message(path, Form((5,), "float32"))
    assert "the model takes 5 columns, found 4 columns beside any labels" in found
    assert "shape (1, 2, 2), found 4 columns" in message(path, Form((1, 2, 2), "uint8"))
    write_frame(path, x, b=["1"] * 15 + ["many"] + ["1"] * 4)
    assert f"{path}, row 15: expected a number in column 'b', found 'many'" in message(
        path, VECTORS
    )
    write_frame(path, x[:0])
    assert "it is empty" in message(path, VECTORS)
    path.write_bytes(b"")
    assert str(path) in message(path, VECTORS)


def test_dates_are_no_numbers(x: Any, tmp_path: Path) -> None:
    write_frame(tmp_path / "x.parquet", x, b=pd.date_range("2020-01-01", periods=20))
    assert "row 0: expected a number in column 'b'" in message(tmp_path / "x.parquet", VECTORS)


def test_lines_of_other_lengths(x: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    lines = ["a,b,c,d", *["1,2,3,4"] * 20]
    path.write_text("\n".join([*lines[:16], "1,2,3,4,5", *lines[16:]]))
    assert "line 17" in message(path, VECTORS)
    path.write_text("\n".join([*lines[:16], "1,2", *lines[16:]]))
    assert "row 15" in message(path, VECTORS)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "sparse.npz", "x.parquet"])
def test_damaged_files(name: str, x: Any, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path, x)
    content = path.read_bytes()
    for size in (0, 40, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:size])
        assert "damaged, cut short or of another format" in message(path, VECTORS), size


def test_a_changed_byte_of_an_archive_is_noticed(x: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=x)
    content = bytearray(path.read_bytes())
    content[content.index(x.tobytes()[:16]) + 200] ^= 1
    path.write_bytes(content)
    assert "CRC" in message(path, VECTORS)


def test_a_header_that_claims_too_much_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((1, 4), np.float32))
    path.write_bytes(path.read_bytes().replace(b"(1, 4), }     ", b"(9999999999999, 4), }"[:14]))
    assert str(path) in message(path, VECTORS)


def test_arrays_that_cannot_be_read(x: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x_train=x, x_test=x)
    assert "expected an array x, found x_test, x_train" in message(path, VECTORS)
    np.savez(path, x=np.asfortranarray(x))
    assert "stored by columns" in message(path, VECTORS)
    np.savez(path, x=np.array([[object()] * 4]))
    assert "Python objects" in message(path, VECTORS)
    np.savez(path)
    assert "found none" in message(path, VECTORS)
    np.save(tmp_path / "x.npy", x[:0])
    assert "it is empty" in message(tmp_path / "x.npy", VECTORS)
    np.save(tmp_path / "x.npy", np.array(["a"] * 4)[None])
    assert "expected numbers" in message(tmp_path / "x.npy", VECTORS)


@given(st.integers(1, 60), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_no_row_is_lost_whatever_the_block(n: int, rows: int) -> None:
    import tempfile

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(form_module, "MAX_ROWS", rows)
        path = Path(folder, "x.npz")
        np.savez(path, x=np.arange(n, dtype=np.float64)[:, None])
        blocks = list(stream([path], Form((1,), "float32")))
        assert np.concatenate([b.x[:, 0] for b in blocks]).tolist() == list(range(n))
        assert np.concatenate([b.row for b in blocks]).tolist() == list(range(n))

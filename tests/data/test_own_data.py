"""The user's own files and folders, in every format, good and bad."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from PIL import Image

from dhm.data import UNLABELED, Dataset, from_arrays, load
from dhm.data.mapped import MappedRows
from dhm.errors import DataError, DataNotFoundError, MissingDependencyError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 3, 6, 5), np.uint8)
LABELS = np.arange(40) % 4
PARTS = {
    "x_train": IMAGES[:28],
    "y_train": LABELS[:28],
    "x_test": IMAGES[28:],
    "y_test": LABELS[28:],
    "x_unlabeled": IMAGES[:6],
}


def message_of(path: Path | str, kind: type[Exception] = DataError) -> str:
    with pytest.raises(kind) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def write_npz(folder: Path, arrays: dict[str, Any]) -> Path:
    np.savez(folder / "my.npz", **arrays)
    return folder / "my.npz"


def write_hdf5(folder: Path, arrays: dict[str, Any]) -> Path:
    with h5py.File(folder / "my.h5", "w") as file:
        for name, values in arrays.items():
            strings = np.asarray(values).dtype.kind == "U"
            file[name] = np.asarray(values).astype(object) if strings else values
    return folder / "my.h5"


def write_npy(folder: Path, arrays: dict[str, Any]) -> Path:
    (folder / "my").mkdir()
    for name, values in arrays.items():
        np.save(folder / "my" / f"{name}.npy", values)
    return folder / "my"


KEYED = pytest.mark.parametrize("write", [write_npz, write_hdf5, write_npy])
Writer = Callable[[Path, dict[str, Any]], Path]


# --- what .npz, HDF5 and .npy have in common ----------------------------------------------------


@KEYED
def test_all_parts_are_read(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path, PARTS)
    data = load(path)
    assert data.name == path.name and data.classes == ("0", "1", "2", "3")
    np.testing.assert_array_equal(data.train.x, np.concatenate([IMAGES[:28], IMAGES[:6]]))
    assert data.train.y[28:].tolist() == [UNLABELED] * 6
    np.testing.assert_array_equal(data.test.x, IMAGES[28:])
    np.testing.assert_array_equal(data.test.y, LABELS[28:])
    assert data.train.x.dtype == np.uint8


@KEYED
@pytest.mark.parametrize("names", [("x", "y"), ("X", "y"), ("data", "label")])
def test_without_a_test_part_a_quarter_is_held_out(
    tmp_path: Path, write: Writer, names: tuple[str, str]
) -> None:
    data = load(write(tmp_path, {names[0]: IMAGES, names[1]: LABELS}))
    assert np.bincount(data.test.y).tolist() == [2, 3, 3, 2] or len(data.test) == 10
    assert len(data.train) == 30
    found = {x.tobytes() for part in (data.train, data.test) for x in part.x}
    assert found == {x.tobytes() for x in IMAGES}


@KEYED
def test_text_labels_become_classes(tmp_path: Path, write: Writer) -> None:
    names = np.array(["dog", "cat", "", "-1"])[LABELS]
    data = load(write(tmp_path, {"x": IMAGES, "y": names}))
    assert data.classes == ("cat", "dog")
    # Held out is a quarter of the 20 labelled ones; the 20 unlabelled ones stay in training.
    assert len(data.test) == 5 and int((~data.train.labeled).sum()) == 20


@KEYED
def test_missing_arrays_are_named(tmp_path: Path, write: Writer) -> None:
    message = message_of(write(tmp_path, {"x_train": IMAGES, "labls": LABELS}))
    assert "y_train" in message and "labls" in message


def test_half_a_test_part_is_refused(tmp_path: Path) -> None:
    arrays = {k: v for k, v in PARTS.items() if k != "y_test"}
    assert "x_test but no y_test" in message_of(write_npz(tmp_path, arrays))


@pytest.mark.parametrize("write", [write_npz, write_npy])
def test_pickled_objects_are_refused(tmp_path: Path, write: Writer) -> None:
    things = np.array([{"a": 1}] * 4, dtype=object)
    assert "found Python objects" in message_of(write(tmp_path, {"x": things, "y": LABELS[:4]}))


@pytest.mark.parametrize("write", [write_npz, write_hdf5])
def test_a_damaged_file_is_named(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path, PARTS)
    content = path.read_bytes()
    for wrong in (b"", b"hello", content[:30], content[: len(content) // 2], content[200:]):
        path.write_bytes(wrong)
        assert str(path) in message_of(path)


def test_flipped_bytes_in_npz_are_noticed(tmp_path: Path) -> None:
    path = write_npz(tmp_path, PARTS)
    content = bytearray(path.read_bytes())
    content[1000] ^= 255
    path.write_bytes(content)
    assert str(path) in message_of(path)


def test_an_hdf5_that_claims_an_absurd_size_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "my.h5", "w") as file:
        file.create_dataset("x", (10**8, 28, 28), "u1", chunks=(1, 28, 28))
        file["y"] = LABELS
    assert "claims 78400000000 bytes" in message_of(tmp_path / "my.h5")


def test_hdf5_without_h5py_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_hdf5(tmp_path, PARTS)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert 'pip install "deep-hybrid-models[hdf5]"' in message_of(path, MissingDependencyError)


# --- .npy and sparse pairs ----------------------------------------------------------------------


def test_npy_is_memory_mapped(tmp_path: Path) -> None:
    folder = write_npy(tmp_path, {k: v for k, v in PARTS.items() if k != "x_unlabeled"})
    for path in (folder, folder / "x_train.npy"):
        data = load(path)
        assert isinstance(data.train.x, np.memmap) and isinstance(data.test.x, np.memmap)
        few = data.train.take(np.array([3, 1]))
        assert isinstance(few.x, MappedRows) and isinstance(few.x.base, np.memmap)
        np.testing.assert_array_equal(few.x, IMAGES[[3, 1]])
        np.testing.assert_array_equal(few.take(np.array([1])).x[:1], IMAGES[[1]])


def test_a_named_npy_file_is_the_one_read(tmp_path: Path) -> None:
    folder = write_npy(tmp_path, PARTS)
    np.save(folder / "x.npy", IMAGES[:20, :1])
    np.save(folder / "y.npy", LABELS[:20])
    del_test = ("x_test.npy", "y_test.npy", "x_unlabeled.npy")
    for name in del_test:
        (folder / name).unlink()
    assert load(folder / "x.npy").shape == (1, 6, 5)
    assert load(folder / "x_train.npy").shape == (3, 6, 5)


def test_an_npy_cut_short_is_refused(tmp_path: Path) -> None:
    folder = write_npy(tmp_path, PARTS)
    path = folder / "x_train.npy"
    content = path.read_bytes()
    for length in (0, 7, 60, len(content) - 1):
        path.write_bytes(content[:length])
        assert str(path) in message_of(folder)


def test_npy_labels_that_are_missing_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    assert "labels y.npy" in message_of(tmp_path / "x.npy")
    np.save(tmp_path / "b.X.npy", IMAGES)
    assert "labels b.y.npy" in message_of(tmp_path / "b.X.npy")


def test_an_array_under_the_wrong_extension_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    assert "found one array" in message_of(tmp_path / "x.npz")
    path = write_npz(tmp_path, PARTS).rename(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", LABELS)
    assert "x.npy: expected npy" in message_of(path)


@pytest.mark.parametrize(
    ("x_name", "y_name"),
    [("foo.X.npz", "foo.y.npy"), ("X.npz", "y.npy"), ("a_x.npz", "a_y.npy"), ("b.npz", "b.y.npy")],
)
def test_sparse_stays_sparse(tmp_path: Path, x_name: str, y_name: str) -> None:
    matrix = sp.random(40, 50, 0.1, "coo", rng=np.random.default_rng(1))
    sp.save_npz(tmp_path / x_name, matrix)
    np.save(tmp_path / y_name, LABELS)
    # A neighbour of another prefix is not mixed in.
    np.save(tmp_path / "other.y_test.npy", LABELS)
    data = load(tmp_path / x_name)
    assert data.train.x.format == "csr" and data.train.x.dtype == np.float32
    assert data.shape == (50,) and (len(data.train), len(data.test)) == (30, 10)
    total = data.train.x.sum() + data.test.x.sum()
    assert total == pytest.approx(matrix.sum(), rel=1e-5)


def test_sparse_with_a_test_part_and_unlabelled(tmp_path: Path) -> None:
    matrix = sp.random(40, 50, 0.1, "csr", rng=np.random.default_rng(1))
    for part, rows in (("train", slice(0, 30)), ("test", slice(30, 40))):
        sp.save_npz(tmp_path / f"n.x_{part}.npz", matrix[rows])
        np.save(tmp_path / f"n.y_{part}.npy", LABELS[rows])
    sp.save_npz(tmp_path / "n.x_unlabeled.npz", matrix[:7])
    data = load(tmp_path / "n.x_train.npz")
    assert data.train.x.shape == (37, 50) and data.test.x.shape == (10, 50)
    assert data.train.y[-7:].tolist() == [-1] * 7


def test_sparse_faults_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "X.npz"
    matrix = sp.csr_array(np.eye(8, 5))
    np.save(tmp_path / "y.npy", LABELS[:8])
    matrix.data[2] = np.inf
    sp.save_npz(path, matrix)
    assert "infinite" in message_of(path)
    # Out-of-range indices would be read from foreign memory.
    fields = {"format": b"csr", "shape": (8, 5), "data": np.ones(8), "indptr": np.arange(9)}
    np.savez(path, **fields, indices=np.array([0, 1, 2, 3, 4, 1000000, 1, 2]))
    assert str(path) in message_of(path)
    sp.save_npz(path, sp.csr_array(np.eye(8, 5)))
    np.save(tmp_path / "y.npy", LABELS[:7])
    assert "8 examples but y_train 7" in message_of(path)
    (tmp_path / "y.npy").unlink()
    assert "labels y.npy" in message_of(path)


# --- folders of images --------------------------------------------------------------------------


def write_images(root: Path, counts: dict[str, int], mode: str = "RGB", size: int = 6) -> Path:
    for number, (folder, n) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True)
        for i in range(n):
            colour: Any = (number, i, 7) if mode == "RGB" else number
            Image.new(mode, (size, 4), colour).save(root / folder / f"{i}.png")
    return root


def test_images_by_class(tmp_path: Path) -> None:
    root = write_images(tmp_path / "pets", {"dog": 8, "cat": 4, "Unlabelled": 5})
    (root / "dog" / "notes.txt").write_text("not an image")
    (root / ".cache").mkdir()
    data = load(root)
    assert data.name == "pets" and data.classes == ("cat", "dog") and data.shape == (3, 4, 6)
    assert np.bincount(data.test.y).tolist() == [1, 2]
    assert int((~data.train.labeled).sum()) == 5
    for part in (data.train, data.test):
        # Red tells the folder: dog 0, cat 1, unlabeled 2.
        expected = np.array([2, 1, 0])[part.y + 1]
        np.testing.assert_array_equal(part.x[:, 0, 0, 0], expected)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("1", 1), ("RGB", 3)])
def test_images_in_train_and_test(tmp_path: Path, mode: str, channels: int) -> None:
    counts = {"train/a": 3, "train/b": 3, "test/b": 2, "unlabeled": 4, "train/unlabeled": 1}
    data = load(write_images(tmp_path / "r", counts, mode))
    assert (len(data.train), len(data.test)) == (11, 2) and data.shape == (channels, 4, 6)
    assert data.test.y.tolist() == [1, 1] and data.train.x.dtype == np.uint8
    if mode == "1":
        assert set(np.unique(data.train.x)) <= {0, 255}


def test_image_faults_name_the_file(tmp_path: Path) -> None:
    root = write_images(tmp_path / "r", {"a": 4, "b": 4})
    odd = root / "b" / "odd.png"
    for image in (Image.new("RGB", (7, 4)), Image.new("L", (6, 4)), Image.new("P", (6, 4))):
        image.save(odd)
        assert str(odd) in message_of(root)
    Image.effect_noise((6, 4), 50).convert("RGB").save(odd)
    content = odd.read_bytes()
    for wrong in (b"", b"no image", content[:40], content[: len(content) - 30]):
        odd.write_bytes(wrong)
        assert str(odd) in message_of(root)
    odd.unlink()
    (root / "c").mkdir()
    assert str(root / "c") in message_of(root)
    assert "mode P" in message_of(write_images(tmp_path / "p", {"a": 2, "b": 2}, "P"))


def test_a_folder_without_anything_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path) in message_of(tmp_path)


def test_a_test_class_that_training_lacks_is_refused(tmp_path: Path) -> None:
    root = write_images(tmp_path / "r", {"train/a": 2, "train/b": 2, "test/bird": 1})
    assert "found also bird" in message_of(root)


# --- tables -------------------------------------------------------------------------------------


def table() -> pd.DataFrame:
    frame = pd.DataFrame(RNG.normal(size=(24, 3)), columns=["a", "b", "c"])
    frame["label"] = ["red", "blue", "green"] * 8
    return frame


def write_table(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


TABLES = pytest.mark.parametrize("name", ["t.csv", "t.parquet"])


@TABLES
def test_tables(tmp_path: Path, name: str) -> None:
    frame = table()
    frame.loc[:5, "label"] = None
    data = load(write_table(tmp_path / name, frame))
    assert data.classes == ("blue", "green", "red") and data.shape == (3,)
    assert data.train.x.dtype == np.float32 and len(data.train) + len(data.test) == 24
    assert int((~data.train.labeled).sum()) == 6 and data.test.labeled.all()
    rows = {round(float(v), 4) for part in (data.train, data.test) for v in part.x[:, 1]}
    assert rows == {round(float(np.float32(v)), 4) for v in frame["b"]}


@TABLES
def test_gaps_in_tables_are_missing_entries(tmp_path: Path, name: str) -> None:
    frame = table().assign(n=pd.array([1, None] * 12, "Int64"))
    frame.loc[3, "b"] = None
    data = load(write_table(tmp_path / name, frame))
    x = np.concatenate([data.train.x, data.test.x])
    assert np.isnan(x).sum(0).tolist() == [0, 1, 0, 12]


@TABLES
@pytest.mark.parametrize("column", ["y", "target", "class"])
def test_numeric_labels_in_tables(tmp_path: Path, name: str, column: str) -> None:
    frame = table().drop(columns="label")
    frame[column] = [3.0, 5.0, np.nan] * 8
    data = load(write_table(tmp_path / name, frame))
    assert data.classes == ("3", "5") and int((~data.train.labeled).sum()) == 8


@TABLES
def test_table_faults(tmp_path: Path, name: str) -> None:
    path, good = tmp_path / name, table()
    cases = {
        "expected a label column named label": good.rename(columns={"label": "colour"}),
        "'c' is not numeric": good.assign(c="x"),
        "found 1 infinite": good.assign(a=[np.inf] + [1.0] * 23),
        "found only class red": good.assign(label="red"),
        "found 1.5": good.assign(label=[1.5, 2] * 12),
        "found none": good[["label"]],
        "the table is empty": good.iloc[:0],
        "'Unnamed: 0' has no name": good.rename(columns={"a": "Unnamed: 0"}),
    }
    for expected, frame in cases.items():
        assert expected in message_of(write_table(path, frame)), expected
    write_table(path, good)
    content = path.read_bytes()
    for wrong in (b"", b"\x00\xff\xfe" * 50, content[: len(content) // 2] + b'"\xff'):
        path.write_bytes(wrong)
        assert str(path) in message_of(path)


def test_rows_longer_than_the_header_are_noticed(tmp_path: Path) -> None:
    for rows in ("1,2,0\n3,4,1\n" * 8, "0,2,0\n1,4,1\n"):
        (tmp_path / "t.csv").write_text("a,label\n" + rows)
        assert "Length of header" in message_of(tmp_path / "t.csv"), rows
    (tmp_path / "t.csv").write_text("a,label\n" + "2,0,\n4,1,\n" * 8)
    data = load(tmp_path / "t.csv")
    np.testing.assert_array_equal(data.train.x[:, 0], 2 + 2 * data.train.y)


def test_an_index_written_by_accident_is_noticed(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "t.csv")
    assert "has no name" in message_of(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("name", "module"),
    [("t.csv", "pandas"), ("t.parquet", "pyarrow"), ("t.parquet", "pyarrow.parquet")],
)
def test_tables_without_their_package_name_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    path = write_table(tmp_path / name, table())
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    assert "deep-hybrid-models[table]" in message_of(path, MissingDependencyError)


# --- paths --------------------------------------------------------------------------------------


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_npz(tmp_path, PARTS)
    assert len(load(str(path)).test) == 12
    assert len(load("my.npz", data_dir=tmp_path).test) == 12
    path.rename(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert "no extension" in message_of(Path("digits"))
    assert len(load("digits").test) == 449
    assert "nothere.npz" in message_of("nothere.npz", DataNotFoundError)
    for impossible in ("x" * 5000, "a\0b"):
        message_of(impossible, DataNotFoundError)


# --- labels and parts that do not fit -----------------------------------------------------------


def refusal(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(DataError) as caught:
        from_arrays(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_label_values_keep_their_order() -> None:
    x = np.zeros((6, 2))
    assert from_arrays(x, [10, 9, 2, 10, 9, 2]).classes == ("2", "9", "10")
    data = from_arrays(x, [True, False] * 3, x[:2], [True, False])
    assert data.classes == ("False", "True") and data.test.y.tolist() == [1, 0]
    data = from_arrays(x, np.array([[1], [2]] * 3), x[:1], [2.0])
    assert data.test.y.tolist() == [1]
    data = from_arrays(x, np.array([b"b", b"a"] * 3), x[:1], ["a"])
    assert data.classes == ("a", "b") and data.test.y.tolist() == [0]


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1, 2], "4 examples but y_train 3"),
        ([0, 0, 0, 0], "found only class 0"),
        ([-1, 1, -1, 1], "found only class 1 (2 of 4"),
        ([-1] * 4, "found no label"),
        ([0, 1, 0.5, 1], "found 0.5"),
        ([0, 1, np.inf, 1], "found inf"),
        ([0, 1, -2, 1], "found -2"),
        (np.eye(4), "argmax"),
        ([0j, 1, 1, 0], "complex"),
        (np.array([0, 1, {}, 1], object), "Python objects"),
        (np.array([0, 1, [2, 3], 1], object), "Python objects"),
        (np.array(["2020-01-01"] * 4, "M8[D]"), "datetime64"),
        (3, "found shape ()"),
        ([], "found no label"),
    ],
)
def test_wrong_labels_are_refused(y: Any, expected: str) -> None:
    assert expected in refusal(np.zeros((4, 2)), y)


@pytest.mark.parametrize(
    ("x_test", "y_test", "expected"),
    [
        (np.zeros((2, 3)), [0, 1], "store both alike"),
        (np.zeros((2, 2)), [0, 2], "found also 2"),
        (np.zeros((2, 2)), ["a", "b"], "names but those of training are numbers"),
        (np.zeros((2, 2)), [0], "2 examples but y_test 1"),
        (np.zeros((2, 2)), [0, -1], "1 of 2 unlabelled"),
        (np.zeros((0, 2)), [], "empty"),
        (sp.csr_array(np.zeros((2, 2))), [0, 1], "sparse"),
        (np.zeros((2, 2)), None, "no y_test"),
        (None, [0, 1], "no x_test"),
    ],
)
def test_test_parts_that_do_not_fit_are_refused(x_test: Any, y_test: Any, expected: str) -> None:
    assert expected in refusal(np.zeros((4, 2)), [0, 1, 0, 1], x_test, y_test)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (["b", None, "a", float("nan")], ("a", "b")),
        ([7, None, 3, None], ("3", "7")),
        ([7.0, float("nan"), 3, -1], ("3", "7")),
        (["b", "", " a", "-1"], ("a", "b")),
        (pd.Series(["b", None, "a", None]), ("a", "b")),
        (pd.Series([b"b", None, b"a", None], dtype=object), ("a", "b")),
    ],
)
def test_every_way_to_say_unlabelled(y: Any, classes: tuple[str, ...]) -> None:
    data = from_arrays(np.zeros((4, 2)), y, np.zeros((1, 2)), y[:1])
    assert data.classes == classes
    assert data.train.y.tolist() == [1, -1, 0, -1] and data.test.y.tolist() == [1]


def test_too_few_to_hold_out_a_test_part() -> None:
    assert "cannot hold out" in refusal(np.zeros((2, 2)), [0, 1])


def test_unlabelled_examples_stay_in_training() -> None:
    y = np.where(np.arange(40) < 12, np.arange(40) % 3, -1)
    data: Dataset = from_arrays(np.arange(80.0).reshape(40, 2), y)
    assert len(data.test) == 3 and data.test.labeled.all()
    assert len(data.train) == 37 and int(data.train.labeled.sum()) == 9


@pytest.mark.parametrize("name", ["None", "NA", "null", "nan"])
def test_a_class_may_be_called_like_a_gap(tmp_path: Path, name: str) -> None:
    lines = [f"{i},{label}" for i, label in enumerate([name, "dent", ""] * 20)]
    (tmp_path / "t.csv").write_text("\n".join(["a,label", *lines]))
    data = load(str(tmp_path / "t.csv"))
    assert set(data.classes) == {name, "dent"}
    assert int((~data.train.labeled).sum()) == 20


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_integers_0_and_1_are_no_bytes(dtype: Any) -> None:
    x = np.random.default_rng(0).integers(0, 2, (40, 8, 8))
    y = np.arange(40) % 2
    with pytest.raises(DataError, match="found 0 and 1 alone"):
        from_arrays(x.astype(dtype), y)
    assert from_arrays(x.astype(bool), y).train.x.max() == 255


def test_truth_values_keep_their_names_beside_a_gap(tmp_path: Path) -> None:
    for gap in ("", "true"):
        lines = [f"{i},{label}" for i, label in enumerate(["true", "false", gap] * 20)]
        (tmp_path / "t.csv").write_text("\n".join(["a,label", *lines]))
        assert load(str(tmp_path / "t.csv")).classes == ("False", "True")

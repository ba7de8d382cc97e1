"""The data sets with a name, in their published formats, whole and damaged."""

import gzip
import io
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from dhm.data import NAMES, describe, load, locate
from dhm.errors import DataError, DataNotFoundError

USERS_DATA = os.environ.get("DHM_DATA")
SYSTEM_FASHION = Path("/usr/share/datasets/fashion-mnist")
RECORD = 3073


def error_of(name: str, folder: Path, kind: type[Exception] = DataError) -> str:
    with pytest.raises(kind) as caught:
        load(name, data_dir=folder, download=False)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- without files ------------------------------------------------------------------------------


def test_digits_are_bytes_and_the_seed_chooses_the_test_part() -> None:
    first, again, other = load("digits"), load("digits"), load("digits", seed_data=1)
    assert first.train.x.dtype == np.uint8 and first.shape == (1, 8, 8)
    assert first.train.x.max() == 255 and set(np.unique(first.train.x)) <= {
        round(level * 255 / 16) for level in range(17)
    }
    assert len(first.train) + len(first.test) == 1797
    assert first.classes == tuple("0123456789")
    counts = np.bincount(first.test.y)
    assert counts.min() >= 43 and counts.max() <= 46
    np.testing.assert_array_equal(first.test.x, again.test.x)
    assert not np.array_equal(first.test.x, other.test.x)


def test_random_is_deterministic_noise() -> None:
    data, again = load("random"), load("random", seed_data=5)
    assert (len(data.train), len(data.test), data.shape) == (1000, 200, (1, 8, 8))
    assert set(np.unique(data.train.x)) == {0, 255} and data.train.x.dtype == np.uint8
    np.testing.assert_array_equal(data.train.x, again.train.x)


# --- MNIST and Fashion-MNIST --------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_idx_files_are_read_exactly(
    tmp_path: Path, write_mnist: Callable[..., Path], mnist_arrays: list[Any], zipped: bool
) -> None:
    data = load("mnist", data_dir=write_mnist(tmp_path / "d", zipped))
    x, y, x_test, y_test = mnist_arrays
    np.testing.assert_array_equal(data.train.x[:, 0], x)
    np.testing.assert_array_equal(data.train.y, y)
    np.testing.assert_array_equal(data.test.x[:, 0], x_test)
    np.testing.assert_array_equal(data.test.y, y_test)
    assert data.train.x.dtype == np.uint8 and data.train.y.dtype == np.int64
    assert isinstance(data.train.x, np.memmap) is not zipped


def test_classes_have_their_published_names(
    tmp_path: Path, write_mnist: Callable[..., Path]
) -> None:
    data = load("fashion-mnist", data_dir=write_mnist(tmp_path / "d"))
    assert data.classes[0] == "T-shirt/top" and data.classes[9] == "Ankle boot"


def test_a_gz_cut_short_is_refused(tmp_path: Path, write_mnist: Callable[..., Path]) -> None:
    path = write_mnist(tmp_path / "d") / "train-images-idx3-ubyte.gz"
    content = path.read_bytes()
    for length in (0, 1, 2, 5, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert str(path) in error_of("mnist", path.parent)


def test_a_gz_with_a_wrong_checksum_is_refused(
    tmp_path: Path, write_mnist: Callable[..., Path]
) -> None:
    path = write_mnist(tmp_path / "d") / "train-labels-idx1-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    assert str(path) in error_of("mnist", path.parent)


@pytest.mark.parametrize("change", [-1, +1], ids=["short", "long"])
def test_a_raw_file_of_another_size_is_refused(
    tmp_path: Path, write_mnist: Callable[..., Path], change: int
) -> None:
    path = write_mnist(tmp_path / "d", zipped=False) / "t10k-images-idx3-ubyte"
    content = path.read_bytes()
    path.write_bytes(content[:-1] if change < 0 else content + b"x")
    message = error_of("mnist", path.parent)
    assert str(path) in message and "10 x 28 x 28 = 7840" in message


@pytest.mark.parametrize("zipped", [True, False])
def test_an_absurd_size_is_refused_before_allocating(
    tmp_path: Path, write_mnist: Callable[..., Path], zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_mnist(tmp_path / "d", zipped)
    path = folder / ("train-images-idx3-ubyte" + ".gz" * zipped)
    content = bytes((0, 0, 8, 3)) + struct.pack(">3I", *[2**32 - 1] * 3) + bytes(1000)
    path.write_bytes(gzip.compress(content) if zipped else content)

    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("allocated")

    monkeypatch.setattr(np, "empty", forbidden)
    monkeypatch.setattr(np, "memmap", forbidden)
    message = error_of("mnist", folder)
    assert "the header promises" in message and "allocated" not in message


def test_labels_in_place_of_images_are_refused(
    tmp_path: Path, write_mnist: Callable[..., Path]
) -> None:
    folder = write_mnist(tmp_path / "d")
    (folder / "train-labels-idx1-ubyte.gz").replace(folder / "train-images-idx3-ubyte.gz")
    write_labels = (folder / "t10k-labels-idx1-ubyte.gz").read_bytes()
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(write_labels)
    assert "0x00000803" in error_of("mnist", folder)


def test_counts_and_labels_must_fit(
    tmp_path: Path, write_mnist: Callable[..., Path], as_idx: Callable[[Any], bytes]
) -> None:
    folder = write_mnist(tmp_path / "d", zipped=False)
    path = folder / "train-labels-idx1-ubyte"
    path.write_bytes(as_idx(np.arange(29) % 10))
    assert "30 examples but y_train 29" in error_of("mnist", folder)
    path.write_bytes(as_idx(np.arange(30) % 11))
    assert "found also 10" in error_of("mnist", folder)


# --- where files are looked for -----------------------------------------------------------------


def test_places_are_searched_in_order(
    tmp_path: Path,
    write_mnist: Callable[..., Path],
    as_idx: Callable[[Any], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = [tmp_path / place for place in ("argument", "env", "system", "cache")]
    for number, place in enumerate(places):
        # In turn in the sub-folder and directly; the first label tells the places apart.
        folder = write_mnist(place / "mnist" if number % 2 else place, zipped=False)
        labels = np.arange(30) % 10
        labels[0] = number + 1
        (folder / "train-labels-idx1-ubyte").write_bytes(as_idx(labels))
    monkeypatch.setenv("DHM_DATA", str(places[1]))
    monkeypatch.setattr(locate, "SYSTEM_PLACES", (places[2],))
    assert load("mnist", data_dir=places[0]).train.y[0] == 1
    assert load("mnist").train.y[0] == 2
    monkeypatch.delenv("DHM_DATA")
    assert load("mnist").train.y[0] == 3
    monkeypatch.setattr(locate, "SYSTEM_PLACES", ())
    assert load("mnist").train.y[0] == 4


def test_mnist_is_not_taken_for_fashion_mnist(
    tmp_path: Path, write_mnist: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_mnist(tmp_path / "mnist")
    monkeypatch.setenv("DHM_DATA", str(folder))
    assert len(load("mnist").train) == 30
    with pytest.raises(DataNotFoundError, match="fashion-mnist"):
        load("fashion-mnist", download=False)


def test_missing_files_are_named(tmp_path: Path, write_mnist: Callable[..., Path]) -> None:
    with pytest.raises(DataNotFoundError, match=r"cifar-10-binary\.tar\.gz in one of .*cache"):
        load("cifar10", download=False)
    folder = write_mnist(tmp_path / "d")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    assert "put t10k-labels-idx1-ubyte.gz" in error_of("mnist", folder, DataNotFoundError)
    assert "no folder" in error_of("mnist", tmp_path / "nowhere", DataNotFoundError)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DataNotFoundError, match=r"'minst'; did you mean 'mnist'\?") as caught:
        load("minst")
    assert all(name in str(caught.value) for name in NAMES)
    with pytest.raises(DataNotFoundError):
        load("")


# --- SVHN ---------------------------------------------------------------------------------------


@pytest.fixture
def svhn(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    rng = np.random.default_rng(2)
    folder = tmp_path / "svhn"
    folder.mkdir()
    files = {}
    for name, n in (("train", 22), ("test", 11), ("extra", 20)):
        x = rng.integers(0, 256, (32, 32, 3, n), np.uint8)
        y = (np.arange(n, dtype=np.uint8) % 10 + 1)[:, None]
        savemat(folder / f"{name}_32x32.mat", {"X": x, "y": y}, do_compression=True)
        files[name] = (x, y)
    return folder, files


def test_svhn_axes_and_label_ten(svhn: tuple[Path, dict[str, Any]]) -> None:
    folder, files = svhn
    data = load("svhn", data_dir=folder.parent)
    x, _ = files["train"]
    assert data.shape == (3, 32, 32) and len(data.train) == 22 and len(data.test) == 11
    assert data.train.x[5, 2, 7, 9] == x[7, 9, 2, 5]
    assert data.train.y[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    # An example is contiguous in memory, so that taking a batch does not jump through the file.
    assert max(data.train.x[0].strides) < 3072 == data.train.x.strides[0]


def test_svhn_extra_joins_training(svhn: tuple[Path, dict[str, Any]]) -> None:
    folder, files = svhn
    data = load("svhn-extra", data_dir=folder)
    assert len(data.train) == 42 and len(data.test) == 11
    np.testing.assert_array_equal(data.train.x[22], files["extra"][0][..., 0].transpose(2, 0, 1))


def test_damaged_svhn_is_refused(svhn: tuple[Path, dict[str, Any]]) -> None:
    folder, files = svhn
    path = folder / "test_32x32.mat"
    content = path.read_bytes()
    for length in (0, 10, 127, 200, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:length])
        assert str(path) in error_of("svhn", folder)
    path.write_bytes(os.urandom(5000))
    assert str(path) in error_of("svhn", folder)
    x, y = files["test"]
    for wrong in (
        {"X": x},
        {"X": x, "y": y[:-1]},
        {"X": x, "y": y + 1},
        {"X": x[:16], "y": y},
        {"X": x.astype(float), "y": y},
        {"X": np.array([{"a": 1}], object), "y": y},
    ):
        savemat(path, wrong)
        assert str(path) in error_of("svhn", folder)


# --- CIFAR-10 -----------------------------------------------------------------------------------


@pytest.fixture
def cifar() -> dict[str, bytes]:
    rng = np.random.default_rng(3)
    files = {}
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        records = rng.integers(0, 256, (10, RECORD), np.uint8)
        records[:, 0] = rng.permutation(10)
        files[name] = records.tobytes()
    return files


def write_archive(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"batches.meta.txt": b"airplane\n", **files}.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("form", ["archive", "folder", "flat"])
def test_cifar_is_read_exactly_and_nothing_is_extracted(
    tmp_path: Path, cifar: dict[str, bytes], form: str
) -> None:
    folder = tmp_path / "d"
    if form == "archive":
        write_archive(folder, cifar)
    else:
        inner = folder / "cifar-10-batches-bin" if form == "folder" else folder
        inner.mkdir(parents=True)
        for name, content in cifar.items():
            (inner / name).write_bytes(content)
    before = sorted(folder.rglob("*"))
    data = load("cifar10", data_dir=folder)
    assert sorted(folder.rglob("*")) == before
    assert data.shape == (3, 32, 32) and (len(data.train), len(data.test)) == (50, 10)
    assert data.classes[3] == "cat" and data.train.x.dtype == np.uint8
    third = cifar["data_batch_3.bin"]
    assert data.train.y[24] == third[4 * RECORD]
    assert data.train.x[24].tobytes() == third[4 * RECORD + 1 : 5 * RECORD]
    assert data.test.x[9].tobytes() == cifar["test_batch.bin"][-3072:]


def test_damaged_cifar_is_refused(tmp_path: Path, cifar: dict[str, bytes]) -> None:
    folder = tmp_path / "d"
    path = write_archive(folder, cifar)
    content = path.read_bytes()
    for length in (0, 5, 100, len(content) // 2, len(content) - 30_000):
        path.write_bytes(content[:length])
        assert str(path) in error_of("cifar10", folder)
    write_archive(folder, cifar | {"data_batch_2.bin": cifar["data_batch_2.bin"][:-1]})
    message = error_of("cifar10", folder)
    assert "data_batch_2.bin" in message and "3073" in message
    write_archive(folder, {k: v for k, v in cifar.items() if k != "data_batch_4.bin"})
    assert "data_batch_4.bin" in error_of("cifar10", folder)
    write_archive(folder, cifar | {"data_batch_5.bin": bytes([11]) + cifar["test_batch.bin"][1:]})
    assert "found also 11" in error_of("cifar10", folder)


def test_a_tar_that_claims_an_absurd_size_is_refused(
    tmp_path: Path, cifar: dict[str, bytes]
) -> None:
    info = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    info.size = 10**12 - 10**12 % RECORD
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf() + bytes(10_000)))
    assert "data_batch_1.bin claims 9999" in error_of("cifar10", tmp_path)


def test_an_extracted_cifar_file_that_is_missing_is_named(
    tmp_path: Path, cifar: dict[str, bytes]
) -> None:
    for name, content in cifar.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "data_batch_5.bin").unlink()
    assert "data_batch_5.bin" in error_of("cifar10", tmp_path, DataNotFoundError)


# --- the real ones ------------------------------------------------------------------------------


def test_real_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    if USERS_DATA is None:
        pytest.skip("DHM_DATA does not name a folder with MNIST")
    monkeypatch.setenv("DHM_DATA", USERS_DATA)
    try:
        data = load("mnist", download=False)
    except DataNotFoundError as error:
        pytest.skip(f"DHM_DATA holds no MNIST: {error}")
    summary = describe(data)
    assert (summary["n_train"], summary["n_test"], summary["shape"]) == (60000, 10000, [1, 28, 28])
    assert summary["counts"]["train"]["1"] == 6742 and summary["counts"]["test"]["5"] == 892
    assert (summary["min"], summary["max"]) == (0, 255)
    assert round(data.train.x.mean() / 255, 4) == 0.1307


@pytest.mark.skipif(not SYSTEM_FASHION.is_dir(), reason=f"{SYSTEM_FASHION} is not installed")
def test_real_fashion_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "SYSTEM_PLACES", (SYSTEM_FASHION.parent,))
    data = load("fashion-mnist", download=False)
    assert (len(data.train), len(data.test)) == (60000, 10000)
    assert np.bincount(data.train.y).tolist() == [6000] * 10
    assert round(data.train.x.mean() / 255, 4) == 0.286

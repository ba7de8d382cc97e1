"""The published data sets: their files, checksums and mirrors, and what reads them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dhm.data.assemble import Parts
from dhm.data.readers.cifar import read_cifar10
from dhm.data.readers.embedded import make_random, read_digits
from dhm.data.readers.idx import read_mnist
from dhm.data.readers.svhn import read_svhn


@dataclass(frozen=True)
class PublishedFile:
    """A file under its published name, its MD5 as published, and names it also goes by on disk."""

    name: str
    md5: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A data set by name: the reader is given one path per file, in this order.

    `folder` is the sub-folder the files are kept in, `mirrors` the addresses tried in turn,
    `classes` what labels 0, 1, 2 ... stand for (without it, whatever labels occur), `symmetric`
    whether a mirror image is as good an example of its class.
    """

    read: Callable[[Sequence[Path]], Parts]
    folder: str = ""
    files: tuple[PublishedFile, ...] = ()
    mirrors: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    symmetric: bool = False


def _idx(*md5: str) -> tuple[PublishedFile, ...]:
    kinds = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images", "labels")]
    stems = [f"{k}-idx{3 if k.endswith('images') else 1}-ubyte" for k in kinds]
    return tuple(
        PublishedFile(f"{stem}.gz", digest, (stem, stem.replace("-idx", ".idx")))
        for stem, digest in zip(stems, md5, strict=True)
    )


_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_CIFAR10 = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

_SVHN = Source(
    read_svhn,
    "svhn",
    (
        PublishedFile("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
        PublishedFile("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
    ),
    ("http://ufldl.stanford.edu/housenumbers/",),
    _DIGITS,
)

SOURCES: dict[str, Source] = {
    "digits": Source(read_digits),
    "mnist": Source(
        read_mnist,
        "mnist",
        _idx(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        _DIGITS,
    ),
    "fashion-mnist": Source(
        read_mnist,
        "fashion-mnist",
        _idx(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        _CLOTHES,
        symmetric=True,
    ),
    "svhn": _SVHN,
    "svhn-extra": replace(
        _SVHN,
        files=(
            *_SVHN.files,
            PublishedFile("extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7"),
        ),
    ),
    "cifar10": Source(
        read_cifar10,
        "cifar10",
        (
            PublishedFile(
                "cifar-10-binary.tar.gz",
                "c32a1d4ab5d03f1284b67883e8d87530",
                ("cifar-10-batches-bin/data_batch_1.bin", "data_batch_1.bin"),
            ),
        ),
        ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
        _CIFAR10,
        symmetric=True,
    ),
    "random": Source(make_random),
}
"""Every data set that has a name."""

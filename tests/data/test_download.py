"""Downloads from a server on this machine: whole, wrong, cut short, refused."""

import gzip
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dhm.data import load, sources
from dhm.errors import DataNotFoundError, DownloadError


class Server:
    """Serves `files`; `faults` maps a file name to "cut", "empty" or an HTTP status."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, str | int] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1]
                outer.asked.append(name)
                fault = outer.faults.get(name)
                if isinstance(fault, int) or name not in outer.files:
                    self.send_error(fault if isinstance(fault, int) else 404)
                    return
                content = outer.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/mnist/"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(
    tmp_path: Path, write_mnist: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    for path in write_mnist(tmp_path / "served").iterdir():
        server.files[path.name] = path.read_bytes()
    publish(monkeypatch, server.files, server.url)
    yield server
    server.close()


def publish(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], *mirrors: str) -> None:
    """Let the known MNIST be these files at these mirrors."""
    source = sources.SOURCES["mnist"]
    known = tuple(
        replace(file, md5=hashlib.md5(files[file.name]).hexdigest()) for file in source.files
    )
    monkeypatch.setitem(sources.SOURCES, "mnist", replace(source, files=known, mirrors=mirrors))


def refused_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def failure(tmp_path: Path) -> str:
    with pytest.raises(DownloadError) as caught:
        load("mnist")
    message = str(caught.value)
    assert "\n" not in message and "--data_dir" in message
    assert str(tmp_path / "cache" / "mnist") in message
    return message


def kept(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file())


IMAGES = "train-images-idx3-ubyte.gz"


def test_a_download_is_kept_and_used_again(
    tmp_path: Path, server: Server, capfd: pytest.CaptureFixture[str], mnist_arrays: list[Any]
) -> None:
    data = load("mnist")
    np.testing.assert_array_equal(data.train.x[:, 0], mnist_arrays[0])
    assert kept(tmp_path) == sorted(server.files) and len(server.asked) == 4
    load("mnist")
    assert len(server.asked) == 4
    assert capfd.readouterr().err == ""


def test_progress_is_shown_if_asked(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    load("mnist", progress=True)
    assert "100%" in capfd.readouterr().err


def test_only_what_is_missing_is_fetched(
    tmp_path: Path, server: Server, write_mnist: Callable[..., Path]
) -> None:
    (write_mnist(tmp_path / "cache" / "mnist") / IMAGES).unlink()
    load("mnist")
    assert server.asked == [IMAGES]


def test_no_download_if_not_wanted(server: Server) -> None:
    with pytest.raises(DataNotFoundError):
        load("mnist", download=False)
    assert not server.asked


def test_a_wrong_checksum_is_refused(tmp_path: Path, server: Server) -> None:
    server.files[IMAGES] = gzip.compress(b"something else")
    message = failure(tmp_path)
    assert "wrong checksum" in message and IMAGES in message
    assert kept(tmp_path) == []


def test_a_cut_connection_leaves_nothing(tmp_path: Path, server: Server) -> None:
    server.faults[IMAGES] = "cut"
    assert "connection cut" in failure(tmp_path)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("status", [500, 503, 404])
def test_a_server_error_is_told(tmp_path: Path, server: Server, status: int) -> None:
    server.faults[IMAGES] = status
    assert f"HTTP {status}" in failure(tmp_path)
    assert kept(tmp_path) == []


def test_a_refused_connection_is_told(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, server.files, refused_url())
    assert "no network or connection refused" in failure(tmp_path)


def test_the_next_mirror_is_tried(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, server.files, refused_url(), server.url)
    assert len(load("mnist").train) == 30


def test_every_mirror_is_told(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults[IMAGES] = 500
    publish(monkeypatch, server.files, refused_url(), server.url)
    message = failure(tmp_path)
    assert "connection refused" in message and "HTTP 500" in message


def test_a_cache_that_cannot_be_written_is_told(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("DHM_CACHE", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match="file"):
        load("mnist")

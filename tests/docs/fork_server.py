"""Runs `dhm` commands in forks of one process that has imported everything already.

Each command is a process of its own, with its own folder, streams and exit code, but does not wait
seconds for imports.

    python fork_server.py FD                # serves on a listening socket it inherits
    python fork_server.py SOCKET ARGUMENT... # what the `dhm` on the tests' PATH runs
"""

import json
import os
import socket
import sys
import tempfile
from contextlib import suppress

QUICK = {"--epochs": "2", "--n_eval_samples": "10"}
"""What a `dhm train` gets where the page leaves it at a slower default."""


def quick(words: list[str]) -> list[str]:
    """The words of a command, with those of `QUICK` that it does not have itself."""
    given = {"--epochs" if word == "-e" else word for word in words}
    if words[:1] != ["train"] or given & {"--config", "--resume", "--help"}:
        return words  # of a run that goes on, or is repeated, the options are given
    return [*words, *(part for flag, n in QUICK.items() if flag not in given for part in (flag, n))]


def serve(listener: socket.socket) -> None:
    """Answer one command after another, until the tests that started this have ended."""
    tests = os.getppid()
    import matplotlib.pyplot

    import dhm.training.reevaluate
    import dhm.training.train

    assert matplotlib.pyplot and dhm.training.reevaluate
    # Drawing the curves takes longer than the runs here do.
    dhm.training.train.learning_curves = lambda history, path, title: path.touch()
    # Most of what is slow to import is imported only once it is needed; this run needs it.
    with tempfile.TemporaryDirectory() as folder:
        config = dhm.TrainConfig(epochs=1, n_eval_samples=1, run_dir=folder)
        dhm.train(config, progress=False)
    listener.settimeout(5)
    while os.getppid() == tests:
        with suppress(TimeoutError), listener.accept()[0] as connection:
            _answer(connection)


def _answer(connection: socket.socket) -> None:
    message, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    request = json.loads(message)
    if (child := os.fork()) == 0:
        _run(request, streams)
    for stream in streams:
        os.close(stream)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.sendall(str(code).encode())


def _run(request: dict, streams: list[int]) -> None:
    """Be the command; does not return."""
    from dhm.cli import main

    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(request["folder"])
        os.environ |= request["environment"]
        code = main(request["words"])
    except SystemExit as stop:  # --help
        code = stop.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ask(path: str, words: list[str]) -> int:
    """Have a command run; its exit code."""
    request = {"words": quick(words), "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        return int(connection.recv(16))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(socket.socket(fileno=int(sys.argv[1])))
    else:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))

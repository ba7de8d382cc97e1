"""The command line: reads options, calls the library, prints."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

from dhm.errors import ConfigError, DHMError
from dhm.suggest import did_you_mean

EXIT_ERROR, EXIT_INTERRUPTED = 2, 130
# The commands in the order of `dhm --help`: a file each in `dhm.commands`.
COMMANDS = (
    "train",
    "evaluate",
    "predict",
    "score",
    "sample",
    "impute",
    "export",
    "data",
    "recipes",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for an error, 130 when interrupted."""
    # PyTorch's own remarks, about how it shares work between processes, are not for our users.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    words = [_with_underscores(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    try:
        parser = make_parser()
        if not words:
            parser.print_help(sys.stderr)
            return EXIT_ERROR
        options = parser.parse_args(words)
        with _stopped_alike():
            options.run(options)
        print(end="", flush=True)  # a full disk is noticed here, not when Python exits
    except DHMError as error:
        return _stop(f"error: {error}", EXIT_ERROR)
    except KeyboardInterrupt as error:
        print(file=sys.stderr)  # below the bar and the terminal's ^C
        return _stop(f"interrupted; {error}".rstrip("; "), EXIT_INTERRUPTED)
    except (MemoryError, RuntimeError) as error:
        # torch tells that memory is full by a RuntimeError of many lines.
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            raise
        reason = "out of memory; use a smaller --n_batch, network or number of samples"
        return _stop(f"error: {reason}", EXIT_ERROR)
    except BrokenPipeError:  # the reader of our output left, as in `dhm data digits | head -1`
        _drop_output()
        return 1
    except OSError as error:
        if error.filename is not None:  # of a file, whose readers and writers say so themselves
            raise
        _drop_output()
        reason = error.strerror or str(error)
        return _stop(f"error: cannot write to standard output: {reason}", EXIT_ERROR)
    return 0


@contextmanager
def _stopped_alike() -> Iterator[None]:
    """Within it the first SIGTERM, by which schedulers stop a process, interrupts as Ctrl-C does.

    Not where somebody else handles it, nor with several processes: one that waits for another in
    native code would wait on. So would one process, until the second SIGTERM.
    """
    alone = int(os.environ.get("WORLD_SIZE", 1)) == 1
    ours = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not (alone and ours and threading.current_thread() is threading.main_thread()):
        yield
        return

    def interrupt(number: int, frame: Any) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Version(argparse.Action):
    """Like argparse's own, which would look the version up before each command."""

    def __call__(self, parser: argparse.ArgumentParser, *given: object) -> NoReturn:
        from importlib.metadata import version

        print("dhm", version("deep-hybrid-models"))
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = _Parser(
        prog="dhm",
        description="Deep hybrid models: train one, and ask it what a classifier cannot answer.",
        epilog="`dhm COMMAND --help` lists the options of a command.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = import_module(f"dhm.commands.{name}")
        summary = (module.run.__doc__ or "").splitlines()[0]
        command = commands.add_parser(name, help=summary, description=summary)
        command.set_defaults(run=module.run)
        command.add_options = module.add_options
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with the name that was perhaps meant."""

    add_options: Callable[[argparse.ArgumentParser], None] | None = None
    """Adds the options of a command, once it is the one that was typed: some need imports."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", _Formatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.add_options is not None:
            self.add_options(self)
            self.add_options = None
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings]
            near = get_close_matches(unknown[0].partition("=")[0], flags, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            self.error(f"unknown option {unknown[0]}; {hint}".rstrip("; "))
        return found, unknown

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}{'' if message[-1] == '?' else ';'} see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise ConfigError(f"unknown command {value!r}{did_you_mean(value, action.choices)}")


class _Formatter(argparse.HelpFormatter):
    """Help with wide columns, where an option with a short name states its value once."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, action.dest.upper())
        return f"{', '.join(action.option_strings)} {value}"


def _with_underscores(word: str) -> str:
    """An option in the one spelling that is defined: --n-batch=5 is --n_batch=5."""
    name, equals, value = word.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value if word[:2] == "--" else word


def _drop_output() -> None:
    """Send to nowhere what is still buffered: Python would complain of it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(message: str, code: int) -> int:
    """Say why the command ends, in one line, from one of a machine's processes."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(f"dhm: {' '.join(message.split())}", file=sys.stderr)
    return code

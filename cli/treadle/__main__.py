"""The `treadle` command. A subcommand is a module with `add_arguments(parser)` and `run(arguments) -> exit code`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # what takes a while to import is so inside of `main`
    import argparse

_DESCRIPTION = """\
Serve many tenants' models on one device, and keep every tenant's promise.

A tenant is a manifest (kind: InferenceTenant): a latency deadline, an objective, an accuracy floor, and the
same ONNX model in one or more tiers of accuracy. One executor process merges kernels of different tenants'
models, orders them by slack, and serves a faster tier when load exceeds capacity."""

_EPILOG = """\
a first tenant:
  treadle demo                        train, serve and load seventeen tenants here, and write a report
  treadle serve -f examples/          serve the manifests of a folder; edit them while it runs
  curl localhost:8080/v2/models/NAME  what a tenant takes and gives (Open Inference Protocol v2)

exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted"""

_UNUSABLE = 2
_INTERRUPTED = 130  # as shells report SIGINT


class _Command(NamedTuple):
    name: str
    module: str
    help: str


_COMMANDS = (
    _Command("serve", "treadle.serve", "serve the tenants of a manifest file or folder on this machine"),
    _Command("top", "treadle.top.command", "what tenants are promised and what they get, live"),
    _Command("demo", "treadle.demo.command", "the whole product in a minute, on real input, with a report"),
    _Command("bench", "treadle.bench.command", "measure treadle beside other servers"),
    _Command("plan", "treadle.plan.command", "would a tenant be admitted, and where would it be served?"),
    _Command("profile", "treadle.profile.command", "which of models' kernels could share launches, and what it gains"),
    _Command("doctor", "treadle.doctor.command", "what a machine, or a cluster, lacks for serving"),
    _Command("trace", "treadle.trace.command", "a timeline of what a running server launches, for Perfetto"),
    _Command("simulate", "treadle.simulate.command", "play the production policies on a simulated clock"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options, run = _prepared(words) if arguments is not None else _prepared_or_ended(words)
        return int(run(options))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except ModuleNotFoundError as error:  # commands that can do without import it only where they ask a cluster
        if (error.name or "").partition(".")[0] != "kubernetes":
            raise
        what = "kubernetes, by which clusters are asked, is not installed: pip install 'treadle[agent]'"
        print(f"treadle {_chosen(words)}: {what}", file=sys.stderr)
        return _UNUSABLE


_Run = Callable[["argparse.Namespace"], int]


def _prepared_or_ended(words: Sequence[str]) -> tuple[argparse.Namespace, _Run]:
    """As `_prepared`; meanwhile SIGINT ends the process: there is nothing to put in order yet, and in the middle of an
    import a KeyboardInterrupt may become any other error.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, say: that stays so
        return _prepared(words)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    prepared = _prepared(words)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return prepared


def _prepared(words: Sequence[str]) -> tuple[argparse.Namespace, _Run]:
    options = _parser(words).parse_args(words)
    return options, import_module(options.module).run


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; of the subcommands only the chosen one is imported, so that `--help` is quick."""
    import argparse
    from importlib.metadata import version

    parser = argparse.ArgumentParser(
        "treadle", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"treadle {version('treadle')}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    chosen = _chosen(words)
    for command in _COMMANDS:
        subparser = subparsers.add_parser(
            command.name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}."
        )
        subparser.set_defaults(module=command.module)
        if command.name == chosen:
            import_module(command.module).add_arguments(subparser)
    return parser


def _chosen(words: Sequence[str]) -> str:
    """The subcommand's name, if any."""
    return next((word for word in words if not word.startswith("-")), "")


if __name__ == "__main__":
    sys.exit(main())

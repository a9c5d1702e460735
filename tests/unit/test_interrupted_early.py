"""Ctrl-C while a command is being imported: the process ends, without a traceback of whatever import it was."""

from __future__ import annotations

import signal
import subprocess
import sys

EARLY = """
import os, signal, sys
import treadle.__main__ as entry
{before}
entry._parser = lambda words: os.kill(os.getpid(), signal.SIGINT) or os._exit(7)
sys.argv = ["treadle", "top"]
sys.exit(entry.main())
"""


def ended(before: str = "") -> subprocess.CompletedProcess[str]:
    code = EARLY.format(before=before)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_it_ends_the_process_at_once_and_says_nothing() -> None:
    done = ended("signal.signal(signal.SIGINT, signal.default_int_handler)")
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_where_it_is_ignored_it_stays_so() -> None:
    assert ended("signal.signal(signal.SIGINT, signal.SIG_IGN)").returncode == 7


def test_little_is_imported_before_that() -> None:
    code = "import sys, treadle.__main__; print({'argparse', 'dataclasses', 'importlib.metadata'} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "set()"

"""A process under test: its output in a file, and the ways it can be treated."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class Program:
    """A command that can be started, asked to stop, killed, paused, and started again; output adds up in `log`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        log: Path,
        folder: Path | None = None,
    ) -> None:
        """`folder`: where it runs; None: where the harness does."""
        self.name = name
        self.log = log
        self._command = tuple(command)
        self._environment = dict(environment)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C is for the harness."""
        assert not self.alive, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it runs, or is paused."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process that was started last."""
        return self._started.pid

    @property
    def output(self) -> str:
        """All it has written, over all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait(self, seconds: float = 30.0) -> int:
        """Its exit code; minus the signal's number if one ended it.

        Raises:
            AssertionError: it still runs after `seconds`.
        """
        try:
            return self._started.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {seconds:g} s\n{self.tail()}") from None

    def stop(self, seconds: float = 30.0) -> int:
        """Ask it to stop (SIGTERM); its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """End it with SIGKILL: it alone, as the kernel would; its children have to notice."""
        if self.alive:
            self._started.kill()
        if self._process is not None:
            self._process.wait()

    def pause(self) -> None:
        """Stop its clock (SIGSTOP); its connections stay open."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused one go on."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._started.send_signal(number)

    def wait_for(self, pattern: str, seconds: float = 30.0) -> re.Match[str]:
        """The first match of `pattern` in its output.

        Raises:
            AssertionError: none within `seconds`, or it ended without.
        """
        end = time.monotonic() + seconds
        while True:
            alive = self.alive
            if (match := re.search(pattern, self.output, re.MULTILINE)) is not None:
                return match
            assert alive, f"{self.name} ended without {pattern!r}\n{self.tail()}"
            assert time.monotonic() < end, f"{self.name}: no {pattern!r} within {seconds:g} s\n{self.tail()}"
            time.sleep(0.05)

    def tail(self, lines: int = 30) -> str:
        """The end of its output, under its name."""
        return "\n".join([f"--- {self.name} ({self.log})", *self.output.splitlines()[-lines:]])

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was never started"
        return self._process

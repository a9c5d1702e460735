"""Where a program looks for a kubeconfig, and what it says when that is of no use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SEPARATOR = ":"  # of files in KUBECONFIG, which are read as one


@dataclass(frozen=True, slots=True)
class Sought:
    """The files looked at, which of them need not be there as long as one is; who named them; what to do else."""

    files: tuple[str, ...]
    named_by: str
    fix: str

    @property
    def joined(self) -> str:
        """The files as KUBECONFIG would name them."""
        return _SEPARATOR.join(self.files)

    def problem(self, reason: str) -> str:
        """What to say to who runs the program."""
        return f"kubeconfig {self.joined}, which {self.named_by}, cannot be used: {reason}; {self.fix}"


def sought(flag: str | None, variable: str | None, home: str) -> Sought:
    """What is to be read: the flag goes before the variable KUBECONFIG, and that before the file in the home folder."""
    if flag is not None:
        return Sought((flag,), "--kubeconfig names", "give --kubeconfig a file that can be")
    if files := _files(variable or ""):
        return Sought(files, "KUBECONFIG names", "set KUBECONFIG to a file that can be, or give --kubeconfig FILE")
    default = f"{home}/.kube/config"
    return Sought((default,), "is the default", "set KUBECONFIG to a file that can be, or give --kubeconfig FILE")


def _files(variable: str) -> tuple[str, ...]:
    return tuple(part for part in variable.split(_SEPARATOR) if part)


def absent(files: Sequence[str]) -> str:
    """The reason when none of the files is there."""
    return "there is no such file" if len(files) == 1 else "there is none of these files"

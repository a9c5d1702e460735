"""What can be wrong with a simulation's input."""

from __future__ import annotations


class InputError(Exception):
    """Raised when a flag or a file that it names cannot be used; the message names both and the fix (exit code 2)."""

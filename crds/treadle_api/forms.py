"""The patterns that fields of the API have to match, in words: whoever mistyped one reads these, not the pattern."""

from __future__ import annotations

from collections.abc import Mapping

# By the pattern as the definitions have it.
_WORDS: Mapping[str, str] = {
    r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)$": "0 to 100 with at most 4 decimals, in percent",
    r"^([0-9]{1,5}(h|m|s|ms)){1,4}$": "whole numbers with h, m, s or ms, largest unit hours: a day is 24h",
    r"^[0-9]{1,12}(\.[0-9]{1,9})?$": "a decimal number of at most 12 digits before the point and 9 behind",
    r"^[0-9]{1,9}(\.[0-9]{1,6})?$": "a decimal number of at most 9 digits before the point and 6 behind",
    r"^[0-9a-f]{64}$": "64 digits of lower-case hexadecimal, as sha256sum prints them",
    r"^([0-9a-f]{64})?$": "64 digits of lower-case hexadecimal, or empty",
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": "lower-case letters, digits and -, with a letter or digit at both ends",
    r"^[a-z]([-a-z0-9]*[a-z0-9])?$": "lower-case letters, digits and -, with a letter first and no - at the end",
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$": (
        "lower-case letters, digits, - and ., with a letter or digit at both ends and beside each point"
    ),
    r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$": (
        "letters, digits, -, _ and ., with a letter or digit at both ends"
    ),
    r"^[A-Za-z0-9]([-A-Za-z0-9_.:]*[A-Za-z0-9])?$": (
        "letters, digits, -, _, . and :, with a letter or digit at both ends"
    ),
    r"^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?):[1-9][0-9]{0,4}$": "HOST:PORT",
    r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$": "printable, without spaces at the ends",
    r"^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z$": (
        "a time in UTC as RFC 3339 has it"
    ),
    r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$": "letters, digits, _, comma and :, with a letter first",
    r"^[A-Za-z][A-Za-z0-9]*$": "letters and digits, with a letter first",
}


def in_words(pattern: str) -> str:
    """What a string that matches `pattern` must be; the pattern itself where nobody wrote words."""
    anchored = pattern if pattern.startswith("^") else f"^{pattern}$"
    return _WORDS.get(anchored, f"of the form {pattern}")

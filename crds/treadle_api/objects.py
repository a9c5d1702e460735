"""What all objects of the API have in common: version, identity, and the forms of names that several kinds carry."""

from __future__ import annotations

import re
from collections.abc import Mapping

from treadle_api.fields import Fields, FieldValueError
from treadle_api.units import UnitError, parse_decimal

API_VERSION = "treadle.dev/v1alpha1"
DEFAULT_NAMESPACE = "default"

LABEL_LENGTH = 63
SUBDOMAIN_LENGTH = 253
ADDRESS_LENGTH = 261
DEVICE_MODEL_LENGTH = 128
MOST_DEVICES = 64
MOST_BYTES = 1 << 50
LARGEST_INT32 = (1 << 31) - 1
LARGEST_INT = (1 << 53) - 1  # the largest that every JSON reader keeps exactly
DECIMAL_LENGTH = 22

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # DNS-1123
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")  # DNS-1123
SHA256 = re.compile(r"[0-9a-f]{64}")
ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?):[1-9][0-9]{0,4}")
DEVICE_ID = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.:]*[A-Za-z0-9])?")
PRINTABLE = re.compile(r"[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?")
_ARCHITECTURE = re.compile(r"([0-9a-f]{64})?")
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def document_of(manifest: Mapping[str, object], kind: str) -> Fields:
    """The fields of an object of a kind of ours.

    Raises:
        FieldError: it is of another version or kind.
    """
    document = Fields("", manifest)
    for key, expected in (("apiVersion", API_VERSION), ("kind", kind)):
        if (found := document.text(key, None, SUBDOMAIN_LENGTH)) != expected:
            raise FieldValueError(key, f"must be {expected}, is {found}")
    return document


def read_generation(fields: Fields, key: str) -> int:
    """An optional generation; 0 where there is none."""
    return fields.integer(key, 0, LARGEST_INT, 0)


def read_decimal(fields: Fields, key: str) -> float:
    """A required number, not negative, as a plain decimal string."""
    return fields.parsed(key, _decimal, DECIMAL_LENGTH)


def read_address(fields: Fields, key: str) -> str:
    """An optional HOST:PORT; empty where there is none."""
    return fields.text(key, ADDRESS, ADDRESS_LENGTH) if fields.has(key) else ""


def read_architecture(fields: Fields, key: str) -> str:
    """A required digest of a program without weights; empty for a model whose shapes are not all static."""
    return fields.text(key, _ARCHITECTURE, 64, least=0)


def _decimal(text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise UnitError(f"{text!r} is not a decimal number: write at most 12 digits before the point and 9 behind")
    return parse_decimal(text)

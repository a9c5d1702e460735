"""What the Dockerfiles begin with is pinned: to a date that people read, and to the digest that a builder goes by."""

from __future__ import annotations

import re

import pytest

from images.recipe import IMAGES, TREE, pinned_base

DOCKERFILES = tuple(sorted({image.dockerfile for image in IMAGES.values()}))
PINNED = re.compile(r"docker\.io/library/debian:bookworm-\d{8}-slim@sha256:[0-9a-f]{64}")


def from_elsewhere(text: str) -> set[str]:
    """What a Dockerfile takes from outside of itself: by FROM, and by `from` of COPY, ADD and RUN --mount."""
    stages: set[str] = set()
    found = set()
    for line in re.sub(r"\\\n", " ", text).splitlines():
        instruction, _, rest = line.strip().partition(" ")
        taken = re.findall(r"\bfrom=([^\s,]+)", rest)
        if instruction.upper() == "FROM":
            words = [word for word in rest.split() if not word.startswith("--")]
            taken = words[:1]
            found |= set(taken) - stages
            stages |= {words[2]} if len(words) == 3 else set()
        elif not instruction.startswith("#"):
            found |= set(taken) - stages
    return found


def test_there_are_both():
    assert DOCKERFILES == ("Dockerfile.agent", "Dockerfile.operator")
    assert set(DOCKERFILES) == {path.name for path in TREE.glob("Dockerfile*")}


@pytest.mark.parametrize("name", DOCKERFILES)
def test_nothing_is_taken_from_outside_but_the_pinned_base(name: str):
    text = (TREE / name).read_text()
    assert from_elsewhere(text) == {"${BASE}"}
    head, _, _ = text.partition("\nFROM ")
    assert re.findall(r"^ARG (.*)$", head, re.MULTILINE) == [f"BASE={pinned_base()}"]
    assert PINNED.fullmatch(pinned_base()), "a tag is moved: give the digest, and the date of what it stands for"
    assert re.findall(r"^ARG BASE\b.*$", text, re.MULTILINE)[1:] == ["ARG BASE"], "for a label, and with no other value"
    assert not re.search(r"^#\s*syntax\s*=", text, re.MULTILINE), "a front end is an image, too"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("FROM debian", "debian"),
        ("from --platform=linux/amd64 debian:12 AS other", "debian:12"),
        ("COPY --from=ghcr.io/x/y:1 /a /b", "ghcr.io/x/y:1"),
        ("RUN --mount=type=bind,from=x/y,target=/x \\\n    true", "x/y"),
    ],
)
def test_what_else_would_be_taken_is_seen(line: str, found: str):
    assert from_elsewhere(f"FROM ${{BASE}} AS base\n{line}\nFROM base AS last\nCOPY --from=last /a /b\n") == {
        "${BASE}",
        found,
    }

"""What the images install is within the bounds that pyproject.toml sets, wherever those are written down again."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from images.recipe import TREE

PYPROJECT = tomllib.loads((TREE / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
# As the Makefile has them: a lock, then what it is made from.
LOCKS = dict(re.findall(r"^\t\$\(LOCK\) -o (\S+) (.+)$", (TREE / "Makefile").read_text(), re.MULTILINE))


def listed(name: str) -> list[Requirement]:
    """The requirements in a file for pip."""
    lines = (line.partition(" #")[0].strip() for line in (TREE / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def ours(extras: list[str]) -> Iterator[Requirement]:
    """What pyproject.toml requires, with extras, and the extras in these."""
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    for one in (Requirement(text) for group in groups for text in group):
        if one.name == PROJECT["name"]:
            yield from ours(sorted(one.extras))
        else:
            yield one


def sources(words: list[str]) -> Iterator[Requirement]:
    """What a lock is made from."""
    extras = [extra for flag, extra in itertools.pairwise(words) if flag == "--extra"]
    for word in words:
        if word == "pyproject.toml":
            yield from ours(extras)
        elif word.endswith(".in"):
            yield from listed(word)


def locked(name: str) -> dict[str, str]:
    """The versions in a lock, by package."""
    found = re.findall(r"^([\w.-]+)==(\S+)", (TREE / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


def test_the_operators_requirements_are_those_of_the_project() -> None:
    operators = {str(one) for one in listed("requirements/operator.in")}
    assert operators <= {str(one) for one in ours(["operator"])}
    assert operators >= {str(Requirement(text)) for text in PROJECT["optional-dependencies"]["operator"]}


def test_what_builds_is_what_the_project_builds_with() -> None:
    assert listed("requirements/build.in") == [Requirement(text) for text in PYPROJECT["build-system"]["requires"]]


def test_every_lock_is_one_that_the_makefile_makes() -> None:
    assert sorted(LOCKS) == sorted(str(path.relative_to(TREE)) for path in TREE.glob("requirements/*.lock"))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_within_the_bounds_of_what_it_is_made_from(name: str) -> None:
    required = list(sources(shlex.split(LOCKS[name])))
    versions = locked(name)
    assert required
    outside = [str(one) for one in required if not one.specifier.contains(versions[canonicalize_name(one.name)])]
    assert outside == []

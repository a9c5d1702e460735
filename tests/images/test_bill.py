"""The software bill of materials in an image lists what is installed there, all of it and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import pytest

from images import store
from images.recipe import Image, version

pytestmark = pytest.mark.images

Said = Callable[[Image, str], str]


def bill(image: Image) -> Mapping[str, Any]:
    return dict(json.loads(store.bill(image).read_text()))


def normal(name: str) -> str:
    """A Python package's name as its index has it."""
    return re.sub("[-_.]+", "-", name).lower()


def is_debians(component: Mapping[str, Any]) -> bool:
    return bool(component.get("purl", "").startswith("pkg:deb/debian/"))


def told_by_urls(components: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Names and versions, as scanners have them."""
    urls = (re.fullmatch(r"pkg:(?:pypi|deb/debian)/([^@?]+)@([^?]+)(?:\?.*)?", one["purl"]) for one in components)
    return sorted((unquote(url[1]), unquote(url[2])) for url in urls if url is not None)


def test_it_lists_the_python_packages_that_are_installed(image: Image, said: Said) -> None:
    script = (
        "from importlib.metadata import distributions\n"
        "print(*sorted(f'{d.name}=={d.version}' for d in distributions()))"
    )
    words = said(image, f'python -c "{script}"').split()
    installed = sorted((normal(name), number) for name, _, number in (word.partition("==") for word in words))
    components = [one for one in bill(image)["components"] if not is_debians(one)]
    assert sorted((normal(one["name"]), one["version"]) for one in components) == installed
    ours = ("treadle", version())  # which is in no index: a package of that name there is somebody else's
    assert told_by_urls(one for one in components if one["name"] != "treadle") == [
        one for one in installed if one != ours
    ]
    assert ["purl" in one for one in components if one["name"] == "treadle"] == [False]


def test_it_lists_debians_packages_that_are_installed(image: Image, said: Said) -> None:
    shown = "dpkg-query --show --showformat='${db:Status-Abbrev}${Package} ${Version}\\n'"
    lines = [line.split() for line in said(image, shown).splitlines()]
    installed = sorted((name, number) for status, name, number in lines if status == "ii")
    assert {"tini", "python3", "libc6"} <= {name for name, _ in installed}
    components = [one for one in bill(image)["components"] if is_debians(one)]
    assert sorted((one["name"], one["version"]) for one in components) == installed
    assert told_by_urls(components) == installed


def test_it_is_about_the_image(image: Image) -> None:
    found = bill(image)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    subject = found["metadata"]["component"]
    named = subject["type"], subject["name"], subject["version"]
    assert named == ("container", f"treadle-{image.program}", version())
    (direct,) = (one["dependsOn"] for one in found["dependencies"] if one["ref"] == subject["bom-ref"])
    assert sorted(direct) == sorted(component["bom-ref"] for component in found["components"])


def test_what_depends_on_what_is_told(image: Image) -> None:
    found = bill(image)
    names = {component["bom-ref"]: component["name"] for component in found["components"]}
    edges = {names.get(one["ref"]): {names[ref] for ref in one.get("dependsOn", ())} for one in found["dependencies"]}
    assert "multidict" in edges["aiohttp"]


def test_the_file_beside_the_archive_is_the_one_in_the_image(image: Image, said: Said) -> None:
    assert said(image, f"cat /{image.bill}") == store.bill(image).read_text()

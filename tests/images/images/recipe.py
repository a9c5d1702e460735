"""The images there are, and what each is made from: a digest of that names it."""

from __future__ import annotations

import hashlib
import platform
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).parents[3]
PACKAGES = ("crds", "agent", "operator", "cli")
BUILDER = "tests/images/images/build.py"
BASE_BUILDER = "tests/images/images/base.py"
SHARED = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    ".containerignore",
    "requirements/build.lock",
    "requirements/sbom.lock",
    "requirements/sbom.py",
    BUILDER,
)

# Stands in for Debian's own slim image, whose date the Dockerfiles give. Like there, documentation and translations are
# left out, of packages that are installed later, too.
SUITE = "bookworm"
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*")
KEPT = ("/usr/share/doc/*/copyright",)


@dataclass(frozen=True, slots=True)
class Image:
    """One image: the Dockerfile it is made by, the lock of what is installed in it, its build arguments and its tag."""

    name: str
    dockerfile: str
    lock: str
    arguments: tuple[str, ...] = ()
    suffix: str = ""

    @property
    def program(self) -> str:
        """What it is for: `operator` or `agent`."""
        return self.dockerfile.removeprefix("Dockerfile.")

    @property
    def repository(self) -> str:
        """The image's name where it is used; `localhost` is never asked for over a network."""
        return f"localhost/treadle-{self.program}"

    @property
    def bill(self) -> str:
        """Where in it its software bill of materials lies, from its root."""
        return f"var/lib/db/sbom/{self.repository.rpartition('/')[2]}.cdx.json"

    @property
    def reference(self) -> str:
        """Repository and tag: treadle's version, and for which CUDA."""
        return f"{self.repository}:{version()}{self.suffix}"


IMAGES = {
    image.name: image
    for image in (
        Image("operator", "Dockerfile.operator", "operator.lock"),
        Image("agent", "Dockerfile.agent", "agent-none.lock", ("CUDA=none",)),
        Image("agent-cuda12", "Dockerfile.agent", "agent-12.lock", ("CUDA=12",), "-cuda12"),
        Image("agent-cuda13", "Dockerfile.agent", "agent-13.lock", ("CUDA=13",), "-cuda13"),
    )
}


def version(tree: Path = TREE) -> str:
    """Treadle's, as pyproject.toml has it."""
    with (tree / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def pinned_base(tree: Path = TREE) -> str:
    """The image that the Dockerfiles begin with where there is a registry."""
    found = {
        match
        for image in IMAGES.values()
        for match in re.findall(r"^ARG BASE=(\S+)$", (tree / image.dockerfile).read_text(), re.MULTILINE)
    }
    assert len(found) == 1, f"the Dockerfiles begin with {found or 'nothing'}"
    return str(found.pop())


def base_digest(tree: Path = TREE) -> str:
    """Changes whenever another base would come out, and with the date of the one it stands in for."""
    return _digest([platform.machine(), SUITE, *LEFT_OUT, *KEPT, pinned_base(tree), _digest_of(tree / BASE_BUILDER)])


def digest(image: Image, tree: Path = TREE) -> str:
    """Changes whenever another image would come out."""
    names = [*SHARED, image.dockerfile, f"requirements/{image.lock}"]
    files = [tree / name for name in names]
    for package in PACKAGES:
        files += sorted(path for path in (tree / package).rglob("*") if path.is_file() and _is_source(path))
    parts = [base_digest(tree), *image.arguments]
    for file in files:
        parts += [str(file.relative_to(tree)), _digest_of(file)]
    return _digest(parts)


def _is_source(path: Path) -> bool:
    return "__pycache__" not in path.parts


def _digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

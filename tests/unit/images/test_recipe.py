"""What names an image covers all that it comes of, and `make images` finds all its tests."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from images.recipe import BASE_BUILDER, BUILDER, IMAGES, PACKAGES, SHARED, TREE, base_digest, digest

AGENT = IMAGES["agent"]
LOCKS = tuple(f"requirements/{image.lock}" for image in IMAGES.values())
DOCKERFILES = tuple(sorted({image.dockerfile for image in IMAGES.values()}))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What images are made of, to be changed."""
    for name in (*SHARED, *LOCKS, *DOCKERFILES, BASE_BUILDER):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / name, tmp_path / name)
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "module.py").touch()
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [*SHARED, AGENT.dockerfile, f"requirements/{AGENT.lock}", BASE_BUILDER, *(f"{p}/module.py" for p in PACKAGES)],
)
def test_another_image_has_another_name(tree: Path, name: str) -> None:
    before = digest(AGENT, tree)
    with (tree / name).open("a") as file:
        file.write("\n")
    assert digest(AGENT, tree) != before


def test_a_base_that_is_made_in_another_way_has_another_name(tree: Path) -> None:
    before = base_digest(tree)
    with (tree / BUILDER).open("a") as file:
        file.write("\n")
    assert base_digest(tree) == before, "it takes minutes"
    with (tree / BASE_BUILDER).open("a") as file:
        file.write("\n")
    assert base_digest(tree) != before


def test_the_builders_are_the_modules_that_run() -> None:
    from images import base, build

    assert [Path(module.__file__ or "") for module in (build, base)] == [TREE / BUILDER, TREE / BASE_BUILDER]


def test_make_images_collects_the_tests_of_images_alone() -> None:
    marked = {
        path.parent.relative_to(TREE).as_posix()
        for path in (TREE / "tests").rglob("test_*.py")
        if "pytestmark = pytest.mark.images" in path.read_text().splitlines()
    }
    lines = (TREE / "Makefile").read_text().splitlines()
    words = [shlex.split(line) for line in lines if "pytest -m" in line and "images" in line]
    folders = {line[line.index("-m", line.index("pytest")) + 1]: line[-2] for line in words}
    assert folders == {"images and not cuda_images": "tests/images", "cuda_images": "tests/images"}
    assert marked == {"tests/images"}

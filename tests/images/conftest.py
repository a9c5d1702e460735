"""The images that `make images` and `make cuda-images` built, and containers that end with the test, or the harness."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from bed.lifeline import Lifeline
from bed.program import Program
from images import container, store
from images.recipe import IMAGES, Image

Containers = Callable[..., Program]


CUDA = [pytest.param(name, marks=pytest.mark.cuda_images) for name in ("agent-cuda12", "agent-cuda13")]


@pytest.fixture(scope="session", autouse=True)
def held() -> Iterator[None]:
    """The images stay in the store for as long as the tests run."""
    with store.held(print, alone=False):
        yield


def built(name: str) -> Image:
    """This tree's image of that name."""
    image = IMAGES[name]
    if not store.is_there(store.local(image)):
        target = "cuda-images" if image.suffix else "images"
        pytest.fail(f"this tree's image {name} is not built: run `make {target}`", pytrace=False)
    return image


@pytest.fixture(scope="session")
def operator_image() -> Image:
    return built("operator")


@pytest.fixture(scope="session", params=["agent", *CUDA])
def agent_image(request: pytest.FixtureRequest) -> Image:
    """Each of the agent's images in turn."""
    return built(request.param)


@pytest.fixture(scope="session", params=CUDA)
def cuda_image(request: pytest.FixtureRequest) -> Image:
    """Each image with CUDA in turn."""
    return built(request.param)


@pytest.fixture(scope="session", params=["operator", "agent", *CUDA])
def image(request: pytest.FixtureRequest) -> Image:
    """Each image in turn."""
    return built(request.param)


@pytest.fixture(scope="session")
def lifeline() -> Iterator[Lifeline]:
    with Lifeline() as line:
        yield line


def fresh(word: str) -> str:
    """A name that no other container has."""
    return f"treadle-{word}-{secrets.token_hex(4)}"


@pytest.fixture
def contained(lifeline: Lifeline, tmp_path: Path) -> Iterator[Containers]:
    """Starts containers; takes what `container.run` does but the name, which is the program's."""
    programs: list[Program] = []

    def start(image: Image, *words: str, environment: Mapping[str, str] | None = None, **terms: object) -> Program:
        name = fresh(image.name)
        mark, _, value = lifeline.mark.partition("=")
        command = container.run(image, name, *words, environment={**(environment or {}), mark: value}, **terms)
        program = Program(name, command, lifeline.environment(), tmp_path / f"{name}.log")
        programs.append(program)
        program.start()
        return program

    yield start
    for program in programs:
        if program.alive:
            store.said(store.podman("rm", "--force", "--ignore", "--time=0", program.name))
            program.kill()
        sys.stdout.write(f"{program.tail(100)}\n")  # which is shown if the test fails


@pytest.fixture
def said() -> Callable[[Image, str], str]:
    """What a shell script prints in a container of an image."""
    return lambda image, script: container.said(image, fresh("script"), script)

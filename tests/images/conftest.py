"""The images that `make images` built, and containers of them that end with the test, or with the harness."""

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


@pytest.fixture(scope="session", autouse=True)
def built() -> Iterator[Mapping[str, Image]]:
    """This tree's images; they stay in the store for as long as the tests run."""
    wanted = {name: IMAGES[name] for name in ("operator", "agent")}
    with store.held(print, alone=False):
        absent = [name for name, image in wanted.items() if not store.is_there(store.local(image))]
        if absent:
            pytest.fail(f"this tree's images are not built: {', '.join(absent)}; run `make images`", pytrace=False)
        yield wanted


@pytest.fixture(scope="session")
def agent_image(built: Mapping[str, Image]) -> Image:
    return built["agent"]


@pytest.fixture(scope="session")
def operator_image(built: Mapping[str, Image]) -> Image:
    return built["operator"]


@pytest.fixture(params=["operator", "agent"])
def image(request: pytest.FixtureRequest, built: Mapping[str, Image]) -> Image:
    """Each image in turn."""
    return built[request.param]


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

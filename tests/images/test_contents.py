"""What is in the images, and what is not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from images import store
from images.container import facts
from images.environment import pip_settings
from images.recipe import TREE, Image, version

pytestmark = pytest.mark.images

Said = Callable[[Image, str], str]
TOOLS = ("pip", "pip3", "gcc", "cc", "c++", "g++", "clang", "ld", "as", "make", "git", "curl", "wget", "nvcc")


def test_no_tool_that_builds_or_fetches(image: Image, said: Said) -> None:
    assert said(image, f"for tool in {' '.join(TOOLS)}; do command -v $tool; done; echo looked") == "looked\n"
    for module in ("pip", "ensurepip", "setuptools"):
        assert f"No module named '{module}'" in said(image, f"python -c 'import {module}'")


def test_no_file_gives_rights_to_who_runs_it(image: Image, said: Said) -> None:
    assert said(image, "find / -xdev -type f -perm /6000 2>/dev/null; echo looked") == "looked\n"


def test_nothing_but_folders_for_it_is_writable_even_with_a_writable_root(image: Image, said: Said) -> None:
    theirs = "find / -xdev ! -type l '(' -perm -2 -o -user 65532 -o -group 65532 ')'"
    expected = {"/tmp", "/var/tmp", "/run/lock"} | ({"/var/cache/treadle"} if image.program == "agent" else set())
    assert set(said(image, f"{theirs} 2>/dev/null").split()) == expected


def test_nothing_of_the_machine_that_built_it(image: Image, said: Said) -> None:
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = pip_settings(listed.stdout)
    secret = [settings[key] for key in ("index-url", "extra-index-url", "cert") if key in settings]
    everything = json.dumps(facts(image)) + store.said(store.buildah("inspect", "--type=image", store.local(image)))
    assert str(Path.home() / "") not in re.sub(r'"(?:Lower|Upper|Work)Dir": "[^"]*"', "", everything)
    for value in secret:
        assert value not in everything
    assert "/etc/pip.conf" not in said(image, "ls /etc/*")
    left = said(image, "ls /run/secrets /*.lock /source /wheel /build 2>/dev/null; echo looked")
    assert left == "looked\n"


def test_every_package_is_one_of_the_lock(image: Image, said: Said) -> None:
    lock = (TREE / "requirements" / image.lock).read_text()
    locked = {(name.lower(), number) for name, number in re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE)}
    script = (
        "from importlib.metadata import distributions\n"
        "print(*sorted(f'{d.name}=={d.version}' for d in distributions()))"
    )
    installed = {tuple(word.lower().split("==")) for word in said(image, f'python -c "{script}"').split()}
    assert ("treadle", version()) in installed
    assert len(installed) > 20
    assert {(re.sub("[-_.]+", "-", name), number) for name, number in installed if name != "treadle"} <= locked


def test_labels_user_and_commands(image: Image) -> None:
    config = facts(image)["Config"]
    labels = config["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}version"] == version()
    assert labels[f"{prefix}licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{40}(-changed)?|unknown", labels[f"{prefix}revision"])
    assert all(labels[f"{prefix}{name}"] for name in ("title", "description", "base.name"))
    assert [f"CUDA={labels[name]}" for name in labels if name == "dev.treadle.cuda"] == [*image.arguments]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"][0] == "/usr/bin/tini"
    assert config["Entrypoint"][-2:] == ["-m", f"treadle_{image.program}"]


def test_all_of_it_can_be_imported_but_what_is_the_demos_or_the_benchmarks(image: Image, said: Said) -> None:
    packages = {
        "operator": ("treadle_api", "treadle_callers", "treadle_operator"),
        "agent": ("treadle_api", "treadle_callers", "treadle_agent", "treadle"),
    }
    script = (
        "import sys; from importlib import import_module; from pkgutil import walk_packages\n"
        "found, absent = 0, set()\n"
        "for package in sys.argv[1:]:\n"
        "    for module in walk_packages(import_module(package).__path__, package + '.'):\n"
        "        try: import_module(module.name); found += 1\n"
        "        except ModuleNotFoundError as error: absent.add(error.name)\n"
        "print(found > 20, *sorted(absent))"
    )
    many, *absent = said(image, f'python -c "{script}" {" ".join(packages[image.program])}').split()
    assert many == "True"
    allowed = {"matplotlib", "mlserver", "scipy", "sklearn", "threadpoolctl", "tritonclient"}
    assert set(absent) <= (allowed if image.program == "agent" else set())


def test_an_archive_names_the_image_as_the_chart_will(image: Image) -> None:
    listed = subprocess.run(
        ["tar", "--extract", "--to-stdout", f"--file={store.archive(image)}", "manifest.json"],
        capture_output=True,
        check=True,
    )
    (manifest,) = json.loads(listed.stdout)
    assert manifest["RepoTags"] == [image.reference] == [f"localhost/treadle-{image.program}:{version()}{image.suffix}"]

"""docs/images.md says what is so; the other tests hold what it promises of a container."""

from __future__ import annotations

import re

import pytest

from images.container import facts
from images.recipe import IMAGES, TREE, Image

pytestmark = pytest.mark.images

PAGE = (TREE / "docs" / "images.md").read_text()


def test_the_page_lists_the_images() -> None:
    listed = re.findall(r"^\| `(\S+)` \| `(\S+)` \|", PAGE, re.MULTILINE)
    assert [f"localhost/{name}:{tag}" for name, tag in listed] == [image.reference for image in IMAGES.values()]


def test_the_bill_is_where_the_page_reads_it() -> None:
    assert f"{IMAGES['agent'].reference.partition('/')[2]} /{IMAGES['agent'].bill} " in PAGE


def test_the_ports_and_the_user_are_the_images(image: Image) -> None:
    config = facts(image)["Config"]
    (port,) = config["ExposedPorts"]
    assert f"the {image.program} on port {port.removesuffix('/tcp')}" in PAGE
    assert f"user and group {config['User'].partition(':')[0]}," in PAGE

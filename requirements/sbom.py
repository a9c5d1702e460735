"""Writes an image's software bill of materials, as CycloneDX JSON: its Python packages and Debian's.

    python sbom.py NAME VERSION

NAME and VERSION are the image's. It runs in a stage of the build that has all that the image has installed, by a Python
that has `sbom.lock` besides, and is left behind.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterator

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

PYTHON = "/opt/treadle/bin/python"
FIELDS = ("db:Status-Abbrev", "Package", "Version", "Architecture", "source:Package", "source:Version")


def main(name: str, version: str) -> None:
    """Print the bill."""
    bom = python_packages()
    bom.components.update(debian_packages())
    image = Component(name=name, version=version, type=ComponentType.CONTAINER, bom_ref=name)
    bom.metadata.component = image
    bom.register_dependency(image, bom.components)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"the bill is not CycloneDX: {wrong}")
    print(text)


def python_packages() -> Bom:
    """A bill of what the image's virtual environment has."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", PYTHON]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    bom: Bom = Bom.from_json(json.loads(done.stdout))
    return bom


def debian_packages() -> Iterator[Component]:
    """Debian's, with the source package where that has another name or version: advisories are about those."""
    distro = "{ID}-{VERSION_ID}".format(**platform.freedesktop_os_release())
    shown = "\t".join(f"${{{field}}}" for field in FIELDS) + "\n"
    command = ["dpkg-query", f"--showformat={shown}", "--show"]
    for line in subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
        status, name, version, architecture, source, source_version = line.split("\t")
        if status.strip() != "ii":
            continue  # removed, but for its settings
        qualifiers = {"arch": architecture, "distro": distro}
        if (source, source_version) != (name, version):
            qualifiers["upstream"] = source if source_version == version else f"{source}@{source_version}"
        purl = PackageURL("deb", "debian", name, version, qualifiers)
        yield Component(name=name, version=version, purl=purl, bom_ref=str(purl))


if __name__ == "__main__":
    main(*sys.argv[1:])

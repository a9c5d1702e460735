"""Where the CustomResourceDefinitions are: inside the wheel, or beside treadle_api in a checkout."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import yaml

TENANTS = "inferencetenants.treadle.dev"
REPLICAS = "inferencereplicas.treadle.dev"
NODES = "inferencenodes.treadle.dev"
PROFILES = "modelprofiles.treadle.dev"
ALL = (TENANTS, REPLICAS, NODES, PROFILES)


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of a custom resource: its identity and its OpenAPI v3 schema, as decoded from the definition.

    `selectable`: JSON paths that field selectors know, beside metadata's.
    """

    api_version: str
    kind: str
    schema: dict[str, object]
    short_name: str = ""
    namespaced: bool = True
    selectable: tuple[str, ...] = ()


def definition_text(name: str = TENANTS) -> str:
    """The YAML text of a CustomResourceDefinition; raises FileNotFoundError when the installation is damaged."""
    package = files("treadle_api")
    for folder in (package.joinpath("crds"), files("treadle_api").joinpath("..")):
        file = folder.joinpath(f"{name}.yaml")
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise FileNotFoundError(f"{name}.yaml is not beside {package}: install treadle again")


def read_definition(name: str = TENANTS) -> Definition:
    """The storage version of a CustomResourceDefinition."""
    spec = yaml.safe_load(definition_text(name))["spec"]
    version = next(version for version in spec["versions"] if version["storage"])
    return Definition(
        api_version=f"{spec['group']}/{version['name']}",
        kind=spec["names"]["kind"],
        schema=version["schema"]["openAPIV3Schema"],
        short_name=spec["names"]["shortNames"][0],
        namespaced=spec["scope"] == "Namespaced",
        selectable=tuple(field["jsonPath"] for field in version.get("selectableFields", ())),
    )

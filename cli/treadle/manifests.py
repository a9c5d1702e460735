"""Tenants from manifests on disk: what a cluster would accept, and why it would refuse the rest."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from treadle.crds import read_definition
from treadle.documents import DocumentError, each_document
from treadle.schema import ObjectSchema
from treadle_api.fields import FieldError
from treadle_api.objects import DEFAULT_NAMESPACE
from treadle_api.tenant import Model, Tenant, read_tenant, tier_field

SUFFIXES = frozenset({".yaml", ".yml", ".json"})

_TIER = re.compile(r"spec\.tiers\[(\d+)\]")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a tenant stands: file, and number of the document in it, counted from 1."""

    file: Path
    document: int

    def __str__(self) -> str:
        return f"{self.file} document {self.document}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A tenant that keeps all rules; its plain model paths are absolute."""

    tenant: Tenant
    source: Source


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that breaks a rule; one for each field. `key`: ``name.namespace``, or "" where that cannot be read."""

    source: Source
    key: str
    field: str
    reason: str

    @property
    def identity(self) -> tuple[Path, int | str, str, str]:
        """What stays the same while other documents of the file come and go."""
        return self.source.file, self.key or self.source.document, self.field, self.reason

    def __str__(self) -> str:
        return f"{self.source}: {f'{self.field}: ' if self.field else ''}{self.reason}"


@dataclass(frozen=True, slots=True)
class Manifests:
    """All documents of a file or folder, in the order of file names and documents."""

    accepted: tuple[Accepted, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def refused(self) -> int:
        """Number of documents refused: one may break many rules."""
        return len({refusal.source for refusal in self.refusals})


NOTHING = Manifests()


class ManifestReader:
    """Reads manifests against the InferenceTenant definition."""

    def __init__(self) -> None:
        self._schema = ObjectSchema(read_definition())

    def read(self, path: Path, before: Manifests = NOTHING) -> Manifests:
        """All tenants of a file, or of the YAML and JSON files right inside a folder.

        A tenant that stands in several files is that of the first one; where `before` had it of another, of that one.

        Raises:
            OSError: `path` itself cannot be read.
        """
        homes = {accepted.tenant.key: accepted.source.file for accepted in before.accepted}
        accepted: dict[str, Accepted] = {}
        refusals: list[Refusal] = []
        for file in manifest_files(path):
            for outcome in self._read_file(file):
                if isinstance(outcome, Refusal):
                    refusals.append(outcome)
                    continue
                key = outcome.tenant.key
                first = accepted.get(key, outcome)
                if first is not outcome:
                    second = outcome
                    if first.source.file != homes.get(key) == second.source.file:
                        first, second = second, first
                    reason = f"{key} is defined in {first.source} already"
                    refusals.append(Refusal(second.source, key, "metadata.name", reason))
                accepted[key] = first
        return Manifests(tuple(accepted.values()), tuple(refusals))

    def _read_file(self, file: Path) -> Iterator[Accepted | Refusal]:
        try:
            for found in each_document(file):
                if isinstance(found, DocumentError):
                    yield Refusal(Source(file, found.document), "", "", str(found))
                else:
                    number, manifest = found
                    yield from self._outcomes(Source(file, number), manifest)
        except OSError as error:
            yield Refusal(Source(file, 1), "", "", f"cannot be read: {error.strerror}")

    def _outcomes(self, source: Source, manifest: Mapping[str, object]) -> Sequence[Accepted | Refusal]:
        try:
            return [*self._check(source, manifest)]
        except RecursionError:
            return [Refusal(source, "", "", "is nested too deeply")]
        except Exception as error:  # noqa: BLE001 - a check that fails must not stop the other tenants
            _log.exception("%s cannot be checked", source)
            return [Refusal(source, "", "", f"treadle cannot check it: {error!r}")]

    def _check(self, source: Source, manifest: Mapping[str, object]) -> Iterator[Accepted | Refusal]:
        completed = self._schema.complete(manifest)
        key = _key(completed)
        if problems := self._schema.problems(completed):
            if any(problem.field.startswith("metadata.name") for problem in problems):
                key = ""  # whose document it was cannot be told from a name that nobody can have
            yield from (Refusal(source, key, _by_name(completed, one.field), one.reason) for one in problems)
            return
        try:
            yield Accepted(_resolved(read_tenant(completed), source.file.parent.absolute()), source)
        except FieldError as error:
            yield Refusal(source, key, _by_name(completed, error.field), error.reason)


def manifest_files(path: Path) -> list[Path]:
    """The manifest files of a file or folder, in the order of their names; hidden files are left out.

    Raises:
        OSError: `path` is neither, or cannot be listed.
    """
    if not path.is_dir():
        path.stat()
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith("."))


def retain(before: Manifests, now: Manifests) -> Manifests:
    """What to serve after an edit: as in a cluster, a refused edit leaves the object as it was.

    A tenant accepted before stays when its document is refused now, or when its file holds a refused document that
    cannot be told apart.
    """
    keys = {accepted.tenant.key for accepted in now.accepted}
    refused_keys = {refusal.key for refusal in now.refusals if refusal.key}
    unreadable = {refusal.source.file for refusal in now.refusals if not refusal.key}
    kept = tuple(
        accepted
        for accepted in before.accepted
        if accepted.tenant.key not in keys
        and (accepted.tenant.key in refused_keys or accepted.source.file in unreadable)
    )
    return Manifests(now.accepted + kept, now.refusals)


def _key(manifest: Mapping[str, object]) -> str:
    metadata = manifest.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        return ""
    return f"{metadata['name']}.{metadata.get('namespace') or DEFAULT_NAMESPACE}"


def _by_name(manifest: Mapping[str, object], field: str) -> str:
    """A field with its tier's name instead of its number, as all who come to know the tenant call it; else as it is."""
    spec, found = manifest.get("spec"), _TIER.match(field)
    tiers = spec.get("tiers") if isinstance(spec, Mapping) else None
    if found is None or not isinstance(tiers, Sequence):
        return field
    names = [tier.get("name") if isinstance(tier, Mapping) else None for tier in tiers]
    name = names[int(found[1])]
    if not isinstance(name, str) or not name or names.count(name) > 1:
        return field
    return tier_field(name) + field[found.end() :]


def _resolved(tenant: Tenant, folder: Path) -> Tenant:
    tiers = tuple(
        tier if "://" in tier.model.uri else replace(tier, model=Model(str(folder / tier.model.uri), tier.model.sha256))
        for tier in tenant.tiers
    )
    return replace(tenant, tiers=tiers)

"""An InferenceTenant, read once into frozen objects.

The rules are those of crds/inferencetenants.treadle.dev.yaml, which a test with generated objects holds this module to;
the schema says what each field means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from treadle_api.fields import ContradictionError, Fields, FieldValueError
from treadle_api.objects import (
    DEFAULT_NAMESPACE,
    LABEL,
    LABEL_LENGTH,
    PRINTABLE,
    SHA256,
    SUBDOMAIN,
    SUBDOMAIN_LENGTH,
    document_of,
)
from treadle_api.units import (
    Percent,
    PerSecond,
    Seconds,
    TenantName,
    TierName,
    UnitError,
    format_decimal,
    parse_decimal,
    parse_duration,
)

KIND = "InferenceTenant"
PLURAL = "inferencetenants"

MOST_TIERS = 16
NAME_LENGTH = 55  # the tenant's Service is NAME-treadle, and a Service's name has at most 63 characters
LONGEST_DEADLINE = Seconds(3600)
SHORTEST_WINDOW, LONGEST_WINDOW = Seconds(60), Seconds(90 * 86400)

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # DNS-1035: it names a Service
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_PERCENT = re.compile(r"100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?")
_RATE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_PRECISION = re.compile("Float32|TF32|Float16")
_SCHEMED = re.compile(r"https://[^/?#]+/.+|s3://[^/?#]+/[^?#]+|oci://[^/?#]+/[^?#]+|file:///.+")


_FORMS = "must be https://HOST/PATH, s3://BUCKET/KEY, oci://REGISTRY/NAME:TAG, file:///PATH, or a path"


class SwitchingMode(StrEnum):
    """Whether requests choose among the tiers, or one tier answers all of them."""

    AUTOMATIC = "Automatic"
    PINNED = "Pinned"


class Precision(StrEnum):
    """How precisely a GPU computes a tier; the schema says what each is."""

    FLOAT32 = "Float32"
    TF32 = "TF32"
    FLOAT16 = "Float16"


def in_words(precision: Precision) -> str:
    """What to say of it behind a tier: nothing where it is what everybody expects."""
    return "" if precision is Precision.FLOAT32 else f", {precision}"


def at_precision(name: str, precision: Precision) -> str:
    """A model's or an architecture's name with how precisely it is computed: what differs in that shares nothing."""
    return name if precision is Precision.FLOAT32 or not name else f"{name} {precision}"


@dataclass(frozen=True, slots=True)
class Slo:
    """The promise: `objective` percent of a `window`'s requests are answered within `deadline`, by tiers of at least
    `min_accuracy`.
    """

    deadline: Seconds
    objective: Percent
    window: Seconds
    min_accuracy: Percent


@dataclass(frozen=True, slots=True)
class Model:
    """Where a tier's ONNX file is: a URI, or a path; `sha256` in hexadecimal, or None when not given.

    `secret`: the name of the Secret, in the tenant's namespace, with what its server asks for; or None.
    """

    uri: str
    sha256: str | None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """One accuracy level of a tenant; `accuracy` in percent of held-out inputs answered correctly."""

    name: TierName
    accuracy: Percent
    model: Model
    precision: Precision = Precision.FLOAT32


@dataclass(frozen=True, slots=True)
class Replicas:
    """Devices that serve a tenant; `minimum` <= `maximum`."""

    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Tenant:
    """The owner of an SLO and of its isolation: one InferenceTenant.

    `tiers` from most to least accurate, in the manifest's order where equal. `priority`: 1 is the highest.
    `pinned`: the only tier to serve, or None. `requests_per_second`: the expected load, or None when not given.
    """

    name: TenantName
    namespace: str
    slo: Slo
    tiers: tuple[Tier, ...]
    requests_per_second: PerSecond | None
    priority: int
    replicas: Replicas
    node_selector: tuple[tuple[str, str], ...]
    pinned: TierName | None

    @property
    def key(self) -> str:
        """``name.namespace``: unambiguous, since both are DNS labels."""
        return f"{self.name}.{self.namespace}"

    @property
    def served_tiers(self) -> tuple[Tier, ...]:
        """The tiers at or above the accuracy floor: no other may ever answer. At least one."""
        return tuple(tier for tier in self.tiers if tier.accuracy >= self.slo.min_accuracy)


def read_tenant(manifest: Mapping[str, object]) -> Tenant:
    """Read a decoded InferenceTenant; fields that this version does not know are ignored, as the API server's are.

    Raises:
        FieldError: a field is missing, malformed or contradicts another; the error names it.
    """
    document = document_of(manifest, KIND)
    metadata = document.child("metadata")
    name = read_tenant_name(metadata, "name")
    return read_tenant_spec(document.child("spec"), name, read_namespace(metadata))


def doubts(tenant: Tenant) -> Iterator[str]:
    """What is allowed, and hardly meant: field and reason, for whoever wrote the manifest."""
    best = tenant.tiers[0]
    if 0 < best.accuracy <= 1:
        told, meant = (format_decimal(value, 6) for value in (best.accuracy, best.accuracy * 100))
        reason = f"is in percent: {told} means {told} %; {meant} is what the ratio {told} is in percent"
        yield f"{tier_field(best.name)}.accuracy: {reason}"


def tier_field(name: str) -> str:
    """A tier's field, by its name: `Tenant.tiers` are not in the manifest's order."""
    return f"spec.tiers[{name}]"


def read_tenant_name(fields: Fields, key: str) -> TenantName:
    """A member that is a tenant's name; raises FieldError."""
    return TenantName(fields.text(key, _NAME, NAME_LENGTH))


def read_namespace(metadata: Fields) -> str:
    """The namespace of an object; raises FieldError."""
    return metadata.text("namespace", LABEL, LABEL_LENGTH, DEFAULT_NAMESPACE)


def read_tenant_spec(spec: Fields, name: TenantName, namespace: str) -> Tenant:
    """The tenant that a spec describes: an InferenceTenant's, or the copy of it in an InferenceReplica.

    Raises:
        FieldError: a field is missing, malformed or contradicts another; the error names it.
    """
    slo = _read_slo(spec.child("slo"))
    tiers = tuple(_read_tier(item) for item in spec.children("tiers", MOST_TIERS, unique="name"))
    best = max(tier.accuracy for tier in tiers)
    if slo.min_accuracy > best:
        raise ContradictionError(
            f"{spec.path}.slo.minAccuracy", f"{slo.min_accuracy:g} is above the best tier's {best:g}"
        )
    return Tenant(
        name=name,
        namespace=namespace,
        slo=slo,
        tiers=tuple(sorted(tiers, key=lambda tier: -tier.accuracy)),
        requests_per_second=_read_load(spec.child("load")) if spec.has("load") else None,
        priority=spec.integer("priority", 1, 10, 5),
        replicas=_read_replicas(spec.child("replicas", optional=True)),
        node_selector=_read_node_selector(spec),
        pinned=_read_switching(spec.child("switching", optional=True), tiers, slo),
    )


def _read_slo(slo: Fields) -> Slo:
    deadline = slo.parsed("deadline", parse_duration, 28)
    if not 0 < deadline <= LONGEST_DEADLINE:
        raise FieldValueError(slo.field("deadline"), "must be longer than zero and at most 1h")
    objective = slo.parsed("objective", _percent, 8, "99")
    if not 0 < objective < 100:
        raise FieldValueError(slo.field("objective"), "must be above 0 and below 100")
    window = slo.parsed("window", parse_duration, 28, "720h")
    if not SHORTEST_WINDOW <= window <= LONGEST_WINDOW:
        raise FieldValueError(slo.field("window"), "must be 1m to 2160h (90 days)")
    return Slo(deadline, objective, window, slo.parsed("minAccuracy", _percent, 8, "0"))


def _read_tier(tier: Fields) -> Tier:
    model = tier.child("model")
    uri = model.text("uri", PRINTABLE, 2048)
    if "://" in uri and not _SCHEMED.fullmatch(uri):
        raise FieldValueError(model.field("uri"), f"{uri!r} {_FORMS}")
    return Tier(
        name=TierName(tier.text("name", LABEL, LABEL_LENGTH)),
        accuracy=tier.parsed("accuracy", _percent, 8),
        model=Model(
            uri,
            model.text("sha256", SHA256, 64) if model.has("sha256") else None,
            model.text("secretName", SUBDOMAIN, SUBDOMAIN_LENGTH) if model.has("secretName") else None,
        ),
        precision=read_precision(tier),
    )


def read_precision(tier: Fields) -> Precision:
    """A tier's member `precision`; raises FieldError."""
    name = tier.text("precision", None, 16, Precision.FLOAT32)
    if name not in Precision.__members__.values():
        raise FieldValueError(tier.field("precision"), f"{name!r} must be one of {', '.join(Precision)}")
    return Precision(name)


def read_precisions(fields: Fields, key: str) -> tuple[Precision, ...]:
    """An optional list of precisions; raises FieldError."""
    return tuple(map(Precision, fields.texts(key, _PRECISION, 8, 16)))


def _read_load(load: Fields) -> PerSecond:
    rate = load.parsed("requestsPerSecond", _rate, 16)
    if rate <= 0:
        raise FieldValueError(load.field("requestsPerSecond"), "must be above 0; leave `load` out when it is not known")
    return rate


def _read_replicas(replicas: Fields) -> Replicas:
    minimum = replicas.integer("min", 1, 1000, 1)
    maximum = replicas.integer("max", 1, 1000, minimum)
    if minimum > maximum:
        raise ContradictionError(replicas.path, f"min {minimum} is above max {maximum}")
    return Replicas(minimum, maximum)


def _read_node_selector(spec: Fields) -> tuple[tuple[str, str], ...]:
    labels = spec.strings("nodeSelector", _LABEL_VALUE, 16, LABEL_LENGTH)
    for key in labels:
        if not 1 <= len(key) <= 317:  # a DNS name of 253, a slash and a name of 63
            raise FieldValueError(spec.field("nodeSelector"), "label keys must have 1 to 317 characters")
    return tuple(sorted(labels.items()))


def _read_switching(switching: Fields, tiers: tuple[Tier, ...], slo: Slo) -> TierName | None:
    mode = switching.text("mode", None, 16, SwitchingMode.AUTOMATIC)
    name = switching.text("tier", None, LABEL_LENGTH) if switching.has("tier") else None
    if mode not in SwitchingMode.__members__.values():
        raise FieldValueError(switching.field("mode"), f"{mode!r} must be one of {', '.join(SwitchingMode)}")
    if mode == SwitchingMode.AUTOMATIC:
        if name is not None:
            raise ContradictionError(switching.field("tier"), "is for mode Pinned only")
        return None
    if name is None:
        raise ContradictionError(switching.field("tier"), "mode Pinned needs the name of a tier")
    pinned = next((tier for tier in tiers if tier.name == name), None)
    if pinned is None:
        raise ContradictionError(switching.field("tier"), f"there is no tier {name!r}")
    if pinned.accuracy < slo.min_accuracy:
        raise ContradictionError(switching.field("tier"), f"tier {name!r} is below slo.minAccuracy")
    return pinned.name


def _percent(text: str) -> Percent:
    if not _PERCENT.fullmatch(text):
        raise UnitError(f"{text!r} is not a percentage: write 0 to 100 with at most four decimals, like 99 or 78.31")
    return Percent(parse_decimal(text))


def _rate(text: str) -> PerSecond:
    if not _RATE.fullmatch(text):
        raise UnitError(f"{text!r} is not a rate: write a decimal number like 250 or 0.5")
    return PerSecond(parse_decimal(text))

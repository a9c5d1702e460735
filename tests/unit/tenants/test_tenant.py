import pytest

from treadle_api.fields import ContradictionError, FieldTypeError, FieldValueError, MissingFieldError
from treadle_api.tenant import Model, Replicas, Slo, read_tenant


def test_every_field_is_read(changed):
    tenant = read_tenant(changed())
    assert tenant.key == "digits.shop"
    assert (tenant.slo.deadline, tenant.slo.objective, tenant.slo.window, tenant.slo.min_accuracy) == (
        0.75,
        99.9,
        86400,
        80,
    )
    assert [(tier.name, tier.accuracy) for tier in tenant.tiers] == [("large", 97.5), ("small", 80.0)]
    assert tenant.tiers[0].model == Model("https://models.test/large.onnx", "ab" * 32)
    assert tenant.tiers[1].model == Model("small.onnx", None)
    assert (tenant.requests_per_second, tenant.priority, tenant.replicas) == (250.0, 2, Replicas(1, 3))
    assert (tenant.node_selector, tenant.pinned) == ((("gpu", "a100"),), "large")


def test_tiers_below_the_floor_are_never_served(changed):
    tenant = read_tenant(changed((("spec", "slo", "minAccuracy"), "80.01")))
    assert [tier.name for tier in tenant.served_tiers] == ["large"]


def test_what_may_be_left_out_has_a_default(changed):
    left_out = [("objective",), ("window",), ("minAccuracy",)]
    tenant = read_tenant(
        changed(
            *((("spec", "slo", *path), ...) for path in left_out),
            *((("spec", key), ...) for key in ("load", "priority", "replicas", "nodeSelector", "switching")),
            (("metadata", "namespace"), ...),
        )
    )
    assert tenant.key == "digits.default"
    assert tenant.slo == Slo(deadline=0.75, objective=99, window=30 * 86400, min_accuracy=0)
    assert (tenant.requests_per_second, tenant.priority, tenant.replicas) == (None, 5, Replicas(1, 1))
    assert (tenant.node_selector, tenant.pinned) == ((), None)


def test_max_replicas_follow_min(changed):
    assert read_tenant(changed((("spec", "replicas"), {"min": 4}))).replicas == Replicas(4, 4)


@pytest.mark.parametrize(
    ("path", "value", "error", "field"),
    [
        (("spec", "slo", "deadline"), ..., MissingFieldError, "spec.slo.deadline"),
        (("spec", "tiers", 1, "accuracy"), 97.5, FieldTypeError, "spec.tiers[1].accuracy"),
        (("spec", "tiers", 0, "model"), "small.onnx", FieldTypeError, "spec.tiers[0].model"),
        (("spec", "slo", "deadline"), "0ms", FieldValueError, "spec.slo.deadline"),
        (("spec", "tiers", 0, "precision"), "float16", FieldValueError, "spec.tiers[0].precision"),
        (("spec", "tiers", 0, "precision"), 16, FieldTypeError, "spec.tiers[0].precision"),
        (("spec", "tiers"), [], FieldValueError, "spec.tiers"),
        (("spec", "tiers", 1, "name"), "small", ContradictionError, "spec.tiers[1].name"),
        (("spec", "slo", "minAccuracy"), "98", ContradictionError, "spec.slo.minAccuracy"),
        (("spec", "switching", "tier"), "medium", ContradictionError, "spec.switching.tier"),
        (("apiVersion",), "treadle.dev/v2", FieldValueError, "apiVersion"),
    ],
)
def test_errors_name_the_field(changed, path, value, error, field):
    with pytest.raises(error) as caught:
        read_tenant(changed((path, value)))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")

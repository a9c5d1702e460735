"""Tiers that a client wants or does not want, against those that its tenant serves."""

import pytest

from treadle_agent.executor.protocol import TierSpec, Version
from treadle_agent.frontend.errors import BadRequestError
from treadle_agent.frontend.wishes import ANY, read_wishes
from treadle_api.tenant import read_tenant

TIERS = tuple(TierSpec(name, 90.0, "") for name in ("large", "medium", "small"))
TENANT = read_tenant(
    {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceTenant",
        "metadata": {"name": "tenant"},
        "spec": {
            "slo": {"deadline": "1s", "minAccuracy": "90"},
            "tiers": [
                {"name": name, "accuracy": accuracy, "model": {"uri": f"{name}.onnx"}}
                for name, accuracy in (("large", "90"), ("medium", "90"), ("small", "90"), ("tiny", "86.5"))
            ],
        },
    }
)


def version(pinned=-1):
    return Version(1, "tenant", 1.0, 5, 10, TIERS, pinned)


@pytest.mark.parametrize(
    ("tier", "forbidden", "found"),
    [
        ("", "", ANY),
        ("small", "", (2, 0)),
        ("", "large", (-1, 1)),
        ("", "small,large", (-1, 5)),
        ("medium", "large", (1, 1)),
    ],
)
def test_wishes_are_read_as_the_executor_takes_them(tier, forbidden, found):
    assert read_wishes(version(), TENANT, tier, forbidden) == found


def test_a_pinned_tenant_s_tier_may_be_asked_for_and_no_other():
    assert read_wishes(version(pinned=1), TENANT, "medium", "large") == (1, 1)
    with pytest.raises(BadRequestError, match="'large' does not answer: medium is pinned"):
        read_wishes(version(pinned=1), TENANT, "large", "")
    with pytest.raises(BadRequestError, match="leaves no tier"):
        read_wishes(version(pinned=1), TENANT, "", "medium")


@pytest.mark.parametrize("names", [",", "large,", "large small", "LARGE"])
def test_names_that_are_none(names):
    with pytest.raises(
        BadRequestError, match=r"parameters\.forbid_tiers: .* is none of the tiers large, medium, small"
    ):
        read_wishes(version(), TENANT, "", names)


@pytest.mark.parametrize(("tier", "forbid_tiers"), [("tiny", ""), ("", "large,tiny")])
def test_a_tier_below_the_floor_is_told_as_such(tier, forbid_tiers):
    told = (
        "tier 'tiny' never answers: its accuracy 86.5 is below minAccuracy 90; those that may are large, medium, small"
    )
    with pytest.raises(BadRequestError, match=told):
        read_wishes(version(), TENANT, tier, forbid_tiers)

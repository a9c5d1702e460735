"""Tenants by name: unique plain names resolve, others need their namespace."""

from __future__ import annotations

import pytest

from treadle_agent.frontend.catalog import (
    AmbiguousTenantError,
    Catalog,
    Entry,
    NotServedError,
    UnknownTenantError,
)


def test_names(tenant):
    catalog = Catalog()
    catalog.put(Entry(tenant("a")))
    assert catalog.find("a").key == catalog.find("a.default").key == "a.default"
    with pytest.raises(UnknownTenantError, match="no model 'b'"):
        catalog.find("b")
    catalog.put(Entry(tenant("a", namespace="x")))
    assert catalog.find("a.x").key == "a.x"
    with pytest.raises(AmbiguousTenantError, match=r"a\.default, a\.x"):
        catalog.find("a")
    catalog.remove(["a.default"])
    assert catalog.find("a").key == "a.x"
    with pytest.raises(UnknownTenantError):
        catalog.find("a.default")
    catalog.remove(["a.x"])
    with pytest.raises(UnknownTenantError):
        catalog.find("a")


def test_what_is_not_served_says_why(tenant):
    catalog = Catalog()
    catalog.put(Entry(tenant("a"), loading=True))
    with pytest.raises(NotServedError, match=r"a\.default is loading"):
        catalog.serving("a")
    catalog.put(Entry(tenant("a"), refusal="spec.tiers: full"))
    with pytest.raises(NotServedError, match=r"spec\.tiers: full"):
        catalog.serving("a")


def test_readiness():
    catalog = Catalog()
    assert not catalog.ready
    catalog.mark_reconciled()
    assert catalog.ready
    catalog.mark_stopping()
    assert not catalog.ready

"""A caller gets its quota, a burst at first, and is told exactly when there is more."""

from __future__ import annotations

import pytest

from fovea_server.domain import ANYONE, Caller
from fovea_server.errors import QuotaExceeded
from fovea_server.request.admission.quotas import Quotas


def test_the_time_to_wait_is_computed_from_the_bucket_that_is_empty() -> None:
    quotas = Quotas(burst=1.0)
    caller = Caller("alice", requests_per_second=10.0, megapixels_per_second=2.0)
    quotas.charge(caller, 2.0, now=0.0)
    with pytest.raises(QuotaExceeded, match="alice may ask 2 megapixels a second") as raised:
        quotas.charge(caller, 1.0, now=0.1)
    assert raised.value.retry_after == pytest.approx(0.4)
    quotas.charge(caller, 1.0, now=0.5)


def test_what_is_refused_costs_nothing() -> None:
    quotas = Quotas(burst=1.0)
    caller = Caller("alice", requests_per_second=2.0, megapixels_per_second=1.0)
    quotas.charge(caller, 1.0, now=0.0)
    for _ in range(10):
        with pytest.raises(QuotaExceeded, match="megapixels"):
            quotas.charge(caller, 1.0, now=0.0)
    quotas.charge(caller, 0.0, now=0.0)  # the second request of the two that were allowed


def test_callers_do_not_use_each_others_quotas_and_nobody_in_particular_has_none() -> None:
    quotas = Quotas(burst=1.0)
    for name in ("alice", "bob"):
        quotas.charge(Caller(name, requests_per_second=1.0), 1.0, now=0.0)
    for _ in range(1000):
        quotas.charge(ANYONE, 50.0, now=0.0)


def test_a_changed_quota_holds_at_once() -> None:
    quotas = Quotas(burst=1.0)
    quotas.charge(Caller("alice", requests_per_second=1.0), 1.0, now=0.0)
    quotas.charge(Caller("alice", requests_per_second=5.0), 1.0, now=0.0)
    with pytest.raises(QuotaExceeded, match="no requests at all"):
        quotas.charge(Caller("alice", requests_per_second=0.0), 1.0, now=0.0)

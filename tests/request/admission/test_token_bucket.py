"""A bucket gives its burst, then its rate, and says exactly how long to wait for more."""

from __future__ import annotations

import pytest

from fovea_server.request.admission.token_bucket import TokenBucket


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    bucket = TokenBucket(rate=2.0, burst=3.0)
    for _ in range(6):
        assert bucket.wait(1.0, 100.0) == 0
        bucket.take(1.0, 100.0)
    assert bucket.wait(1.0, 100.0) == pytest.approx(0.5)
    assert bucket.wait(1.0, 100.2) == pytest.approx(0.3)
    assert bucket.wait(1.0, 100.5) == 0


def test_a_bucket_holds_no_more_than_its_burst() -> None:
    bucket = TokenBucket(rate=1.0, burst=2.0)
    bucket.take(2.0, 0.0)
    assert bucket.wait(2.0, 1000.0) == 0
    bucket.take(2.0, 1000.0)
    assert bucket.wait(1.0, 1000.0) == pytest.approx(1.0)


def test_an_image_larger_than_the_bucket_needs_a_full_one_and_leaves_a_debt() -> None:
    bucket = TokenBucket(rate=1.0, burst=4.0)
    assert bucket.wait(12.0, 0.0) == 0
    bucket.take(12.0, 0.0)
    assert bucket.wait(1.0, 0.0) == pytest.approx(9.0)

"""What is kept of a key, and what is not."""

from __future__ import annotations

import dataclasses

import pytest

from fovea_server.access import keys


def test_a_key_is_known_by_its_public_id_and_opened_by_its_secret_alone() -> None:
    key, text = keys.make("bob", frozenset({"infer"}), requests_per_second=5)
    identity, secret = keys.parts(text) or ("", "")
    assert text == f"fovea_{key.id}_{secret}"
    assert identity == key.id
    assert key.belongs_to(secret)
    assert not key.belongs_to(secret[:-1] + ("0" if secret[-1] != "0" else "1"))
    assert key.caller.name == key.id
    assert (key.caller.requests_per_second, key.caller.megapixels_per_second) == (5, None)


def test_nothing_that_is_kept_holds_the_secret() -> None:
    key, text = keys.make("bob", frozenset({"infer"}))
    assert text.rpartition("_")[2] not in repr(dataclasses.asdict(key))


def test_two_keys_share_nothing() -> None:
    made = [keys.make("", frozenset())[1] for _ in range(100)]
    assert len({text.rpartition("_")[2] for text in made}) == len({keys.parts(text) for text in made}) == 100


def test_a_key_is_good_until_it_expires_or_is_revoked() -> None:
    key, _ = keys.make("", frozenset(), seconds=10)
    assert key.expires is not None
    assert key.is_good(key.created)
    assert not key.is_good(key.expires)
    assert not dataclasses.replace(key, revoked=key.created).is_good(key.created)


@pytest.mark.parametrize(
    "text", ["", "fovea_", "x" * 84, "fovea_0123456789ab_" + "g" * 64, "fovea_0123456789ab_" + "0" * 65]
)
def test_what_has_not_the_shape_of_a_key_has_no_parts(text: str) -> None:
    assert keys.parts(text) is None

"""What a provider sends when it is wrong, or is somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.dialects.identity.federated import (  # noqa: F401  fixtures, found by name
    google,
    settings,
    telegram,
    tenant_id,
    visitor,
)
from tests.dialects.links.conftest import count_rows
from tests.oidc_provider import (
    CLIENT_ID,
    answer_json,
    make_key,
    sign_with,
    sign_with_nothing,
    sign_with_public_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    from tests.dialects.identity.federated import Visitor
    from tests.oidc_provider import OidcProvider

# ruff: noqa: F811  fixtures are named as what they give

WRONG_CLAIMS: list[dict[str, Any]] = [
    {"nonce": "another"},
    {"nonce": ""},
    {"nonce": None},
    {"nonce": "\ud800"},
    {"aud": "client-2.apps.test"},
    {"aud": []},
    {"aud": None},
    {"aud": [CLIENT_ID, "client-2.apps.test"]},
    {"aud": [CLIENT_ID, "client-2.apps.test"], "azp": "client-2.apps.test"},
    {"azp": "client-2.apps.test"},
    {"iss": "https://evil.test"},
    {"iss": None},
    {"exp": 1_777_889_970},  # sixty seconds before the clock's 10:20:30
    {"exp": None},
    {"exp": "4102444800"},
    {"exp": float("inf")},
    {"exp": float("nan")},
    {"iat": 1_777_890_091},  # sixty-one seconds after it
    {"iat": None},
    {"sub": ""},
    {"sub": None},
    {"sub": 1094},
    {"sub": "1" * 256},
    {"sub": "10\0 94"},
    {"sub": "jäne"},
]


async def test_a_token_with_wrong_claims_is_refused(
    visitor: Visitor, google: OidcProvider, pool: asyncpg.Pool
) -> None:
    refused = []
    for google.claims in WRONG_CLAIMS:
        answer = await visitor.go()
        if (answer.status_code, answer.json()["code"]) == (401, "oauth_refused"):
            refused.append(google.claims)
    assert refused == WRONG_CLAIMS
    assert await count_rows(pool, "federated_identities") == 0


RIGHT_CLAIMS: list[dict[str, Any]] = [
    {"exp": 1_777_889_971},  # fifty-nine seconds before the clock
    {"iat": 1_777_890_090},  # sixty seconds after it
    {"aud": [CLIENT_ID]},
    {"aud": ["client-2.apps.test", CLIENT_ID], "azp": CLIENT_ID},
    {"azp": CLIENT_ID, "exp": 4_102_444_800.5},
]


async def test_a_token_that_is_just_right_is_accepted(visitor: Visitor, google: OidcProvider) -> None:
    accepted = []
    for google.claims in RIGHT_CLAIMS:
        if (await visitor.go()).status_code == 200:
            accepted.append(google.claims)
    assert accepted == RIGHT_CLAIMS


FORGERIES: list[Callable[[dict[str, Any]], str]] = [
    sign_with_nothing,
    sign_with_public_key,
    sign_with(make_key(2), kid="key-1"),
    sign_with(make_key(1), kid="key-9"),
    sign_with(make_key(1), kid=None),
    sign_with(make_key(1), crit=["x"], x=1),
    lambda claims: sign_with(make_key(1))(claims)[:-8] + "AAAAAAAA",
    lambda claims: sign_with(make_key(1))(claims).rpartition(".")[0] + ".",
    lambda _: "no.token",
    lambda _: "a.b.c.d.e",
    lambda _: "....",
    lambda _: "e30.e30.e30",
]


async def test_a_token_that_the_provider_did_not_sign_is_refused(
    visitor: Visitor, google: OidcProvider, pool: asyncpg.Pool
) -> None:
    refused = []
    for google.sign in FORGERIES:
        answer = await visitor.go()
        if (answer.status_code, answer.json()["code"]) == (401, "oauth_refused"):
            refused.append(google.sign)
    assert refused == FORGERIES
    assert await count_rows(pool, "federated_identities") == 0


async def test_telegram_may_leave_the_nonce_out_but_not_change_it(
    visitor: Visitor, telegram: OidcProvider
) -> None:
    assert (await visitor.go("telegram")).status_code == 200
    telegram.echoes_nonce = True
    assert (await visitor.go("telegram")).status_code == 200
    telegram.claims["nonce"] = "another"
    assert (await visitor.go("telegram")).json()["code"] == "oauth_refused"


BROKEN_ANSWERS: list[tuple[int, dict[str, str], bytes]] = [
    (500, {}, b"oops"),
    (503, {}, b"{}"),
    (302, {"Location": "http://127.0.0.1:1/"}, b""),
    (200, {}, b"<html>"),
    (200, {}, b"[" * 100_000),
    (200, {}, b"[]"),
    answer_json(200, {"access_token": "opaque"}),
    answer_json(200, {"id_token": 7}),
    answer_json(200, {"id_token": "a." * 10_000}),
    answer_json(401, {"error": "invalid_client"}),
    (200, {}, b" " * 300_000),
]


async def test_a_provider_that_is_out_of_order_is_unavailable(visitor: Visitor, google: OidcProvider) -> None:
    failed = []
    for broken in BROKEN_ANSWERS:
        body = await visitor.travel()
        google.answers["/token"] = broken
        answer = await visitor.finish(body)
        if (answer.status_code, answer.json()["code"]) == (503, "provider_unavailable"):
            assert answer.headers["Retry-After"]
            failed.append(broken)
    assert failed == BROKEN_ANSWERS


async def test_a_provider_that_is_away_is_unavailable(visitor: Visitor, google: OidcProvider) -> None:
    google.answers["/.well-known/openid-configuration"] = (500, {}, b"")
    answer = await visitor.start()
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_unavailable")

"""The client's side of OpenID Connect against a provider that is slow, huge, or changes its keys."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

import pytest

from control_plane.core.ids import new_id
from control_plane.core.secure_urls import is_redirect_uri, is_secure
from control_plane.domains.federation.errors import OAuthRefused, ProviderUnavailable
from control_plane.domains.federation.model import configure_google
from control_plane.domains.federation.oidc_client import OidcClient
from control_plane.domains.federation.service import prepare_attempt
from tests.dialects.identity.federated import visit
from tests.dialects.links.conftest import SetClock
from tests.oidc_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    REDIRECT_URI,
    OidcProvider,
    answer_json,
    make_key,
    sign_with,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from control_plane.domains.federation.model import Departure, Person

DISCOVERY = "/.well-known/openid-configuration"
PATIENCE_S = 30.0
"""So long that only what never ends comes to it."""


class OpenSealer:
    """Seals nothing: what is tested here is what goes over the wire."""

    async def seal(self, plaintext: bytes, context: str) -> bytes:
        del context
        return plaintext


class Traveller:
    """Goes to a provider and comes back, without a database."""

    def __init__(self, provider: OidcProvider, clock: SetClock, timeout_s: float = PATIENCE_S) -> None:
        self.clock = clock
        self.google = configure_google(provider.issuer, CLIENT_ID, CLIENT_SECRET)
        self.client = OidcClient(timeout_s)

    async def depart(self) -> tuple[Departure, str]:
        sealer: Any = OpenSealer()
        departure = await prepare_attempt(
            sealer, self.google, new_id(), REDIRECT_URI, user_id=None, now=self.clock()
        )
        url = await self.client.build_authorization_url(self.google, departure, self.clock())
        return departure, url

    async def come_back(self, departure: Departure, code: str) -> Person:
        attempt = departure.attempt
        verifier = attempt.sealed_verifier.decode()
        return await self.client.identify(self.google, attempt, code, verifier, self.clock())

    async def go(self) -> Person:
        departure, url = await self.depart()
        return await self.come_back(departure, (await visit(url))["code"])


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def provider(clock: SetClock) -> Iterator[OidcProvider]:
    with OidcProvider(clock) as provider:
        yield provider


@pytest.fixture
async def traveller(provider: OidcProvider, clock: SetClock) -> AsyncIterator[Traveller]:
    traveller = Traveller(provider, clock)
    yield traveller
    await traveller.client.aclose()


@pytest.fixture
async def impatient(provider: OidcProvider, clock: SetClock) -> AsyncIterator[Traveller]:
    traveller = Traveller(provider, clock, timeout_s=0.2)
    yield traveller
    await traveller.client.aclose()


class TestDocuments:
    async def test_they_are_fetched_once_an_hour(
        self, traveller: Traveller, provider: OidcProvider, clock: SetClock
    ) -> None:
        for _ in range(3):
            await traveller.go()
        assert (provider.requests[DISCOVERY], provider.requests["/keys"]) == (1, 1)
        clock.advance(hours=1)
        await traveller.go()
        assert (provider.requests[DISCOVERY], provider.requests["/keys"]) == (2, 2)

    async def test_many_at_once_fetch_them_once(self, traveller: Traveller, provider: OidcProvider) -> None:
        await asyncio.gather(*(traveller.go() for _ in range(8)))
        assert (provider.requests[DISCOVERY], provider.requests["/keys"]) == (1, 1)

    async def test_a_failure_is_soon_forgotten(
        self, traveller: Traveller, provider: OidcProvider, clock: SetClock
    ) -> None:
        provider.answers[DISCOVERY] = (500, {}, b"")
        with pytest.raises(ProviderUnavailable):
            await traveller.depart()
        del provider.answers[DISCOVERY]
        with pytest.raises(ProviderUnavailable):
            await traveller.depart()
        clock.advance(seconds=10)
        await traveller.depart()
        assert provider.requests[DISCOVERY] == 2

    async def test_those_who_wait_for_a_failure_fail_with_it(
        self, impatient: Traveller, provider: OidcProvider
    ) -> None:
        provider.stalled.add(DISCOVERY)
        departures = [impatient.depart() for _ in range(5)]
        failures = await asyncio.gather(*departures, return_exceptions=True)
        assert {type(failure) for failure in failures} == {ProviderUnavailable}
        assert provider.requests[DISCOVERY] == 1

    @pytest.mark.parametrize(
        "metadata",
        [
            {"issuer": "https://accounts.google.com"},
            {"issuer": None},
            {"token_endpoint": "http://tokens.evil.test/"},
            {"jwks_uri": "file:///etc/passwd"},
            {"jwks_uri": "http://169.254.169.254/keys"},
            {"authorization_endpoint": "javascript:alert(1)"},
            {"authorization_endpoint": 7},
        ],
        ids=str,
    )
    async def test_a_document_that_cannot_be_this_providers_is_refused(
        self, traveller: Traveller, provider: OidcProvider, metadata: dict[str, Any]
    ) -> None:
        provider.metadata = metadata
        with pytest.raises(ProviderUnavailable):
            await traveller.depart()

    async def test_the_secret_goes_where_the_provider_wants_it(
        self, traveller: Traveller, provider: OidcProvider
    ) -> None:
        provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        assert (await traveller.go()).subject == "1094"


class TestKeys:
    async def test_a_new_key_is_fetched_when_it_is_met(
        self, traveller: Traveller, provider: OidcProvider, clock: SetClock
    ) -> None:
        await traveller.go()
        provider.sign = sign_with(make_key(2))
        provider.published = [make_key(n).as_dict(private=False) for n in (1, 2)]
        clock.advance(seconds=60)
        await traveller.go()
        assert provider.requests["/keys"] == 2

    async def test_unknown_keys_lead_to_one_request_a_minute(
        self, traveller: Traveller, provider: OidcProvider, clock: SetClock
    ) -> None:
        await traveller.go()
        provider.sign = sign_with(make_key(1), kid="made-up")
        for _ in range(3):
            with pytest.raises(OAuthRefused):
                await traveller.go()
        assert provider.requests["/keys"] == 1
        clock.advance(seconds=60)
        for _ in range(3):
            with pytest.raises(OAuthRefused):
                await traveller.go()
        assert provider.requests["/keys"] == 2

    async def test_a_key_that_is_withdrawn_is_refused_within_the_hour(
        self, traveller: Traveller, provider: OidcProvider, clock: SetClock
    ) -> None:
        await traveller.go()
        provider.published = [make_key(2).as_dict(private=False)]
        clock.advance(hours=1)
        with pytest.raises(OAuthRefused):
            await traveller.go()

    @pytest.mark.parametrize(
        "published",
        [
            {"use": "enc"},
            {"alg": "RS512"},
            {"kty": "oct", "k": "AAAA"},
            {"kid": None},
            {"n": "AAAA"},
            {"n": 7},
            {"e": None},
            make_key(3, 1024).as_dict(private=False) | {"kid": "key-1"},
        ],
        ids=["use", "alg", "kty", "kid", "n", "n-type", "e", "short"],
    )
    async def test_a_key_of_another_kind_verifies_nothing(
        self, traveller: Traveller, provider: OidcProvider, published: dict[str, Any]
    ) -> None:
        provider.published = [make_key(1).as_dict(private=False) | published]
        if "n" in published and isinstance(published["n"], str) and len(published["n"]) > 100:
            provider.sign = sign_with(make_key(3, 1024), kid="key-1")
        with pytest.raises(OAuthRefused):
            await traveller.go()

    @pytest.mark.parametrize("document", [[], {}, {"keys": 1}, {"keys": [1]}], ids=str)
    async def test_what_is_no_key_set_is_refused(
        self, traveller: Traveller, provider: OidcProvider, document: object
    ) -> None:
        provider.answers["/keys"] = answer_json(200, document)
        with pytest.raises(ProviderUnavailable):
            await traveller.go()


class TestBounds:
    @pytest.mark.parametrize("path", [DISCOVERY, "/keys", "/token"])
    async def test_a_huge_answer_is_not_read(
        self, traveller: Traveller, provider: OidcProvider, path: str
    ) -> None:
        provider.answers[path] = (200, {}, b"{}" + b" " * 262_143)
        with pytest.raises(ProviderUnavailable, match="cannot be reached") as caught:
            await traveller.go()
        assert "more than 262144 bytes" in caught.value.reason

    async def test_a_compressed_answer_is_not_unpacked(
        self, traveller: Traveller, provider: OidcProvider
    ) -> None:
        packed = gzip.compress(b" " * 50_000_000)
        provider.answers[DISCOVERY] = (200, {"Content-Encoding": "gzip"}, packed)
        with pytest.raises(ProviderUnavailable) as caught:
            await traveller.go()
        assert "did not answer with JSON" in caught.value.reason

    async def test_no_redirect_is_followed(self, traveller: Traveller, provider: OidcProvider) -> None:
        provider.answers[DISCOVERY] = (302, {"Location": f"{provider.issuer}/elsewhere"}, b"")
        with pytest.raises(ProviderUnavailable):
            await traveller.depart()
        assert provider.requests["/elsewhere"] == 0

    async def test_an_answer_that_does_not_come_is_given_up(
        self, impatient: Traveller, provider: OidcProvider
    ) -> None:
        provider.stalled.add(DISCOVERY)
        with pytest.raises(ProviderUnavailable):
            await impatient.depart()

    async def test_an_answer_that_does_not_end_is_given_up(
        self, impatient: Traveller, provider: OidcProvider
    ) -> None:
        """Each byte comes in time; all of them never do."""
        provider.trickling.add(DISCOVERY)
        with pytest.raises(ProviderUnavailable):
            await impatient.depart()

    async def test_nobody_there_is_unavailable(self, clock: SetClock) -> None:
        with OidcProvider(clock) as gone:
            traveller = Traveller(gone, clock)
        with pytest.raises(ProviderUnavailable):
            await traveller.depart()
        await traveller.client.aclose()


def test_secrets_stay_out_of_logs(provider: OidcProvider, clock: SetClock) -> None:
    assert CLIENT_SECRET not in repr(Traveller(provider, clock).google)


@pytest.mark.parametrize(
    "url",
    ["https://a.test", "https://a.test:8443/x?y", "http://127.0.0.1:1/", "http://[::1]", "http://localhost/"],
)
def test_a_secure_url_is_https_or_stays_on_this_machine(url: str) -> None:
    assert is_secure(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "//a.test",
        "https://",
        "http://a.test",
        "http://127.0.0.1.evil.test/",
        "ftp://a.test",
        "https://a.test:x/",
        "https://a .test",
    ],
)
def test_every_other_url_is_not_secure(url: str) -> None:
    assert not is_secure(url)


@pytest.mark.parametrize("uri", ["https://a.test/back", "http://127.0.0.1:3000/back", "test.acme.app:/back"])
def test_a_redirect_uri_is_secure_or_of_an_app(uri: str) -> None:
    assert is_redirect_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "/back",
        "app:/back",
        "test.acme.app:",
        "http://a.test/back",
        "https://a.test/#",
        "javascript:alert(1)",
        "data:text/html,x",
    ],
)
def test_everything_else_is_no_redirect_uri(uri: str) -> None:
    assert not is_redirect_uri(uri)

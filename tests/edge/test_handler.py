from __future__ import annotations

import uuid
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.contract.events import Click, Reason
from edge.contract.link_record import LinkState, Stickiness
from edge.counters import Counter
from edge.handler import QUERY_LENGTH, REFERRER_LENGTH, USER_AGENT_LENGTH, read_pinned_variant
from edge.link_cache import LinkCache
from edge.link_feed import LinksUnavailableError
from tests.edge.factories import FakeHeaders, make_link, make_request, make_variant
from tests.edge.handlers import Edge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.contract.link_record import LinkRecord

FIRST, SECOND = make_variant(1, 50), make_variant(2, 50)
PROXY = "10.0.0.1"


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    edge = Edge(tmp_path)
    yield edge
    edge.journal.close()


@pytest.fixture
def link(edge: Edge) -> LinkRecord:
    return edge.cache.put(make_link()).record


@pytest.mark.usefixtures("link")
class TestRedirect:
    def test_a_get_is_sent_on_and_written_down(self, edge: Edge) -> None:
        status, headers = edge.get(
            "/summer",
            ("user-agent", "Firefox"),
            ("referer", "https://news.example/"),
            query="a=1&b=%20",
            peer="8.8.8.8",
        )
        assert status == 302
        assert headers == {"location": "https://v1.example/?a=1&b=%20", "cache-control": "no-store"}
        (click,) = edge.clicks()
        assert click == Click(
            id=click.id,
            tenant_id=bytes(15) + b"\1",
            link_id=bytes(15) + b"\2",
            variant_id=FIRST.id,
            link_version=1,
            reason=Reason.WEIGHT,
            ip="8.8.8.8",
            country="US",
            referrer="https://news.example/",
            user_agent="Firefox",
            query="a=1&b=%20",
            prefetch=False,
        )
        assert uuid.UUID(bytes=click.id).version == 7
        assert edge.count(Counter.SERVED) == 1

    def test_the_draw_decides(self, edge: Edge) -> None:
        edge.draw = 0.75
        assert edge.get()[1]["location"] == "https://v2.example/"
        assert edge.clicks()[0].variant_id == SECOND.id

    def test_a_head_is_sent_on_and_never_counted(self, edge: Edge) -> None:
        status, headers = edge.get(method="HEAD", query="a=1")
        assert status == 302
        assert headers["location"] == "https://v1.example/?a=1"
        assert edge.clicks() == []
        assert (edge.count(Counter.SERVED), edge.count(Counter.HEAD)) == (0, 1)

    @pytest.mark.parametrize("path", ["/summer", "/summer/"])
    def test_forms_of_a_slug(self, edge: Edge, path: str) -> None:
        assert edge.get(path)[0] == 302

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "/",
            "*",
            "//summer",
            "/summer//",
            "/summer/x",
            "/Summer",
            "/summer ",
            "/su",
            "/s\ud800m",
        ],
    )
    def test_what_is_no_slug_is_unknown_and_costs_no_look_up(self, edge: Edge, path: str) -> None:
        edge.cache.put_unknown("Summer", now_s=10**9)
        status, headers = edge.get(path)
        assert status == 404
        assert headers["cache-control"] == "no-store"
        assert edge.clicks() == []

    @pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "CONNECT", "get", "", "G" * 1000])
    def test_other_methods_are_refused(self, edge: Edge, method: str) -> None:
        status, headers = edge.get(method=method)
        assert status == 405
        assert headers["allow"] == "GET, HEAD"
        assert edge.clicks() == []
        assert edge.count(Counter.REFUSED) == 1


class TestMacros:
    def test_the_click_and_its_variant_are_named_in_the_destination(self, edge: Edge) -> None:
        url = (
            "https://a.example/{country}?c={click_id}&l={link_id}&s={slug}&v={variant}&i={variant_id}"
            "&t={timestamp}"
        )
        edge.cache.put(make_link(variants=(make_variant(1, 100, url),)))
        location = urlsplit(edge.get(peer="8.8.8.8", query="x=1")[1]["location"])
        (click,) = edge.clicks()
        assert location.path == "/US"
        assert parse_qs(location.query) == {
            "c": [str(uuid.UUID(bytes=click.id))],
            "l": [str(uuid.UUID(bytes=click.link_id))],
            "s": ["summer"],
            "v": ["v1"],
            "i": [str(uuid.UUID(bytes=click.variant_id))],
            "t": [str(int.from_bytes(click.id[:6], "big") // 1000)],
            "x": ["1"],
        }

    def test_the_query_stays_when_the_link_says_so(self, edge: Edge) -> None:
        edge.cache.put(make_link(forward_query=False))
        assert edge.get(query="a=1")[1]["location"] == "https://v1.example/"
        assert edge.clicks()[0].query == "a=1"


class TestRefusals:
    @pytest.mark.parametrize("state", [LinkState.INACTIVE, LinkState.DELETED])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_link_that_does_not_redirect_is_gone(self, edge: Edge, state: LinkState, method: str) -> None:
        edge.cache.put(make_link(state=state, variants=()))
        status, headers = edge.get(method=method)
        assert status == 410
        assert headers["cache-control"] == "no-store"
        assert edge.clicks() == []
        assert edge.count(Counter.GONE) == 1

    def test_a_slug_that_was_found_unknown_is_not_looked_up(self, edge: Edge) -> None:
        edge.cache.put_unknown("winter", now_s=10**9)
        assert edge.get("/winter")[0] == 404
        assert edge.count(Counter.UNKNOWN) == 1

    def test_a_full_journal_redirects_nobody_and_recovers(self, edge: Edge, link: LinkRecord) -> None:
        assert link
        edge.room.is_full = True
        visitor = ("user-agent", "x" * 1000)
        statuses = [edge.get("/summer", visitor)[0] for _ in range(2000)]
        served = statuses.count(302)
        assert statuses == [302] * served + [503] * (2000 - served)
        assert 100 < served < 2000
        headers = edge.get("/summer", visitor)[1]
        assert (headers["retry-after"], headers["cache-control"]) == ("5", "no-store")
        assert edge.count(Counter.SERVED) == served == len(edge.clicks())
        assert edge.count(Counter.JOURNAL_FULL) == 2001 - served
        assert edge.get(method="HEAD")[0] == 302
        edge.room.is_full = False
        assert edge.get("/summer", visitor)[0] == 302


class TestLoading:
    def test_a_link_that_is_not_in_memory_must_be_loaded(self, edge: Edge) -> None:
        assert edge.handler.answer(make_request("/winter")) is None

    async def test_the_loaded_link_answers_though_the_cache_let_it_go(self, edge: Edge) -> None:
        edge.feed.result = LinkCache(size=1, unknown_ttl_s=1).put(make_link(slug="winter"))
        response = await edge.handler.load_and_answer(make_request("/winter/"))
        assert response.status == 302
        assert edge.feed.asked == ["winter"]
        assert len(edge.clicks()) == 1
        assert edge.count(Counter.CACHE_MISSES) == 1

    async def test_a_loaded_link_that_does_not_redirect_is_gone(self, edge: Edge) -> None:
        deleted = make_link(slug="winter", state=LinkState.DELETED)
        edge.feed.result = LinkCache(size=1, unknown_ttl_s=1).put(deleted)
        assert (await edge.handler.load_and_answer(make_request("/winter"))).status == 410

    async def test_a_link_that_does_not_exist_is_unknown(self, edge: Edge) -> None:
        assert (await edge.handler.load_and_answer(make_request("/winter"))).status == 404
        assert edge.count(Counter.UNKNOWN) == 1

    async def test_links_that_cannot_be_looked_up_are_unavailable_not_unknown(self, edge: Edge) -> None:
        edge.feed.result = LinksUnavailableError("Redis does not answer")
        response = await edge.handler.load_and_answer(make_request("/winter"))
        assert response.status == 503
        assert ("retry-after", "1") in response.headers
        assert ("cache-control", "no-store") in response.headers
        assert edge.count(Counter.LINKS_UNAVAILABLE) == 1


class TestStickiness:
    def put(self, edge: Edge, stickiness: Stickiness, **changes: object) -> None:
        edge.cache.put(make_link(stickiness=stickiness, **changes))

    def test_a_first_visit_sets_a_cookie_for_the_link_alone(self, edge: Edge) -> None:
        self.put(edge, Stickiness.COOKIE)
        cookie = edge.get()[1]["set-cookie"]
        assert cookie == (f"sy_summer={FIRST.id.hex()}; Path=/summer; Max-Age=3600; HttpOnly; SameSite=Lax")

    @pytest.mark.parametrize(
        ("scheme", "peer", "forwarded", "secure"),
        [
            ("https", "8.8.8.8", "", True),
            ("http", PROXY, "https", True),
            ("http", PROXY, "http", False),
            ("http", "8.8.8.8", "https", False),
        ],
    )
    def test_the_cookie_is_secure_over_https(
        self, edge: Edge, scheme: str, peer: str, forwarded: str, secure: bool
    ) -> None:
        self.put(edge, Stickiness.COOKIE)
        headers = edge.get("/summer", ("x-forwarded-proto", forwarded), scheme=scheme, peer=peer)[1]
        assert headers["set-cookie"].endswith("; Secure") == secure

    def test_a_returning_visitor_stays(self, edge: Edge) -> None:
        self.put(edge, Stickiness.COOKIE)
        status, headers = edge.get("/summer", ("cookie", f"a=b; sy_summer={SECOND.id.hex()};c=d"))
        assert (status, headers["location"]) == (302, "https://v2.example/")
        assert "set-cookie" not in headers
        assert edge.clicks()[0].reason == Reason.STICKY

    @pytest.mark.parametrize(
        "cookie",
        ["", "sy_summer=", "sy_summer=zz", "sy_summer=\ud800", f"sy_summe={SECOND.id.hex()}", "=;;="],
    )
    def test_a_cookie_that_makes_no_sense_is_replaced(self, edge: Edge, cookie: str) -> None:
        self.put(edge, Stickiness.COOKIE)
        headers = edge.get("/summer", ("cookie", cookie))[1]
        assert headers["location"] == "https://v1.example/"
        assert FIRST.id.hex() in headers["set-cookie"]

    def test_a_variant_that_was_removed_or_paused_is_replaced(self, edge: Edge) -> None:
        self.put(edge, Stickiness.COOKIE, variants=(make_variant(1, 100), make_variant(2, 0)))
        for pinned in (SECOND.id, b"\x09" * 16):
            headers = edge.get("/summer", ("cookie", f"sy_summer={pinned.hex()}"))[1]
            assert headers["location"] == "https://v1.example/"
            assert FIRST.id.hex() in headers["set-cookie"]

    def test_global_privacy_control_switches_the_cookie_off(self, edge: Edge) -> None:
        self.put(edge, Stickiness.COOKIE)
        headers = edge.get("/summer", ("sec-gpc", "1"), ("cookie", f"sy_summer={SECOND.id.hex()}"))[1]
        assert "set-cookie" not in headers
        assert headers["location"] == "https://v1.example/"
        assert edge.clicks()[0].reason == Reason.WEIGHT
        assert "set-cookie" in edge.get("/summer", ("sec-gpc", "0"))[1]

    @pytest.mark.parametrize("changes", [{"winner": 0}, {"geo_default": 0}])
    def test_a_decided_link_needs_no_cookie(self, edge: Edge, changes: dict[str, object]) -> None:
        self.put(edge, Stickiness.COOKIE, **changes)
        headers = edge.get("/summer", ("cookie", f"sy_summer={SECOND.id.hex()}"))[1]
        assert "set-cookie" not in headers
        assert headers["location"] == "https://v1.example/"

    def test_a_fingerprint_needs_no_cookie_and_ignores_the_draw(self, edge: Edge) -> None:
        self.put(edge, Stickiness.FINGERPRINT)
        for number in range(40):
            visitor = ("user-agent", f"Browser {number}")
            edge.draw = 0.0
            first = edge.get("/summer", visitor)[1]
            edge.draw = 0.99
            assert edge.get("/summer", visitor)[1] == first
            assert "set-cookie" not in first
        clicks = edge.clicks()
        assert {click.reason for click in clicks} == {Reason.FINGERPRINT}
        assert {click.variant_id for click in clicks} == {FIRST.id, SECOND.id}

    def test_without_stickiness_a_cookie_says_nothing(self, edge: Edge) -> None:
        self.put(edge, Stickiness.NONE)
        headers = edge.get("/summer", ("cookie", f"sy_summer={SECOND.id.hex()}"))[1]
        assert headers["location"] == "https://v1.example/"
        assert "set-cookie" not in headers

    @given(st.text(max_size=100))
    def test_any_cookie_gives_an_id_or_none(self, cookies: str) -> None:
        pinned = read_pinned_variant(FakeHeaders(("cookie", cookies)), "sy_summer")
        assert pinned is None or isinstance(pinned, bytes)


@pytest.mark.usefixtures("link")
class TestVisitor:
    def test_behind_a_trusted_proxy_its_word_is_taken(self, edge: Edge) -> None:
        edge.get("/summer", ("x-forwarded-for", "9.9.9.9, 8.8.8.8"), ("cf-ipcountry", "br"), peer=PROXY)
        (click,) = edge.clicks()
        assert (click.ip, click.country) == ("8.8.8.8", "BR")

    def test_from_anyone_else_it_is_not(self, edge: Edge) -> None:
        edge.get("/summer", ("x-forwarded-for", "9.9.9.9"), ("cf-ipcountry", "br"), peer="8.8.8.8")
        (click,) = edge.clicks()
        assert (click.ip, click.country) == ("8.8.8.8", "US")

    def test_geo_rules_go_by_that_country(self, edge: Edge) -> None:
        edge.cache.put(make_link(version=2, geo_rules={"US": 1}, geo_default=0))
        assert edge.get(peer="8.8.8.8")[1]["location"] == "https://v2.example/"
        assert edge.get(peer="127.0.0.1")[1]["location"] == "https://v1.example/"
        assert [click.reason for click in edge.clicks()] == [Reason.GEO, Reason.GEO_DEFAULT]

    @pytest.mark.parametrize("name", ["sec-purpose", "purpose", "x-moz"])
    def test_fetching_ahead_is_redirected_and_marked(self, edge: Edge, name: str) -> None:
        assert edge.get("/summer", (name, "prefetch"))[0] == 302
        assert edge.clicks()[0].prefetch
        assert (edge.count(Counter.PREFETCH), edge.count(Counter.SERVED)) == (1, 1)

    def test_long_texts_are_kept_in_part_and_forwarded_whole(self, edge: Edge) -> None:
        query = "q=" + "x" * 60_000
        headers = edge.get("/summer", ("user-agent", "u" * 500_000), ("referer", "r" * 500_000), query=query)[
            1
        ]
        assert headers["location"] == f"https://v1.example/?{query}"
        (click,) = edge.clicks()
        assert click.user_agent == "u" * USER_AGENT_LENGTH
        assert click.referrer == "r" * REFERRER_LENGTH
        assert click.query == query[:QUERY_LENGTH]

    def test_bytes_that_are_no_text_are_replaced(self, edge: Edge) -> None:
        headers = edge.get("/summer", ("user-agent", "a\udcffb"), ("referer", "\ud800"), query="q=\udcff")[1]
        assert headers["location"] == "https://v1.example/?q=%3F"
        (click,) = edge.clicks()
        assert (click.user_agent, click.referrer, click.query) == ("a?b", "?", "q=?")

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        facts=st.fixed_dictionaries(
            {
                "method": st.sampled_from(["GET", "HEAD", "POST"]),
                "peer": st.sampled_from([PROXY, "8.8.8.8", "", "::1"]),
                "query": st.text(max_size=50),
            }
        ),
        values=st.lists(st.text(max_size=50), min_size=9, max_size=9),
        stickiness=st.sampled_from(Stickiness),
    )
    def test_nothing_that_a_visitor_sends_raises(
        self, edge: Edge, facts: dict[str, str], values: list[str], stickiness: Stickiness
    ) -> None:
        names = ("user-agent", "referer", "cookie", "x-forwarded-for", "cf-ipcountry", "x-forwarded-proto")
        headers = zip((*names, "sec-gpc", "purpose", "sec-purpose"), values, strict=True)
        edge.cache.put(make_link(stickiness=stickiness))
        before = len(edge.clicks())
        status, answer = edge.get("/summer", *headers, **facts)
        assert status == (405 if facts["method"] == "POST" else 302)
        assert all(value.isascii() and value.isprintable() for value in answer.values())
        assert len(edge.clicks()) == before + (facts["method"] == "GET")

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge.contract.domain_record import NOBODY
from edge.contract.link_record import LinkState, Stickiness
from edge.counters import Counter
from edge.link_cache import LinkCache
from tests.edge.factories import TENANT, make_link, make_request, make_variant
from tests.edge.handlers import Edge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACME, GLOBEX = "go.acme.example", "globex.example"
OTHER_TENANT = bytes([9]) * 16
PROXY = "10.0.0.1"


def leading_to(number: int, **facts: object) -> dict[str, object]:
    return {"variants": (make_variant(number, 100),), **facts}


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """Three links of one slug: the service's own leads to v1, those of two tenants to v2 and v3."""
    edge = Edge(tmp_path)
    edge.add_domain(ACME)
    edge.add_domain(GLOBEX, OTHER_TENANT)
    edge.cache.put(make_link(**leading_to(1)))
    edge.cache.put(make_link(**leading_to(2, domain=ACME)))
    edge.cache.put(make_link(**leading_to(3, domain=GLOBEX, tenant_id=OTHER_TENANT)))
    yield edge
    edge.journal.close()


def ask(edge: Edge, host: str, path: str = "/summer", **facts: str) -> tuple[int, str]:
    status, headers = edge.get(path, ("host", host), **facts)
    return status, headers.get("location", "")


class TestSites:
    @pytest.mark.parametrize("path", ["/summer", "/summer/"])
    def test_one_slug_is_another_link_on_every_domain(self, edge: Edge, path: str) -> None:
        assert ask(edge, "edge.example", path) == (302, "https://v1.example/")
        assert ask(edge, ACME, path) == (302, "https://v2.example/")
        assert ask(edge, GLOBEX, path) == (302, "https://v3.example/")
        assert [click.tenant_id for click in edge.clicks()] == [TENANT, TENANT, OTHER_TENANT]

    def test_a_request_without_host_is_for_the_service(self, edge: Edge) -> None:
        assert edge.get()[1]["location"] == "https://v1.example/"

    def test_the_request_line_counts_more_than_the_header(self, edge: Edge) -> None:
        assert ask(edge, "edge.example", authority=f"{ACME}:80") == (302, "https://v2.example/")
        assert ask(edge, ACME, authority="edge.example") == (302, "https://v1.example/")

    def test_only_a_trusted_proxy_says_which_host_was_asked_for(self, edge: Edge) -> None:
        told = ("host", "edge.example"), ("x-forwarded-host", ACME)
        assert edge.get("/summer", *told, peer=PROXY)[1]["location"] == "https://v2.example/"
        assert edge.get("/summer", *told)[1]["location"] == "https://v1.example/"
        assert ask(edge, ACME, peer=PROXY) == (302, "https://v2.example/")

    @pytest.mark.parametrize("path", [f"/{ACME}/summer", f"/{ACME}/summer/", f"/{ACME}/", f"/{ACME}"])
    @pytest.mark.parametrize("host", ["edge.example", ACME, GLOBEX])
    def test_no_path_spells_the_link_of_a_domain(self, edge: Edge, host: str, path: str) -> None:
        assert ask(edge, host, path)[0] == 404
        assert edge.clicks() == []

    def test_no_path_spells_it_either_once_there_is_no_domain(self, edge: Edge) -> None:
        edge.cache.domains.replace({})
        assert ask(edge, "edge.example", f"/{ACME}/summer")[0] == 404

    def test_a_cookie_pins_a_visitor_as_on_own_names(self, edge: Edge) -> None:
        edge.cache.put(make_link(version=2, domain=ACME, stickiness=Stickiness.COOKIE))
        cookie = edge.get("/summer", ("host", ACME))[1]["set-cookie"]
        assert cookie.startswith("sy_summer=")
        assert "; Path=/summer;" in cookie
        assert "Domain" not in cookie

    def test_reserved_paths_are_the_edges_on_every_host(self, edge: Edge) -> None:
        assert edge.handler.answer(make_request("/_/health", ("host", ACME))) is None

    def test_other_methods_are_refused_on_every_host(self, edge: Edge) -> None:
        assert ask(edge, ACME, method="POST")[0] == 405


class TestOwners:
    def test_a_domain_that_has_lapsed_has_no_links_until_it_returns(self, edge: Edge) -> None:
        edge.add_domain(ACME, NOBODY, version=2)
        assert ask(edge, ACME)[0] == 410
        assert ask(edge, "edge.example")[0] == 302
        edge.add_domain(ACME, TENANT, version=3)
        assert ask(edge, ACME)[0] == 302

    def test_whoever_takes_a_domain_over_does_not_get_its_links(self, edge: Edge) -> None:
        edge.add_domain(ACME, OTHER_TENANT, version=2)
        assert ask(edge, ACME)[0] == 410
        assert edge.clicks() == []
        mine = make_link(**leading_to(3, domain=ACME, slug="autumn", tenant_id=OTHER_TENANT))
        edge.cache.put(mine)
        assert ask(edge, ACME, "/autumn") == (302, "https://v3.example/")

    def test_a_link_that_is_not_active_is_gone(self, edge: Edge) -> None:
        edge.cache.put(make_link(version=2, domain=ACME, state=LinkState.INACTIVE))
        assert ask(edge, ACME)[0] == 410


class TestLoading:
    async def test_what_is_not_in_memory_is_asked_for_by_domain_and_slug(self, edge: Edge) -> None:
        request = make_request("/winter/", ("host", f"{ACME}:80"))
        assert edge.handler.answer(request) is None
        edge.feed.result = LinkCache(size=1, unknown_ttl_s=1).put(make_link(domain=ACME, slug="winter"))
        assert (await edge.handler.load_and_answer(request)).status == 302
        assert edge.feed.asked == [f"{ACME}/winter"]

    @pytest.mark.parametrize("owner", [NOBODY, OTHER_TENANT])
    async def test_a_link_of_a_former_owner_is_gone_when_it_comes(self, edge: Edge, owner: bytes) -> None:
        edge.add_domain(ACME, owner, version=2)
        edge.feed.result = LinkCache(size=1, unknown_ttl_s=1).put(make_link(domain=ACME, slug="winter"))
        response = await edge.handler.load_and_answer(make_request("/winter", ("host", ACME)))
        assert response.status == 410
        assert edge.count(Counter.GONE) == 1

    def test_what_is_unknown_on_one_domain_may_be_there_on_another(self, edge: Edge) -> None:
        edge.cache.put_unknown(f"{ACME}/winter", now_s=10**9)
        assert ask(edge, ACME, "/winter")[0] == 404
        for host in ("edge.example", GLOBEX):
            assert edge.handler.answer(make_request("/winter", ("host", host))) is None

    def test_a_host_that_becomes_a_domain_is_not_bound_by_what_was_unknown(self, edge: Edge) -> None:
        edge.cache.put_unknown("winter", now_s=10**9)
        assert ask(edge, "new.example", "/winter")[0] == 404
        edge.add_domain("new.example")
        assert edge.handler.answer(make_request("/winter", ("host", "new.example"))) is None


class TestIgnorance:
    @pytest.fixture
    def ignorant(self, edge: Edge) -> Edge:
        edge.cache.domains.are_known = False
        return edge

    @pytest.mark.parametrize("host", ["edge.example", ACME])
    async def test_no_link_is_answered_while_domains_are_not_known(self, ignorant: Edge, host: str) -> None:
        assert ask(ignorant, host) == (503, "")
        assert ask(ignorant, host, "/winter") == (503, "")
        request = make_request("/summer", ("host", host))
        assert (await ignorant.handler.load_and_answer(request)).status == 503
        assert ignorant.feed.asked == []
        assert ignorant.count(Counter.LINKS_UNAVAILABLE) == 3
        assert ignorant.clicks() == []

    def test_the_edge_still_speaks_of_itself(self, ignorant: Edge) -> None:
        assert ignorant.handler.answer(make_request("/_/health", ("host", ACME))) is None

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.request import ProxyTrust, is_prefetch, parse_address
from edge.servers.rsgi import _strip_port
from tests.edge.factories import FakeHeaders, make_request

PROXIES = "10.0.0.0/8, 2001:db8:f::/48,192.0.2.1"
VISITOR = "203.0.113.9"


def find_client(*lines: str, peer: str = "10.1.1.1") -> str:
    headers = [("x-forwarded-for", line) for line in lines]
    return ProxyTrust(PROXIES).find_client(make_request("/", *headers, peer=peer))


class TestTrust:
    @pytest.mark.parametrize("peer", ["10.255.0.1", "192.0.2.1", "2001:db8:f::1", "::ffff:10.0.0.1"])
    def test_our_proxies_are_trusted(self, peer: str) -> None:
        assert ProxyTrust(PROXIES).trusts(peer)

    @pytest.mark.parametrize("peer", ["11.0.0.1", "192.0.2.2", "2001:db8:e::1", "", "x", "10.0.0.1:80"])
    def test_nobody_else_is(self, peer: str) -> None:
        assert not ProxyTrust(PROXIES).trusts(peer)

    def test_without_a_setting_nobody_is(self) -> None:
        assert not ProxyTrust("").trusts("127.0.0.1")
        assert not ProxyTrust(" , ").trusts("127.0.0.1")

    def test_a_setting_that_is_no_network_is_refused(self) -> None:
        with pytest.raises(ValueError, match="proxy"):
            ProxyTrust("10.0.0.0/8,proxy")
        with pytest.raises(ValueError, match="host bits"):
            ProxyTrust("10.0.0.1/8")

    def test_a_flood_of_peers_takes_bounded_memory_and_changes_no_answer(self) -> None:
        trust = ProxyTrust(PROXIES)
        for number in range(20_000):
            assert not trust.trusts(f"11.{number >> 8}.{number & 255}.1")
        assert trust.trusts("10.0.0.1")
        assert len(trust._known) <= 4096


class TestFindClient:
    @pytest.mark.parametrize(
        ("lines", "client"),
        [
            ([], "10.1.1.1"),
            ([VISITOR], VISITOR),
            ([f"{VISITOR}, 10.2.2.2"], VISITOR),
            ([f"8.8.8.8, {VISITOR}"], VISITOR),
            ([f"8.8.8.8, 10.9.9.9, {VISITOR}, 10.2.2.2, 192.0.2.1"], VISITOR),
            (["8.8.8.8", VISITOR], VISITOR),
            ([VISITOR, "10.2.2.2"], VISITOR),
            (["8.8.8.8,9.9.9.9", f"{VISITOR},10.2.2.2"], VISITOR),
            (["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            (["2001:DB8::0001"], "2001:db8::1"),
            ([f"::ffff:{VISITOR}"], VISITOR),
            ([f" \t{VISITOR} "], VISITOR),
            (["fe80::1%eth0"], "fe80::1"),
            (["fe80::1%\ud800" + "x" * 1000], "fe80::1"),
        ],
    )
    def test_it_is_the_right_most_that_is_no_proxy_of_ours(self, lines: list[str], client: str) -> None:
        assert find_client(*lines) == client

    @pytest.mark.parametrize(
        "hop", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4:80", "[::1]", "1.2.3.4;", "9" * 1000, "\ud800"]
    )
    def test_a_malformed_hop_ends_the_search(self, hop: str) -> None:
        assert find_client(f"8.8.8.8, {hop}") == "10.1.1.1"
        assert find_client(f"8.8.8.8, {hop}, 10.2.2.2") == "10.2.2.2"
        assert find_client(f"{hop}, {VISITOR}") == VISITOR

    @given(st.lists(st.text(max_size=40), max_size=4))
    def test_a_peer_that_is_no_proxy_is_taken_for_the_visitor_whatever_it_says(
        self, lines: list[str]
    ) -> None:
        assert find_client(*lines, peer=VISITOR) == VISITOR

    @given(st.lists(st.text(max_size=40), max_size=4))
    def test_behind_a_proxy_any_header_gives_an_address(self, lines: list[str]) -> None:
        assert ip_address(find_client(*lines))
        assert find_client(*lines, VISITOR) == VISITOR


class TestParseAddress:
    @pytest.mark.parametrize(
        ("client", "address"),
        [
            ("127.0.0.1:1234", "127.0.0.1"),
            ("[::1]:1234", "::1"),
            ("[2001:db8::7]:1", "2001:db8::7"),
            ("[::ffff:203.0.113.9]:1234", VISITOR),
            ("[::ffff:1:2:3]:1234", "::ffff:1:2:3"),
        ],
    )
    def test_the_servers_peer_loses_its_port(self, client: str, address: str) -> None:
        assert _strip_port(client) == address

    @given(st.text(max_size=50))
    def test_any_text_is_an_address_or_none(self, text: str) -> None:
        address = parse_address(text)
        assert address is None or parse_address(str(address)) == address


class TestPrefetch:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("sec-purpose", "prefetch;anonymous-client-ip"),
            ("purpose", "prefetch"),
            ("purpose", "Preview"),
            ("x-moz", "prefetch"),
        ],
    )
    def test_it_is_told_by_the_browsers_own_word(self, name: str, value: str) -> None:
        assert is_prefetch(FakeHeaders((name, value)))

    @pytest.mark.parametrize(
        ("name", "value"), [("purpose", ""), ("sec-purpose", "x"), ("x-other", "prefetch")]
    )
    def test_other_requests_are_visits(self, name: str, value: str) -> None:
        assert not is_prefetch(FakeHeaders((name, value)))

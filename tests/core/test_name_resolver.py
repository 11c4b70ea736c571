from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING

import dns.rcode
import pytest

from control_plane.core import name_resolver
from control_plane.core.dns_servers import read_servers
from control_plane.core.name_resolver import LookupFailed, NameEmpty, NameResolver

if TYPE_CHECKING:
    from tests.dns_server import DnsServer

NAME = "_challenge.acme.com"


@pytest.fixture
def resolver(dns_server: DnsServer) -> NameResolver:
    return NameResolver(read_servers(dns_server.address))


class TestFindTexts:
    async def test_strings_of_a_record_are_joined_and_records_are_not(
        self,
        resolver: NameResolver,
        dns_server: DnsServer,
    ) -> None:
        dns_server.set_texts(NAME, "v=spf1 -all", ("one ", "two", " three"), "x" * 255)
        assert sorted(await resolver.find_texts(NAME)) == ["one two three", "v=spf1 -all", "x" * 255]

    async def test_an_alias_is_followed(self, resolver: NameResolver, dns_server: DnsServer) -> None:
        dns_server.set_records(NAME, "CNAME", "elsewhere.example.")
        dns_server.set_texts("elsewhere.example", "here")
        assert await resolver.find_texts(NAME) == ["here"]

    async def test_bytes_that_are_no_text_do_no_harm(
        self,
        resolver: NameResolver,
        dns_server: DnsServer,
    ) -> None:
        dns_server.set_records(NAME, "TXT", '"\\255\\254"')
        assert await resolver.find_texts(NAME) == ["\ufffd\ufffd"]

    async def test_no_such_name(self, resolver: NameResolver) -> None:
        with pytest.raises(NameEmpty, match=NAME):
            await resolver.find_texts(NAME)

    async def test_nothing_of_the_kind(self, resolver: NameResolver, dns_server: DnsServer) -> None:
        dns_server.set_records(NAME, "A", "8.8.8.8")
        with pytest.raises(NameEmpty, match="no TXT record"):
            await resolver.find_texts(NAME)

    @pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
    async def test_a_server_that_fails_says_nothing_of_the_name(
        self,
        resolver: NameResolver,
        dns_server: DnsServer,
        code: dns.rcode.Rcode,
    ) -> None:
        dns_server.failing[NAME] = code
        with pytest.raises(LookupFailed) as caught:
            await resolver.find_texts(NAME)
        assert not isinstance(caught.value, NameEmpty)

    async def test_silence(
        self,
        resolver: NameResolver,
        dns_server: DnsServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(name_resolver, "LOOKUP_TIMEOUT_S", 0.2)
        dns_server.silent.add(NAME)
        with pytest.raises(LookupFailed, match="no answer") as caught:
            await resolver.find_texts(NAME)
        assert not isinstance(caught.value, NameEmpty)

    async def test_what_does_not_fit_comes_over_tcp(
        self,
        resolver: NameResolver,
        dns_server: DnsServer,
    ) -> None:
        dns_server.truncated.add(NAME)
        dns_server.set_texts(NAME, "long")
        assert await resolver.find_texts(NAME) == ["long"]
        assert [question.split()[0] for question in dns_server.questions] == ["udp", "tcp"]

    async def test_the_next_server_is_asked(
        self,
        dns_server: DnsServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(name_resolver, "ATTEMPT_TIMEOUT_S", 0.1)
        dns_server.set_texts(NAME, "here")
        async with asyncio.timeout(5):
            blackhole = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
            dead = blackhole.sockets[0].getsockname()[1]
            resolver = NameResolver(read_servers(f"127.0.0.1:{dead},{dns_server.address}"))
            assert await resolver.find_texts(NAME) == ["here"]
            blackhole.close()


class TestFindAddresses:
    async def test_both_kinds(self, resolver: NameResolver, dns_server: DnsServer) -> None:
        dns_server.set_records("acme.com", "A", "8.8.8.8", "8.8.4.4")
        dns_server.set_records("acme.com", "AAAA", "2606:4700::1111")
        found = await resolver.find_addresses("acme.com")
        assert set(found) == {ip_address(text) for text in ("8.8.8.8", "8.8.4.4", "2606:4700::1111")}

    async def test_one_kind_is_enough(self, resolver: NameResolver, dns_server: DnsServer) -> None:
        dns_server.set_records("acme.com", "AAAA", "2606:4700::1111")
        assert await resolver.find_addresses("acme.com") == [ip_address("2606:4700::1111")]

    async def test_none(self, resolver: NameResolver, dns_server: DnsServer) -> None:
        dns_server.set_texts("acme.com", "only text")
        with pytest.raises(NameEmpty):
            await resolver.find_addresses("acme.com")

    async def test_this_machines_own_hosts_do_not_count(self, resolver: NameResolver) -> None:
        with pytest.raises(NameEmpty):
            await resolver.find_addresses("localhost")


class TestReadServers:
    def test_forms(self) -> None:
        assert read_servers("") == ()
        assert read_servers("1.1.1.1, 9.9.9.9:5353,[2606:4700::1111]:54,2606:4700::1") == (
            ("1.1.1.1", 53),
            ("9.9.9.9", 5353),
            ("2606:4700::1111", 54),
            ("2606:4700::1", 53),
        )

    @pytest.mark.parametrize("text", ["dns.example", "1.1.1.1:", "1.1.1.1:0", "1.1.1.1:70000", "1.1.1.1:x"])
    def test_what_is_no_server(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            read_servers(text)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.domain_record import NOBODY, DomainRecord, encode_domain
from edge.custom_domains import (
    HOSTS_REMEMBERED,
    LONGEST_HOST_REMEMBERED,
    OWN_NAMES,
    CustomDomains,
    read_name,
    split_changes,
)
from tests.edge.factories import TENANT

ACME = "go.acme.example"


def value(domain: str = ACME, version: int = 1, tenant_id: bytes = TENANT) -> bytes:
    return encode_domain(DomainRecord(domain, version, tenant_id))


@pytest.fixture
def domains() -> CustomDomains:
    domains = CustomDomains()
    domains.replace({ACME: value()})
    return domains


class TestHosts:
    @pytest.mark.parametrize(
        "host",
        [
            ACME,
            "GO.ACME.example",
            f"{ACME}.",
            f"{ACME}:8080",
            f"{ACME}.:443",
            f" {ACME}\t",
            f"{ACME}, cdn.example",
        ],
    )
    def test_spellings_of_a_domain(self, domains: CustomDomains, host: str) -> None:
        assert domains.by_host[host].domain == ACME
        assert domains.by_host[host].prefix == f"{ACME}/"

    @pytest.mark.parametrize(
        "host",
        [
            "",
            ".",
            ":80",
            "[::1]",
            "[::1]:8080",
            "127.0.0.1",
            "acme.example",
            f"x.{ACME}",
            f"{ACME}..",
            f".{ACME}",
            f"{ACME}/",
            f"{ACME}/summer",
            f"[{ACME}]",
            f"cdn.example, {ACME}",
            "\ud800",
        ],
    )
    def test_whatever_is_no_domain_is_a_name_of_the_service(self, domains: CustomDomains, host: str) -> None:
        assert domains.by_host[host] is OWN_NAMES

    @given(st.text())
    def test_any_text_has_a_site(self, host: str) -> None:
        domains = CustomDomains()
        domains.replace({ACME: value()})
        assert (domains.by_host[host] is OWN_NAMES) == (read_name(host) != ACME)

    def test_a_flood_of_hosts_is_not_remembered(self, domains: CustomDomains) -> None:
        for number in range(5 * HOSTS_REMEMBERED):
            assert domains.by_host[f"{number}.example"] is OWN_NAMES
            assert len(domains.by_host) <= HOSTS_REMEMBERED
        before = len(domains.by_host)
        assert domains.by_host["x" * (LONGEST_HOST_REMEMBERED + 1)] is OWN_NAMES
        assert len(domains.by_host) == before


class TestChanges:
    def test_until_domains_are_known_hosts_matter(self) -> None:
        domains = CustomDomains()
        assert domains.matter
        assert not domains.are_known
        domains.replace({})
        assert domains.are_known
        assert not domains.matter

    def test_a_new_domain_counts_for_a_host_that_was_asked_for_before(self, domains: CustomDomains) -> None:
        assert domains.by_host["new.example"] is OWN_NAMES
        domains.put("new.example", value("new.example"))
        assert domains.by_host["new.example"].domain == "new.example"
        assert domains.matter

    def test_an_older_version_changes_nothing(self, domains: CustomDomains) -> None:
        domains.put(ACME, value(version=3, tenant_id=NOBODY))
        revision = domains.revision
        domains.put(ACME, value(version=2))
        assert domains.by_host[ACME].tenant_id == NOBODY
        assert domains.revision == revision
        domains.put(ACME, value(version=3))
        assert domains.by_host[ACME].tenant_id == TENANT

    def test_what_is_replaced_is_gone(self, domains: CustomDomains) -> None:
        domains.put("other.example", value("other.example", version=9))
        domains.replace({"other.example": value("other.example", version=8)})
        assert domains.by_host[ACME] is OWN_NAMES
        assert domains.by_host["other.example"].record.version == 8
        assert len(domains) == 1

    def test_records_come_out_as_they_went_in(self, domains: CustomDomains) -> None:
        domains.put("old.example", value("old.example", tenant_id=NOBODY))
        assert domains.read_values() == {
            ACME: value(),
            "old.example": value("old.example", tenant_id=NOBODY),
        }

    @pytest.mark.parametrize("garbage", [b"", b"garbage", b"0" * 16 + b"\x93", value()[:-1]])
    def test_a_record_that_cannot_be_read_leads_nowhere_and_is_repaired(self, garbage: bytes) -> None:
        domains = CustomDomains()
        domains.replace({ACME: garbage})
        assert domains.by_host[ACME].tenant_id == NOBODY
        domains.put(ACME, value())
        domains.put(ACME, garbage)
        assert domains.by_host[ACME].tenant_id == TENANT

    def test_links_and_domains_that_have_changed_are_told_apart(self) -> None:
        changes = ["summer", f"{ACME}/summer", f"{ACME}/", f"{ACME}/"]
        assert split_changes(changes) == ({"summer", f"{ACME}/summer"}, {ACME})

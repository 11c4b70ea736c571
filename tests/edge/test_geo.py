from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

import maxminddb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.geo import CountryLookup
from tests.edge.factories import FakeHeaders

if TYPE_CHECKING:
    from pathlib import Path

GOOGLE_DNS = "8.8.8.8"
NOBODY = "127.0.0.1"


@pytest.fixture(scope="module")
def countries() -> CountryLookup:
    return CountryLookup(database="", header="CF-IPCountry")


def says(code: str) -> FakeHeaders:
    return FakeHeaders(("cf-ipcountry", code))


class TestHeader:
    @pytest.mark.parametrize(("said", "code"), [("BR", "BR"), ("br", "BR"), ("De", "DE")])
    def test_a_trusted_header_wins_over_the_address(
        self, countries: CountryLookup, said: str, code: str
    ) -> None:
        assert countries.find_country(GOOGLE_DNS, says(said)) == code

    @pytest.mark.parametrize("said", ["XX", "T1", "t1", "A1", "EU", "", "B", "BRA", "B1", "ÄÖ", "ß", " B"])
    def test_what_is_no_country_is_passed_over(self, countries: CountryLookup, said: str) -> None:
        assert countries.find_country(GOOGLE_DNS, says(said)) == "US"
        assert countries.find_country(NOBODY, says(said)) == ""

    def test_the_name_of_the_header_is_a_setting(self) -> None:
        countries = CountryLookup(database="", header="X-Country")
        assert countries.find_country(NOBODY, FakeHeaders(("x-country", "FR"))) == "FR"
        assert countries.find_country(NOBODY, says("FR")) == ""

    def test_without_trust_there_is_no_header(self, countries: CountryLookup) -> None:
        assert countries.find_country(GOOGLE_DNS, None) == "US"


class TestBuiltIn:
    @pytest.mark.parametrize(
        ("address", "code"),
        [(GOOGLE_DNS, "US"), ("2001:4860:4860::8888", "US"), (NOBODY, ""), ("::1", ""), ("10.0.0.1", "")],
    )
    def test_addresses(self, countries: CountryLookup, address: str, code: str) -> None:
        assert countries.find_country(address, None) == code

    @given(st.text(max_size=50))
    def test_any_text_gives_a_country_or_none(self, address: str) -> None:
        code = CountryLookup(database="", header="x").find_country(address, None)
        assert code == "" or (len(code) == 2 and code.isascii() and code.isupper())


class TestOperatorsDatabase:
    def test_it_replaces_the_built_in_one(self, tmp_path: Path) -> None:
        countries = open_database(tmp_path, {"8.8.8.0/24": {"country": {"iso_code": "BR"}}})
        assert countries.find_country(GOOGLE_DNS, None) == "BR"
        assert countries.find_country(GOOGLE_DNS, says("FR")) == "FR"
        assert countries.find_country("8.8.4.4", None) == ""

    @pytest.mark.parametrize(
        "record",
        [
            {"country": {"iso_code": "EU"}},
            {"country": {"iso_code": "BRA"}},
            {"country": {"iso_code": {"iso_code": "BR"}}},
            {"country": {}},
            {"country": "BR"},
            {"city": "BR"},
        ],
    )
    def test_a_record_without_a_country_gives_none(self, tmp_path: Path, record: dict[str, object]) -> None:
        assert open_database(tmp_path, {"8.8.8.0/24": record}).find_country(GOOGLE_DNS, None) == ""

    @pytest.mark.parametrize("address", ["", "x", "::1", "2001:4860:4860::8888", "1.2.3.4:5"])
    def test_what_it_cannot_look_up_gives_none(self, tmp_path: Path, address: str) -> None:
        countries = open_database(tmp_path, {"8.8.8.0/24": {"country": {"iso_code": "BR"}}})
        assert countries.find_country(address, None) == ""

    def test_a_damaged_one_stops_no_redirect(self, tmp_path: Path) -> None:
        path = tmp_path / "country.mmdb"
        path.write_bytes(make_database({"8.8.8.0/24": {"country": {"iso_code": "BR"}}}, pointer=10_000))
        countries = CountryLookup(database=str(path), header="x")
        assert countries.find_country(GOOGLE_DNS, None) == ""

    def test_a_missing_or_foreign_one_is_told_at_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            CountryLookup(database=str(tmp_path / "none.mmdb"), header="x")
        (tmp_path / "text.mmdb").write_text("x" * 1000)
        with pytest.raises(maxminddb.InvalidDatabaseError):
            CountryLookup(database=str(tmp_path / "text.mmdb"), header="x")


def open_database(folder: Path, networks: dict[str, object]) -> CountryLookup:
    path = folder / "country.mmdb"
    path.write_bytes(make_database(networks))
    return CountryLookup(database=str(path), header="CF-IPCountry")


def make_database(networks: dict[str, object], pointer: int = 0) -> bytes:
    """Write an IPv4 database in MaxMind's format with one network; `pointer` is added to its record's."""
    ((block, record),) = networks.items()
    network = ip_network(block)
    bits = f"{int(network.network_address):032b}"[: network.prefixlen]
    tree = b""
    for number, bit in enumerate(bits):
        following = number + 1 if number + 1 < len(bits) else len(bits) + 16 + pointer
        children = (len(bits), following) if bit == "1" else (following, len(bits))
        tree += b"".join(child.to_bytes(3, "big") for child in children)
    metadata = {
        "binary_format_major_version": _UINT16 + b"\0\2",
        "binary_format_minor_version": _UINT16 + b"\0\0",
        "build_epoch": _UINT64 + bytes(7) + b"\1",
        "database_type": "Test",
        "description": {"en": "test"},
        "ip_version": _UINT16 + b"\0\4",
        "languages": _EMPTY_ARRAY,
        "node_count": _UINT32 + len(bits).to_bytes(4, "big"),
        "record_size": _UINT16 + b"\0\x18",
    }
    return tree + bytes(16) + _encode(record) + b"\xab\xcd\xefMaxMind.com" + _encode(metadata)


_UINT16, _UINT32, _UINT64, _EMPTY_ARRAY = b"\xa2", b"\xc4", b"\x08\x02", b"\x00\x04"


def _encode(value: object) -> bytes:
    """Encode a text or a map; bytes are encoded already."""
    if isinstance(value, dict):
        pairs = b"".join(_encode(key) + _encode(item) for key, item in value.items())
        return bytes([7 << 5 | len(value)]) + pairs
    if isinstance(value, str):
        return bytes([2 << 5 | len(value)]) + value.encode()
    assert isinstance(value, bytes)
    return value

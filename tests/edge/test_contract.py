"""The bytes that edges and flushers of different versions exchange: changed only by appending."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract import redis_keys
from edge.contract.domain_record import BadDomainError, DomainRecord, decode_domain, encode_domain
from edge.contract.events import (
    FRAME_HEADER,
    BadChunkError,
    Chunk,
    Click,
    Conversion,
    ConversionKind,
    PageClick,
    Reason,
    Visit,
    chunk_fields,
    decode_event,
    encode_event,
    find_arrival_ms,
    read_chunk,
    split_frames,
)
from edge.contract.intake_record import (
    BadIntakeRecordError,
    IntakeKeyRecord,
    ProjectRecord,
    decode_intake_key,
    decode_project,
    encode_intake_key,
    encode_project,
)
from edge.contract.link_record import (
    BadLinkError,
    LinkRecord,
    LinkState,
    Stickiness,
    Variant,
    decode_link,
    encode_link,
)

CLICK = Click(
    id=bytes(range(16)),
    tenant_id=bytes(range(16, 32)),
    link_id=bytes(range(32, 48)),
    variant_id=bytes(range(48, 64)),
    link_version=7,
    reason=Reason.STICKY,
    ip="198.51.100.7",
    country="BR",
    referrer="https://r.example/",
    user_agent="Mozilla/5.0",
    query="a=1&b=%C3%A9",
    prefetch=True,
    project_id=bytes(range(64, 80)),
)
CLICK_BYTES = bytes.fromhex(
    "9ea163"
    "c410000102030405060708090a0b0c0d0e0f"
    "c410101112131415161718191a1b1c1d1e1f"
    "c410202122232425262728292a2b2c2d2e2f"
    "c410303132333435363738393a3b3c3d3e3f"
    "0705"
    "ac3139382e35312e3130302e37"
    "a24252"
    "b268747470733a2f2f722e6578616d706c652f"
    "ab4d6f7a696c6c612f352e30"
    "ac613d3126623d254333254139"
    "c3"
    "c410404142434445464748494a4b4c4d4e4f"
)
LINK = LinkRecord(
    tenant_id=bytes(range(16)),
    link_id=bytes(range(16, 32)),
    slug="summer",
    version=42,
    state=LinkState.ACTIVE,
    variants=(
        Variant(bytes(range(32, 48)), "a", "https://a.example/{click_id}", 70),
        Variant(bytes(range(48, 64)), "b", "https://b.example/", 30),
    ),
    geo_rules={"BR": 1},
    geo_default=0,
    winner=None,
    stickiness=Stickiness.COOKIE,
    forward_query=True,
    domain="go.acme.example",
    project_id=bytes(range(64, 80)),
)
LINK_BYTES = bytes.fromhex(
    "30303030303030303030303030303432"
    "9d"
    "c410000102030405060708090a0b0c0d0e0f"
    "c410101112131415161718191a1b1c1d1e1f"
    "a673756d6d6572"
    "2a01"
    "92"
    "94c410202122232425262728292a2b2c2d2e2fa161bc68747470733a2f2f612e6578616d706c652f7b636c69636b5f69647d46"
    "94c410303132333435363738393a3b3c3d3e3fa162b268747470733a2f2f622e6578616d706c652f1e"
    "81a2425201"
    "00c001c3"
    "af676f2e61636d652e6578616d706c65"
    "c410404142434445464748494a4b4c4d4e4f"
)
DOMAIN = DomainRecord("go.acme.example", 7, bytes(range(16)), "/p", "v")
DOMAIN_BYTES = bytes.fromhex(
    "3030303030303030303030303030303795af676f2e61636d652e6578616d706c6507c410000102030405060708090a0b0c0d0e0f"
    "a22f70a176"
)
PROJECT = ProjectRecord(
    project_id=bytes(range(16)),
    version=7,
    tenant_id=bytes(range(16, 32)),
    is_active=True,
    domain="shop.example",
    currency="BRL",
    accepts_tag_sales=False,
    secret_hash=bytes(32),
    previous_secret_hash=b"\1" * 32,
    previous_secret_until_ms=1_764_000_000_000,
)
PROJECT_BYTES = bytes.fromhex(
    "30303030303030303030303030303037"
    "9a"
    "c410000102030405060708090a0b0c0d0e0f"
    "07"
    "c410101112131415161718191a1b1c1d1e1f"
    "c3"
    "ac73686f702e6578616d706c65"
    "a342524c"
    "c2"
    "c4200000000000000000000000000000000000000000000000000000000000000000"
    "c4200101010101010101010101010101010101010101010101010101010101010101"
    "cf0000019ab697e800"
)
INTAKE_KEY = IntakeKeyRecord(
    bytes(32), 3, bytes(range(16)), is_active=True, expires_at_ms=1_764_000_000_000, allowed_ips=("::1/128",)
)
INTAKE_KEY_BYTES = bytes.fromhex(
    "30303030303030303030303030303033"
    "96"
    "c4200000000000000000000000000000000000000000000000000000000000000000"
    "03"
    "c410000102030405060708090a0b0c0d0e0f"
    "c3"
    "cf0000019ab697e800"
    "91a73a3a312f313238"
)
BODY = bytes.fromhex("0300000011223344616263") + bytes.fromhex("0100000055667788ff")
IDS = (bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)))
VISIT = Visit(
    *IDS,
    "c1",
    "b1",
    "https://s.example/",
    "https://r.example/",
    "198.51.100.7",
    "BR",
    "Mozilla/5.0",
    True,
    1_800_000_000_000,
)
VISIT_BYTES = bytes.fromhex(
    "9da176c410000102030405060708090a0b0c0d0e0fc410101112131415161718191a1b1c1d1e1fc41020212223242526"
    "2728292a2b2c2d2e2fa26331a26231b268747470733a2f2f732e6578616d706c652fb268747470733a2f2f722e657861"
    "6d706c652fac3139382e35312e3130302e37a24252ab4d6f7a696c6c612f352e30c3cf000001a3185c5000"
)
PAGE_CLICK = PageClick(
    *IDS,
    "k1",
    "v1",
    "https://t.example/",
    "a",
    "Buy",
    "https://s.example/",
    "198.51.100.7",
    "BR",
    "Mozilla/5.0",
    1_800_000_000_000,
)
PAGE_CLICK_BYTES = bytes.fromhex(
    "9ea170c410000102030405060708090a0b0c0d0e0fc410101112131415161718191a1b1c1d1e1fc41020212223242526"
    "2728292a2b2c2d2e2fa26b31a27631b268747470733a2f2f742e6578616d706c652fa161a3427579b268747470733a2f"
    "2f732e6578616d706c652fac3139382e35312e3130302e37a24252ab4d6f7a696c6c612f352e30cf000001a3185c5000"
)
CONVERSION = Conversion(
    *IDS,
    int(ConversionKind.REFUND),
    "r1",
    "completed",
    1990,
    150,
    "USD",
    "postback",
    "v1",
    "c1",
    "k1",
    "s1",
    "p1",
    "pr",
    "of",
    "tx",
    "why",
    True,
)
CONVERSION_BYTES = bytes.fromhex(
    "dc0015a165c410000102030405060708090a0b0c0d0e0fc410101112131415161718191a1b1c1d1e1fc4102021222324"
    "25262728292a2b2c2d2e2f03a27231a9636f6d706c65746564cd07c6cc96a3555344a8706f73746261636ba27631a263"
    "31a26b31a27331a27031a27072a26f66a27478a3776879c3"
)


class TestClick:
    def test_golden_bytes(self) -> None:
        assert encode_event(CLICK) == CLICK_BYTES
        assert decode_event(CLICK_BYTES) == CLICK

    def test_bytes_from_before_the_defaulted_fields_still_decode(self) -> None:
        without_project = b"\x9d" + CLICK_BYTES[1:-18]
        assert decode_event(without_project) == msgspec.structs.replace(CLICK, project_id=b"")
        oldest = b"\x9c" + CLICK_BYTES[1:-19]
        assert decode_event(oldest) == msgspec.structs.replace(CLICK, prefetch=False, project_id=b"")

    def test_bytes_with_fields_of_a_newer_version_decode(self) -> None:
        assert decode_event(b"\x9f" + CLICK_BYTES[1:] + b"\xa3new") == CLICK

    def test_reasons_keep_their_numbers(self) -> None:
        assert {reason.name: reason.value for reason in Reason} == {
            "WINNER": 1,
            "GEO": 2,
            "GEO_DEFAULT": 3,
            "WEIGHT": 4,
            "STICKY": 5,
            "FINGERPRINT": 6,
        }

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"\x00",
            CLICK_BYTES[:-1],
            CLICK_BYTES + b"\x00",
            CLICK_BYTES.replace(b"\xa1c", b"\xa1?", 1),
            CLICK_BYTES.replace(b"\xa2BR", b"\xa2\xff\xff"),
            b"\x9d\xa1c\xc4\x0f" + bytes(15) + CLICK_BYTES[21:],
            b"\xdc\x00\x0e" + CLICK_BYTES[1:] + b"\x91" * 100_000,
        ],
        ids=["empty", "int", "short", "long", "tag", "utf8", "id", "nested"],
    )
    def test_what_is_no_event_is_refused(self, payload: bytes) -> None:
        with pytest.raises(BadChunkError):
            decode_event(payload)

    @given(st.binary(max_size=200))
    def test_garbage_is_refused(self, payload: bytes) -> None:
        with pytest.raises(BadChunkError):
            decode_event(payload)


class TestReports:
    @pytest.mark.parametrize(
        ("event", "golden"),
        [(VISIT, VISIT_BYTES), (PAGE_CLICK, PAGE_CLICK_BYTES), (CONVERSION, CONVERSION_BYTES)],
        ids=["visit", "page_click", "conversion"],
    )
    def test_golden_bytes(self, event: Visit | PageClick | Conversion, golden: bytes) -> None:
        assert encode_event(event) == golden
        assert decode_event(golden) == event
        fields = len(event.__struct_fields__) + 1
        count = 3 if fields > 15 else 1
        newer = (b"\xdc" + (fields + 1).to_bytes(2, "big")) + golden[count:] + b"\xa3new"
        assert decode_event(newer) == event

    def test_bytes_from_before_the_defaulted_fields_still_decode(self) -> None:
        oldest = b"\x9b" + VISIT_BYTES[1:-10]
        assert decode_event(oldest) == msgspec.structs.replace(VISIT, prefetch=False, received_ms=0)
        oldest = b"\x9d" + PAGE_CLICK_BYTES[1:-9]
        assert decode_event(oldest) == msgspec.structs.replace(PAGE_CLICK, received_ms=0)
        oldest = b"\x9b" + CONVERSION_BYTES[3 : CONVERSION_BYTES.index(b"postback") + 8]
        assert decode_event(oldest) == Conversion(*IDS, 3, "r1", "completed", 1990, 150, "USD", "postback")

    def test_kinds_keep_their_numbers(self) -> None:
        assert {kind.name: kind.value for kind in ConversionKind} == {
            "CHECKOUT": 1,
            "SALE": 2,
            "REFUND": 3,
            "UPSELL": 4,
        }

    def test_what_a_page_dates_itself_arrived_when_the_edge_got_it(self) -> None:
        assert find_arrival_ms(VISIT) == find_arrival_ms(PAGE_CLICK) == 1_800_000_000_000
        assert find_arrival_ms(msgspec.structs.replace(VISIT, received_ms=0)) == 0x000102030405
        assert find_arrival_ms(CONVERSION) == find_arrival_ms(CLICK) == 0x000102030405


class TestLinkRecord:
    def test_golden_bytes(self) -> None:
        assert encode_link(LINK) == LINK_BYTES
        assert decode_link(LINK_BYTES) == LINK

    def test_bytes_with_fields_of_a_newer_version_decode(self) -> None:
        newer = LINK_BYTES[:16] + b"\x9e" + LINK_BYTES[17:] + b"\xc3"
        assert decode_link(newer) == LINK

    def test_bytes_from_before_the_defaulted_fields_still_decode(self) -> None:
        without_project = LINK_BYTES[:16] + b"\x9c" + LINK_BYTES[17:-18]
        assert decode_link(without_project) == msgspec.structs.replace(LINK, project_id=b"")
        oldest = LINK_BYTES[:16] + b"\x9b" + LINK_BYTES[17:-34]
        assert decode_link(oldest) == msgspec.structs.replace(LINK, domain="", project_id=b"")

    def test_a_link_is_looked_up_by_domain_and_slug(self) -> None:
        assert LINK.key == "go.acme.example/summer"
        assert msgspec.structs.replace(LINK, domain="").key == "summer"

    def test_states_and_stickiness_keep_their_numbers(self) -> None:
        assert [state.value for state in (LinkState.ACTIVE, LinkState.INACTIVE, LinkState.DELETED)] == [
            1,
            2,
            3,
        ]
        assert [kind.value for kind in (Stickiness.NONE, Stickiness.COOKIE, Stickiness.FINGERPRINT)] == [
            0,
            1,
            2,
        ]

    @given(st.binary(max_size=100))
    def test_garbage_is_refused(self, value: bytes) -> None:
        with pytest.raises(BadLinkError):
            decode_link(value)


class TestDomainRecord:
    def test_golden_bytes(self) -> None:
        assert encode_domain(DOMAIN) == DOMAIN_BYTES
        assert decode_domain(DOMAIN_BYTES) == DOMAIN

    def test_bytes_with_fields_of_a_newer_version_decode(self) -> None:
        assert decode_domain(DOMAIN_BYTES[:16] + b"\x96" + DOMAIN_BYTES[17:] + b"\xc3") == DOMAIN

    def test_bytes_of_the_version_before_decode(self) -> None:
        older = DOMAIN_BYTES[:16] + b"\x93" + DOMAIN_BYTES[17:-5]
        assert decode_domain(older) == DomainRecord("go.acme.example", 7, bytes(range(16)))

    @given(st.binary(max_size=100))
    def test_garbage_is_refused(self, value: bytes) -> None:
        with pytest.raises(BadDomainError):
            decode_domain(value)


class TestProjectRecord:
    def test_golden_bytes(self) -> None:
        assert encode_project(PROJECT) == PROJECT_BYTES
        assert decode_project(PROJECT_BYTES) == PROJECT

    def test_bytes_with_fields_of_a_newer_version_decode(self) -> None:
        assert decode_project(PROJECT_BYTES[:16] + b"\x9b" + PROJECT_BYTES[17:] + b"\xc3") == PROJECT

    @given(st.binary(max_size=100))
    def test_garbage_is_refused(self, value: bytes) -> None:
        with pytest.raises(BadIntakeRecordError):
            decode_project(value)


class TestIntakeKeyRecord:
    def test_golden_bytes(self) -> None:
        assert encode_intake_key(INTAKE_KEY) == INTAKE_KEY_BYTES
        assert decode_intake_key(INTAKE_KEY_BYTES) == INTAKE_KEY

    def test_bytes_with_fields_of_a_newer_version_decode(self) -> None:
        newer = INTAKE_KEY_BYTES[:16] + b"\x97" + INTAKE_KEY_BYTES[17:] + b"\xc3"
        assert decode_intake_key(newer) == INTAKE_KEY

    @given(st.binary(max_size=100))
    def test_garbage_is_refused(self, value: bytes) -> None:
        with pytest.raises(BadIntakeRecordError):
            decode_intake_key(value)


class TestChunk:
    def test_golden_fields(self) -> None:
        chunk = Chunk("0" * 31 + "a", 5, 2, zlib.crc32(BODY), BODY)
        fields = chunk_fields(chunk)
        assert fields == {b"j": "0" * 31 + "a", b"s": 5, b"n": 2, b"c": 0x954FA3C4, b"b": BODY}
        stored = {
            name: value if isinstance(value, bytes) else str(value).encode() for name, value in fields.items()
        }
        assert read_chunk(stored) == chunk

    @pytest.mark.parametrize("name", [b"j", b"s", b"n", b"c", b"b"])
    def test_a_missing_field_is_refused(self, name: bytes) -> None:
        fields = {b"j": b"0" * 32, b"s": b"1", b"n": b"1", b"c": b"0", b"b": b""}
        read_chunk(fields)
        del fields[name]
        with pytest.raises(BadChunkError, match="lacks"):
            read_chunk(fields)

    @pytest.mark.parametrize(
        "garbled", [{b"j": b"\xff"}, {b"s": b"x"}, {b"n": b""}, {b"c": b"1.5"}, {b"b": b"changed"}]
    )
    def test_a_garbled_field_is_refused(self, garbled: dict[bytes, bytes]) -> None:
        fields = {b"j": b"0" * 32, b"s": b"1", b"n": b"1", b"c": b"0", b"b": b""}
        with pytest.raises(BadChunkError):
            read_chunk(fields | garbled)


class TestFrames:
    def test_golden_frames(self) -> None:
        assert [bytes(payload) for payload in split_frames(BODY)] == [b"abc", b"\xff"]
        assert FRAME_HEADER.size == 8

    @pytest.mark.parametrize(
        "body", [BODY[:-1], BODY[:5], BODY + b"\x00", bytes(8), b"\xff\xff\xff\xff" + bytes(100)]
    )
    def test_frames_that_do_not_fill_the_body_are_refused(self, body: bytes) -> None:
        with pytest.raises(BadChunkError):
            list(split_frames(body))

    @given(st.lists(st.binary(min_size=1, max_size=50)))
    def test_what_was_framed_comes_out(self, payloads: list[bytes]) -> None:
        body = b"".join(FRAME_HEADER.pack(len(payload), 0) + payload for payload in payloads)
        assert [bytes(payload) for payload in split_frames(body)] == payloads


def test_redis_names_are_what_they_were() -> None:
    assert redis_keys.FLUSHER_GROUP == "flusher"
    assert redis_keys.link("summer") == "sy1:link:{61}:summer"
    assert redis_keys.link("go.acme.example/summer") == "sy1:link:{342}:go.acme.example/summer"
    assert redis_keys.domains() == "sy1:domains:{10}"
    assert redis_keys.projects() == "sy1:projects:{10}"
    assert redis_keys.intake_keys() == "sy1:intake:keys:{10}"
    assert redis_keys.links_ready(0) == "sy1:links:ready:{10}"
    assert redis_keys.links_resync(63) == "sy1:links:resync:{40}"
    assert redis_keys.link_changes() == "sy1:links:changes:{10}"
    assert redis_keys.events(0) == "sy1:events:{10}"
    assert redis_keys.events(63) == "sy1:events:{40}"
    assert redis_keys.event_partitions() == "sy1:events:partitions"
    assert redis_keys.dead_letters() == "sy1:events:dead"
    assert redis_keys.landed("0a", 1) == "sy1:landed:{12}:0a"
    assert redis_keys.rate_limit("acme", 9) == "sy1:limit:{acme}:9"

"""The parts of MFA that need no database: recovery codes, waits, bindings, and pictures."""

from __future__ import annotations

import base64
import struct
import uuid
import zlib
from datetime import timedelta
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
import segno

from control_plane.dialects.identity.mfa import mask
from control_plane.dialects.qr_codes import MODULE_PX, draw_qr_code
from control_plane.domains.mfa.failures import LONGEST_WAIT, wait_after
from control_plane.domains.mfa.recovery_codes import ALPHABET, hash_code, hash_codes, make_codes
from control_plane.domains.mfa.sms_codes import Purpose, Use

USER = uuid.UUID("0198c0de-0000-7000-8000-000000000001")


class TestRecoveryCodes:
    def test_ten_of_80_bits(self) -> None:
        codes = make_codes()
        assert len(set(codes)) == 10
        for code in codes:
            assert [len(group) for group in code.split("-")] == [4, 4, 4, 4]
            assert set(code) - {"-"} <= set(ALPHABET)
        assert len(ALPHABET) == 32

    def test_how_they_are_typed_does_not_matter(self) -> None:
        (stored,) = hash_codes(USER, ["01ab-cdef-0101-wxyz"])
        for typed in ("01ab-cdef-0101-wxyz", "01ABCDEF0101WXYZ", " oIab cdef olOL wxyz "):
            assert hash_code(USER, typed) == stored

    def test_they_are_their_users_own(self) -> None:
        assert hash_code(USER, "01ab-cdef-0101-wxyz") != hash_code(uuid.uuid4(), "01ab-cdef-0101-wxyz")

    @pytest.mark.parametrize("text", ["", "123456", "01ab-cdef-0101-wxy", "01ab-cdef-0101-wxyu", "é" * 16])
    def test_other_texts_are_none(self, text: str) -> None:
        assert hash_code(USER, text) is None


def test_waits_double_up_to_half_a_day() -> None:
    waits = [wait_after(rounds) for rounds in range(1, 13)]
    assert waits[:4] == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8)]
    assert waits == sorted(waits)
    assert waits[-1] == wait_after(10**6) == LONGEST_WAIT == timedelta(hours=12)


def test_a_code_is_bound_to_what_it_was_sent_for() -> None:
    uses = [Use(Purpose.LOGIN, "a"), Use(Purpose.LOGIN, "b"), Use(Purpose.CONFIRM, "a")]
    assert len({use.hash_code("123456") for use in uses}) == 3


@pytest.mark.parametrize(("number", "shown"), [("+15551234567", "********4567"), ("123", "123")])
def test_a_phone_number_shows_its_end(number: str, shown: str) -> None:
    assert mask(number) == shown


class TestQrCodes:
    TEXT = "otpauth://totp/Acme:jo%40acme.test?secret=GEZDGNBVGY3TQOJQ&issuer=Acme"

    def test_the_png_shows_the_symbol(self) -> None:
        head, _, body = draw_qr_code(self.TEXT).png.partition(",")
        assert head == "data:image/png;base64"
        rows = read_gray_png(base64.b64decode(body))
        quiet, symbol = 4, segno.make(self.TEXT, error="m", micro=False).matrix
        assert len(rows) == (len(symbol) + 2 * quiet) * MODULE_PX
        middles = range(MODULE_PX // 2, len(rows), MODULE_PX)
        light = [[rows[y][x] for x in middles] for y in middles]
        inside = slice(quiet, quiet + len(symbol))
        assert [row[inside] for row in light[inside]] == [[1 - dark for dark in row] for row in symbol]
        around = light[:quiet] + light[-quiet:] + [row[:quiet] + row[-quiet:] for row in light]
        assert {pixel for row in around for pixel in row} == {1}

    def test_the_svg_is_one(self) -> None:
        head, _, body = draw_qr_code(self.TEXT).svg.partition(",")
        assert head == "data:image/svg+xml;charset=utf-8"
        root = ET.fromstring(unquote(body))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.attrib["width"] == root.attrib["height"]

    def test_its_text_stays_out_of_logs(self) -> None:
        assert repr(draw_qr_code("secret")) == "QrCode()"


def read_gray_png(data: bytes) -> list[list[int]]:
    """Read the pixels of a PNG of one bit per pixel: 1 is light."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    assert (depth, colour) == (1, 0)
    start, packed = 8, b""
    while start < len(data):
        (length,) = struct.unpack(">I", data[start : start + 4])
        if data[start + 4 : start + 8] == b"IDAT":
            packed += data[start + 8 : start + 8 + length]
        start += 12 + length
    stride, lines = 1 + (width + 7) // 8, zlib.decompress(packed)
    rows = [bytes(stride)]
    for y in range(height):
        kind, *line = lines[y * stride : (y + 1) * stride]
        assert kind in {0, 2}, "a line is written plainly, or as its difference to the one above"
        above = rows[-1] if kind else bytes(stride - 1)
        rows.append(bytes((value + over) % 256 for value, over in zip(line, above, strict=False)))
    return [[row[x // 8] >> (7 - x % 8) & 1 for x in range(width)] for row in rows[1:]]

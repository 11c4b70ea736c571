"""One-time passwords: the vectors of the RFCs, and what is taken when."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domains.mfa.totp import (
    NEVER,
    SEED_CHARACTERS,
    code_at,
    find_step,
    make_otpauth_url,
    make_seed,
    step_at,
)

DIGITS = b"1234567890"
SEED = base64.b32encode(DIGITS * 2).decode()

HOTP_VECTORS = [
    "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489",
]  # fmt: skip
"""RFC 4226, appendix D: the codes of the counters 0 to 9."""

TOTP_VECTORS = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]
"""RFC 6238, appendix B: Unix seconds, then the codes of 8 digits by SHA-1, SHA-256 and SHA-512."""

SEED_BYTES = {"sha1": 20, "sha256": 32, "sha512": 64}
"""The seeds of appendix B: the ten digits, repeated to the length of the hash."""


def moment(seconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


class TestVectors:
    @pytest.mark.parametrize(("counter", "code"), list(enumerate(HOTP_VECTORS)))
    def test_rfc_4226(self, counter: int, code: str) -> None:
        assert code_at(SEED, counter) == code

    @pytest.mark.parametrize("row", TOTP_VECTORS)
    @pytest.mark.parametrize("column", [0, 1, 2])
    def test_rfc_6238_with_the_library(self, row: tuple[int, str, str, str], column: int) -> None:
        name, length = list(SEED_BYTES.items())[column]
        seed = base64.b32encode((DIGITS * 7)[:length]).decode()
        digest: Any = getattr(hashlib, name)
        assert pyotp.TOTP(seed, digits=8, digest=digest).at(row[0]) == row[1 + column]

    @pytest.mark.parametrize("row", TOTP_VECTORS)
    def test_rfc_6238_as_factors_use_it(self, row: tuple[int, str, str, str]) -> None:
        now, code = moment(row[0]), row[1][-6:]
        assert code_at(SEED, step_at(now)) == code
        assert find_step(SEED, code, now, after=NEVER) == row[0] // 30


class TestSteps:
    NOW = moment(1_800_000_015)
    STEP = 60_000_000

    @pytest.mark.parametrize(("skew", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
    def test_clocks_may_be_one_step_apart(self, skew: int, taken: bool) -> None:
        found = find_step(SEED, code_at(SEED, self.STEP + skew), self.NOW, after=NEVER)
        assert found == (self.STEP + skew if taken else None)

    @pytest.mark.parametrize(("last", "taken"), [(-2, True), (-1, True), (0, False), (1, False)])
    def test_neither_the_last_step_nor_an_earlier_one_is_taken(self, last: int, taken: bool) -> None:
        found = find_step(SEED, code_at(SEED, self.STEP), self.NOW, after=self.STEP + last)
        assert found == (self.STEP if taken else None)

    @given(st.text(max_size=8) | st.text("٠١٢٣٤٥٦٧٨٩", min_size=6, max_size=6))
    def test_no_text_breaks_it(self, text: str) -> None:
        found = find_step(SEED, text, self.NOW, after=NEVER)
        expected = {code_at(SEED, self.STEP + skew) for skew in (-1, 0, 1)}
        assert (found is not None) == (text in expected)


class TestSeeds:
    def test_a_seed_is_160_random_bits(self) -> None:
        seeds = {make_seed() for _ in range(100)}
        assert len(seeds) == 100
        assert {len(base64.b32decode(seed)) for seed in seeds} == {20}
        assert SEED_CHARACTERS == 32

    @pytest.mark.parametrize("issuer", ["Acme", "Acmé & Söhne: Links?", "a/b"])
    def test_the_url_says_whose_account_it_is(self, issuer: str) -> None:
        url = urlsplit(make_otpauth_url(SEED, account="jo+x@acme.test", issuer=issuer))
        shown = issuer.replace(":", " ")
        assert (url.scheme, url.netloc) == ("otpauth", "totp")
        assert unquote(url.path) == f"/{shown}:jo+x@acme.test"
        assert parse_qs(url.query) == {"secret": [SEED], "issuer": [shown]}

    def test_an_issuer_without_a_name_is_ours(self) -> None:
        assert "issuer=Switchyard" in make_otpauth_url(SEED, account="a@b.c", issuer=" : ")

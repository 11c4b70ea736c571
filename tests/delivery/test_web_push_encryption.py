"""Against RFC 8291, appendix A, and against a browser's side that is written from the RFC."""

from __future__ import annotations

import base64
import secrets

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from control_plane.delivery.web_push_encryption import LARGEST_TEXT, encrypt
from tests.delivery.browsers import Browser


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


PLAINTEXT = decode("V2hlbiBJIGdyb3cgdXAsIEkgd2FudCB0byBiZSBhIHdhdGVybWVsb24")
SENDER_PRIVATE = decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
RECEIVER_PRIVATE = decode("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")
RECEIVER_PUBLIC = decode(
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
)
SECRET = decode("BTBZMqHH6r4Tts7J_aSIgg")
SALT = decode("DGv6ra1nlYgDCS1FRnbzlw")
BODY = decode(
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz"
    "AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def test_the_example_of_the_rfc_byte_for_byte() -> None:
    sender = derive_private_key(int.from_bytes(SENDER_PRIVATE), SECP256R1())
    assert encrypt(PLAINTEXT, RECEIVER_PUBLIC, SECRET, salt=SALT, sender=sender) == BODY


def test_our_browser_reads_the_example_of_the_rfc() -> None:
    browser = Browser(int.from_bytes(RECEIVER_PRIVATE), SECRET)
    assert browser.public == RECEIVER_PUBLIC
    assert browser.decrypt(BODY) == b"When I grow up, I want to be a watermelon"


@pytest.mark.parametrize("length", [0, 1, 100, LARGEST_TEXT])
def test_a_browser_reads_what_was_sent(length: int) -> None:
    browser, text = Browser(), secrets.token_bytes(length)
    body = encrypt(text, browser.public, browser.secret)
    assert browser.decrypt(body) == text
    assert len(body) <= 4096


def test_no_two_messages_are_alike() -> None:
    browser = Browser()
    assert encrypt(b"x", browser.public, browser.secret) != encrypt(b"x", browser.public, browser.secret)


def test_another_browser_reads_nothing() -> None:
    browser = Browser()
    body = encrypt(b"x", browser.public, browser.secret)
    with pytest.raises(InvalidTag):
        Browser().decrypt(body)

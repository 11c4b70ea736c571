"""Encryption of web push messages: RFC 8291, which is RFC 8188's aes128gcm with keys agreed by ECDH.

A message is one record: salt (16 bytes), record size (4), length of a key (1), our public key of this one
message (65); then AES-128-GCM of the text and the delimiter 2, which marks the last record.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RECORD_SIZE: Final = 4096
"""Every push service takes that much (RFC 8291, section 4)."""

SALT_BYTES: Final = 16
SECRET_BYTES: Final = 32
KEY_BYTES: Final = 16
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
PUBLIC_KEY_BYTES: Final = 65
LAST_RECORD: Final = b"\x02"

LARGEST_TEXT: Final = RECORD_SIZE - SALT_BYTES - 4 - 1 - PUBLIC_KEY_BYTES - len(LAST_RECORD) - TAG_BYTES
"""Bytes of text in a body of RECORD_SIZE."""


def encrypt(
    text: bytes,
    receiver_key: bytes,
    secret: bytes,
    *,
    salt: bytes | None = None,
    sender: EllipticCurvePrivateKey | None = None,
) -> bytes:
    """Encrypt a message for a browser; gives the body of the request.

    `text`: at most LARGEST_TEXT bytes. `receiver_key`, `secret`: the subscription's p256dh and auth.
    `salt`, `sender`: random, and of this one message; given only to reproduce a known one.
    """
    assert len(text) <= LARGEST_TEXT
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    sender = generate_private_key(SECP256R1()) if sender is None else sender
    receiver = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), receiver_key)
    sender_key = sender.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    about_keys = b"WebPush: info\0" + receiver_key + sender_key
    agreed = _derive(sender.exchange(ECDH(), receiver), secret, about_keys, SECRET_BYTES)
    key = _derive(agreed, salt, b"Content-Encoding: aes128gcm\0", KEY_BYTES)
    nonce = _derive(agreed, salt, b"Content-Encoding: nonce\0", NONCE_BYTES)
    header = salt + RECORD_SIZE.to_bytes(4) + PUBLIC_KEY_BYTES.to_bytes(1) + sender_key
    return header + AESGCM(key).encrypt(nonce, text + LAST_RECORD, None)


def _derive(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(material)

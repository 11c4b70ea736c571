"""QR codes as data URLs, which a page can show without asking anybody for a picture."""

from __future__ import annotations

import msgspec
import segno

MODULE_PX = 5
"""Pixels per square: an otpauth URL makes some 300 of them, a size that phones read from a screen."""


class QrCode(msgspec.Struct, frozen=True):
    """One QR code, drawn twice."""

    png: str
    svg: str

    def __repr__(self) -> str:
        """Keep what is in it out of logs."""
        return "QrCode()"


def draw_qr_code(text: str) -> QrCode:
    """Draw a text as a QR code. It takes some 20 ms: not on the event loop."""
    code = segno.make(text, error="m", micro=False)
    return QrCode(code.png_data_uri(scale=MODULE_PX), code.svg_data_uri(scale=MODULE_PX))

"""The built-in avatars: small drawings that users pick from, made here and the same for ever."""

from __future__ import annotations

import uuid
from typing import Final

import msgspec

_NAMESPACE: Final = uuid.UUID("6f0c6f5e-6d2b-5b0e-9a55-3b1f0f7c9a10")
"""An avatar's id follows from its name within this, so it is the same on every server."""

_SHAPES: Final = {
    "circle": '<circle cx="32" cy="32" r="18"/>',
    "diamond": '<path d="M32 12 52 32 32 52 12 32z"/>',
    "triangle": '<path d="M32 13 53 49H11z"/>',
    "rings": '<path d="M32 12a20 20 0 1 0 .1 0zm0 11a9 9 0 1 1-.1 0z"/>',
}
_COLORS: Final = {"amber": "#b45309", "teal": "#0f766e", "indigo": "#4338ca"}


class Avatar(msgspec.Struct, frozen=True):
    """A built-in avatar. `svg`: the drawing."""

    id: uuid.UUID
    name: str
    svg: str


def _draw(shape: str, color: str) -> Avatar:
    name = f"{color}-{shape}"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
        f'<rect width="64" height="64" fill="{_COLORS[color]}"/><g fill="#fff">{_SHAPES[shape]}</g></svg>'
    )
    return Avatar(uuid.uuid5(_NAMESPACE, name), name, svg)


LIBRARY: Final = {
    avatar.id: avatar for avatar in (_draw(shape, color) for shape in _SHAPES for color in _COLORS)
}
"""Every built-in avatar, by its id."""

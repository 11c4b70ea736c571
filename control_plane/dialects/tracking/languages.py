"""What errors say, in the languages of the tracking contract, and which of them a caller wants."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

Code: TypeAlias = Literal[
    "unauthorized",
    "forbidden",
    "not_found",
    "validation_error",
    "conflict",
    "rate_limit_exceeded",
    "method_not_allowed",
    "payload_too_large",
    "unsupported_media_type",
    "unavailable",
    "internal_error",
]
"""What went wrong, for programs. The contract names six; conflict and those of HTTP itself are added."""

LANGUAGES: Final = ("en", "pt-BR", "es")
"""The first one serves whoever asks for none of them."""

MESSAGES: Final[dict[Code, dict[str, str]]] = {
    "unauthorized": {"en": "Unauthorized", "pt-BR": "Não autorizado", "es": "No autorizado"},
    "forbidden": {"en": "Forbidden", "pt-BR": "Proibido", "es": "Prohibido"},
    "not_found": {
        "en": "Resource not found",
        "pt-BR": "Recurso não encontrado",
        "es": "Recurso no encontrado",
    },
    "validation_error": {
        "en": "Validation error",
        "pt-BR": "Erro de validação",
        "es": "Error de validación",
    },
    "conflict": {
        "en": "Conflict with what is already there",
        "pt-BR": "Conflito com o que já existe",
        "es": "Conflicto con lo que ya existe",
    },
    "rate_limit_exceeded": {
        "en": "Rate limit exceeded",
        "pt-BR": "Limite de requisições excedido",
        "es": "Límite de solicitudes excedido",
    },
    "method_not_allowed": {
        "en": "Method not allowed",
        "pt-BR": "Método não permitido",
        "es": "Método no permitido",
    },
    "payload_too_large": {
        "en": "Request body too large",
        "pt-BR": "Corpo da requisição grande demais",
        "es": "Cuerpo de la solicitud demasiado grande",
    },
    "unsupported_media_type": {
        "en": "Unsupported media type",
        "pt-BR": "Tipo de mídia não suportado",
        "es": "Tipo de contenido no admitido",
    },
    "unavailable": {
        "en": "Temporarily unavailable",
        "pt-BR": "Temporariamente indisponível",
        "es": "Temporalmente no disponible",
    },
    "internal_error": {
        "en": "Internal server error",
        "pt-BR": "Erro interno do servidor",
        "es": "Error interno del servidor",
    },
}

MOST_RANGES: Final = 32
"""Language ranges of one header that are looked at; browsers send a handful."""

_QUALITY: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def choose_language(header: str) -> str:
    """Choose the language that `Accept-Language` likes best (RFC 9110, 12.5.4).

    Any Portuguese is served pt-BR, and `es-MX` is served es: a range stands for its language wherever its
    region is not ours. The most specific range decides on a language; among equals the first one wins.
    """
    parts = enumerate(header.split(",")[:MOST_RANGES])
    ranges = [found for place, part in parts if (found := _read_range(part, place)) is not None]
    wanted = [
        (quality, place, language) for language in LANGUAGES for quality, place in _rank(ranges, language)
    ]
    return max(wanted, key=lambda one: one[:2])[2] if wanted else LANGUAGES[0]


def _rank(ranges: list[tuple[str, float, int]], language: str) -> list[tuple[float, int]]:
    """Give (quality, minus the place) of the range that decides on a language, if it is wanted at all."""
    found = [(_match(tag, language), quality, -place) for tag, quality, place in ranges]
    specificity, quality, place = max(found, default=(0, 0.0, 0))
    return [(quality, place)] if specificity and quality > 0 else []


def _read_range(part: str, place: int) -> tuple[str, float, int] | None:
    """Read `es;q=0.8` as (tag in lower case, quality, place); None for what is malformed."""
    tag, _semicolon, parameter = part.partition(";")
    name, _equals, value = (parameter.strip() or "q=1").partition("=")
    if name.strip().lower() != "q" or not _QUALITY.fullmatch(value.strip()):
        return None
    return tag.strip().lower(), float(value), place


def _match(tag: str, language: str) -> int:
    """Tell how closely a range names a language: 3 to the letter, 2 by its language, 1 as any, 0 not."""
    if tag == language.lower():
        return 3
    if tag.partition("-")[0] == language.lower().partition("-")[0]:
        return 2
    return 1 if tag == "*" else 0

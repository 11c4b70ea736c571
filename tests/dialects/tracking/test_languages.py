"""Which language a caller gets, and that every message is there in each."""

from __future__ import annotations

from typing import get_args

import pytest

from control_plane.dialects.tracking.errors import ANSWERS, REFUSALS, answer_of
from control_plane.dialects.tracking.languages import LANGUAGES, MESSAGES, Code, choose_language
from tests.dialects.links.test_error_map import every_error


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("en", "en"),
        ("pt-BR", "pt-BR"),
        ("PT-br", "pt-BR"),
        ("pt", "pt-BR"),
        ("pt-PT", "pt-BR"),
        ("es", "es"),
        ("es-419", "es"),
        ("es-MX,es;q=0.9", "es"),
        ("fr", "en"),
        ("fr, *;q=0.5", "en"),
        ("fr, es;q=0.1", "es"),
        ("*", "en"),
        ("en;q=0, *", "pt-BR"),
        ("en;q=0", "en"),
        ("en;q=0.5, pt;q=0.8, es;q=0.7", "pt-BR"),
        ("es, pt", "es"),
        ("pt, es", "pt-BR"),
        ("en;q=0.4, *;q=0.8", "pt-BR"),
        ("pt-BR;q=0, pt;q=1, es;q=0.2", "es"),
        (" es ; q=1.000 ", "es"),
        ("es;q=2, pt", "pt-BR"),
        ("es;q=x, pt;q=0.1", "pt-BR"),
        ("es;level=1", "en"),
        (";;;,,,q=1", "en"),
        (f"{'fr,' * 40}es", "en"),
    ],
)
def test_negotiation(header: str, language: str) -> None:
    assert choose_language(header) == language


def test_every_code_has_a_message_in_every_language() -> None:
    assert set(MESSAGES) == set(get_args(Code))
    for code, texts in MESSAGES.items():
        assert set(texts) == set(LANGUAGES), code
        assert len(set(texts.values())) == len(LANGUAGES), code


def test_every_error_has_an_answer() -> None:
    kinds = list(every_error())
    assert len(kinds) > len(ANSWERS)
    assert {answer_of(kind) for kind in kinds} <= set(ANSWERS.values())
    assert {code for _status, code in (*ANSWERS.values(), *REFUSALS.values())} == set(get_args(Code))

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any, Final

import pytest

from control_plane.delivery.templates import FOLDER, LANGUAGES, render
from control_plane.domains.messages.model import Template

DATA: Final[dict[Template, dict[str, Any]]] = {
    Template.VERIFY_EMAIL: {"code": "123456", "minutes": 10},
    Template.VERIFY_PHONE: {"code": "123456", "minutes": 10},
    Template.MFA_CODE: {"code": "123456", "minutes": 10},
    Template.ALREADY_REGISTERED: {},
    Template.PASSWORD_RESET: {"token": "spr_abc", "minutes": 30, "link": "https://app.test/?t=spr_abc"},
    Template.PASSWORD_CHANGED: {},
    Template.MFA_CHANGED: {"change": "totp"},
    Template.NEW_SIGN_IN: {"device": "Firefox", "address": "192.0.2.7"},
    Template.DOMAIN_LAPSED: {"domain": "go.acme.test", "reason": "no record"},
}
PRODUCT: Final = {"product": "Acme"}
ALL = [(template, language) for template in Template for language in LANGUAGES]


class TextReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data


def text_of(html: str) -> str:
    reader = TextReader()
    reader.feed(html)
    return reader.text


def test_every_template_has_data_and_nothing_else_lies_about() -> None:
    assert set(DATA) == set(Template)
    names = {f"{language}/{template}.{kind}" for template, language in ALL for kind in ("txt", "html")}
    assert {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.*")} == names


@pytest.mark.parametrize(("template", "language"), ALL)
class TestRender:
    def test_all_of_the_data_is_said_and_no_placeholder_is_left(
        self, template: Template, language: str
    ) -> None:
        text = render(template, language, PRODUCT | DATA[template])
        for part in (text.subject, text.lead, text.body, text.html):
            assert part
            assert "$" not in part
        for value in DATA[template].values():
            assert str(value) in text.body
            assert str(value) in text_of(text.html)

    def test_html_says_what_the_text_says(self, template: Template, language: str) -> None:
        text = render(template, language, PRODUCT | DATA[template])
        assert text_of(text.html).split() == text.body.split()

    def test_the_lead_fits_two_text_messages(self, template: Template, language: str) -> None:
        assert len(render(template, language, PRODUCT | DATA[template]).lead) <= 2 * 67

    def test_what_is_missing_is_nothing(self, template: Template, language: str) -> None:
        text = render(template, language, {})
        assert text.subject
        assert text.lead
        assert "$" not in text.subject + text.body + text.html


def test_languages_differ() -> None:
    for template in Template:
        assert len({render(template, language, PRODUCT).body for language in LANGUAGES}) == len(LANGUAGES)


@pytest.mark.parametrize("language", ["de", "", "../../etc", "EN"])
def test_a_language_that_we_do_not_have_is_english(language: str) -> None:
    assert render(Template.PASSWORD_CHANGED, language, PRODUCT) == render(
        Template.PASSWORD_CHANGED, "en", PRODUCT
    )


def test_values_are_escaped_in_html() -> None:
    text = render(Template.NEW_SIGN_IN, "en", {"device": '<img src=x onerror="x">&', "address": "$product"})
    assert "&lt;img src=x onerror=&quot;x&quot;&gt;&amp;" in text.html
    assert "<img" not in text.html
    assert '<img src=x onerror="x">&' in text.body
    assert "$product" in text.body  # a value is not a pattern


def test_a_value_adds_no_lines() -> None:
    text = render(Template.NEW_SIGN_IN, "en", {"device": "a\r\n\r\nb\u2028c\0d"})
    assert "Device: a b c d" in text.body.splitlines()


def test_a_paragraph_with_nothing_to_say_is_left_out() -> None:
    with_link = render(Template.PASSWORD_RESET, "en", PRODUCT | {"token": "t", "link": "https://x.test/"})
    without = render(Template.PASSWORD_RESET, "en", PRODUCT | {"token": "t"})
    assert "Or follow this link" in with_link.body
    assert "link" not in without.body
    assert "<a" not in without.html

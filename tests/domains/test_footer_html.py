from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domains.tenants.footer_html import SILENT, TAGS, VOID, sanitise

LINK = ' rel="noopener noreferrer"'


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("Acme & Sons < 5", "Acme &amp; Sons &lt; 5"),
        ("<p>Hi<br>there</p>", "<p>Hi<br>there</p>"),
        ("<P CLASS=x STYLE='color:red'>Hi</P>", "<p>Hi</p>"),
        (
            '<a href="https://example.com/?a=1&amp;b=2">x</a>',
            f'<a href="https://example.com/?a=1&amp;b=2"{LINK}>x</a>',
        ),
        ('<a href="mailto:a@example.com" target=_top>x</a>', f'<a href="mailto:a@example.com"{LINK}>x</a>'),
        ("<b><i>x</b>", "<b><i>x</i></b>"),
        ("x</b></p>", "x"),
        ("<ul><li>a<li>b", "<ul><li>a<li>b</li></li></ul>"),
        ("<b/>x", "<b>x</b>"),
        ("<!-- x --><!DOCTYPE html><?php x ?>y", "y"),
    ],
)
def test_harmless_markup_is_kept(given: str, kept: str) -> None:
    assert sanitise(given) == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("<script>alert(1)</script>x", "x"),
        ("<script/>alert(1)</script>x", "x"),
        ("<SCRIPT SRC=//a.example></SCRIPT>x", "x"),
        ("<script>alert(1)", ""),
        ("<style>p{}</style>x", "x"),
        ("<svg><script>alert(1)</script><a href='https://x.example'>y</a></svg>x", "x"),
        ("<math><mtext></p><style><img src=x onerror=alert(1)></style></math>x", "x"),
        ("<textarea><b>x</textarea>y", "y"),
        ("<title><b>x</title>y", "y"),
        ("<img src=x onerror=alert(1)>x", "x"),
        ("<iframe src=//a.example></iframe>x", "x"),
        ("<object data=x></object><embed src=x>x", "x"),
        ("<form action=//a.example><input name=x></form>x", "x"),
        ("<meta http-equiv=refresh content=0><base href=//a.example><link rel=stylesheet href=x>x", "x"),
        ("<p onclick=alert(1) id=x>x</p>", "<p>x</p>"),
        ('<a href="javascript:alert(1)">x</a>', "<a>x</a>"),
        ('<a href=" java&#10;script:alert(1)">x</a>', "<a>x</a>"),
        ('<a href="&#106;avascript:alert(1)">x</a>', "<a>x</a>"),
        ('<a href="JaVaScRiPt&colon;alert(1)">x</a>', "<a>x</a>"),
        ('<a href="data:text/html,x">x</a>', "<a>x</a>"),
        ('<a href="vbscript:x">x</a>', "<a>x</a>"),
        ('<a href="//a.example">x</a>', "<a>x</a>"),
        ('<a href="/x">x</a>', "<a>x</a>"),
        ('<a href="https://[">x</a>', "<a>x</a>"),
        (
            "<a href='https://a.example/\"onmouseover=\"x'>x</a>",
            f'<a href="https://a.example/&quot;onmouseover=&quot;x"{LINK}>x</a>',
        ),
        ("&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<<script>script>alert(1)<</script>/script>x", "&lt;/script&gt;x"),
    ],
)
def test_harm_is_taken_out(given: str, kept: str) -> None:
    assert sanitise(given) == kept


PIECES = st.one_of(
    st.sampled_from(
        [f"<{tag}>" for tag in sorted(TAGS | SILENT)]
        + [f"</{tag}>" for tag in sorted(TAGS | SILENT)]
        + [
            '<a href="javascript:x">',
            "<img onerror=x>",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "&lt;",
            "<",
            ">",
            '"',
        ]
    ),
    st.text(max_size=5),
)
TOKEN = re.compile(
    r"<(?:/(?P<end>[a-z]+)|(?P<start>[a-z]+)"
    r'(?: href="(?:https?:|mailto:)[^"<>]*" rel="noopener noreferrer")?)>'
)


@given(st.lists(PIECES, max_size=30))
def test_whatever_is_given_only_known_elements_come_out_and_all_are_closed(pieces: list[str]) -> None:
    kept = sanitise("".join(pieces))
    assert "<" not in TOKEN.sub("", kept)
    opened: list[str] = []
    for token in TOKEN.finditer(kept):
        if token["end"]:
            assert opened.pop() == token["end"]
        else:
            assert token["start"] in TAGS
            opened += [token["start"]] if token["start"] not in VOID else []
    assert opened == []
    assert sanitise(kept) == kept

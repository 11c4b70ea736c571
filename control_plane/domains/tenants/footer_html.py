"""The footer of a tenant's mails: HTML of which only what is known to be harmless is kept.

It is taken apart by html.parser and written anew, from an allow-list: nothing of the given markup is
copied, so how a browser would have read it does not matter.
"""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlsplit

TAGS: Final = frozenset(
    {"a", "b", "br", "div", "em", "hr", "i", "li", "ol", "p", "small", "span", "strong", "u", "ul"}
)
VOID: Final = frozenset({"br", "hr"})
SILENT: Final = frozenset(
    {"math", "noscript", "script", "select", "style", "svg", "template", "textarea", "title"}
)
"""Elements whose text was never meant to be read."""

LINK_SCHEMES: Final = frozenset({"http", "https", "mailto"})
_CONTROLS: Final = re.compile(r"[\x00-\x20\x7f-\xa0]")


def sanitise(text: str) -> str:
    """Keep text, simple markup, and links to web and mail addresses. Every element is closed."""
    writer = _Writer()
    writer.feed(text)
    writer.close()
    return writer.finish()


class _Writer(HTMLParser):
    """Writes anew what it is told of a document."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._out: list[str] = []
        self._open: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SILENT:
            self._silent.append(tag)
        elif not self._silent and tag in TAGS:
            self._out.append(f"<{tag}{_link(attrs) if tag == 'a' else ''}>")
            if tag not in VOID:
                self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # To HTML, the slash in <b/> means nothing; <script/> opens a script all the same.
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            if tag == self._silent[-1]:
                self._silent.pop()
        elif tag in self._open:
            while (last := self._open.pop()) != tag:
                self._out.append(f"</{last}>")
            self._out.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._out.append(html.escape(data))

    def finish(self) -> str:
        """Close what is open and give all of it."""
        self._out += [f"</{tag}>" for tag in reversed(self._open)]
        return "".join(self._out)


def _link(attrs: list[tuple[str, str | None]]) -> str:
    """Write the address of a link, if it is one to follow; `rel` keeps the reader's page from it."""
    address = next((value for name, value in attrs if name == "href" and value), "")
    # Browsers take control characters and blanks out of an address before they look at its scheme.
    address = _CONTROLS.sub("", address)
    try:
        scheme = urlsplit(address).scheme.lower()
    except ValueError:
        return ""
    return f' href="{html.escape(address)}" rel="noopener noreferrer"' if scheme in LINK_SCHEMES else ""

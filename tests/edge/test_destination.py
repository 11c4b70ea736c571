from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils import UUID

from edge.destination import LINK_MACROS, MACROS, Destination

CLICK_ID = UUID(int=(1_780_000_000_999 << 80) | 7)
VALUES = {
    "click_id": "019e7044-8be7-0000-0000-000000000007",
    "link_id": "11111111-1111-1111-1111-111111111111",
    "slug": "summer",
    "variant": "blue",
    "variant_id": "22222222-2222-2222-2222-222222222222",
    "country": "BR",
    "timestamp": "1780000000",
}
QUERY_CHARACTERS = st.text(
    st.one_of(
        st.sampled_from(list("&=%?#+;/\\\"'<>{}|^`\r\n\t\0 \x7f\x85\u2028é\ud800%41")), st.characters()
    ),
    max_size=60,
)
OWN = "https://a.example/p?utm_source=ours&sub%5Bid%5D=1&empty&q=a#frag"


def locate(url: str, query: str = "", values: dict[str, str] = VALUES) -> str:
    return Destination(url, values).locate(query, CLICK_ID, values["country"])


class TestMacros:
    def test_each_one_is_filled(self) -> None:
        for name in MACROS:
            assert locate(f"https://a.example/?x={{{name}}}") == f"https://a.example/?x={VALUES[name]}"

    def test_everywhere_and_as_often_as_they_stand(self) -> None:
        url = "https://{country}.a.example/{slug}/{slug}?v={variant}&t={timestamp}#{click_id}"
        assert locate(url) == (
            "https://BR.a.example/summer/summer?v=blue&t=1780000000#019e7044-8be7-0000-0000-000000000007"
        )

    def test_unknown_ones_stay_as_they_are(self) -> None:
        url = "https://a.example/?x={unknown}&y={}&z={CLICK_ID}&{click_id"
        assert locate(url) == url

    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
    def test_a_value_cannot_change_the_structure(self, label: str) -> None:
        values = VALUES | dict.fromkeys(LINK_MACROS, label)
        location = locate("https://a.example/x/{variant}/y?v={variant}&w=1#{variant}", values=values)
        assert location.isascii()
        parts = urlsplit(location)
        assert parts.netloc == "a.example"
        assert parts.path.count("/") == 3
        assert parse_qsl(parts.query, keep_blank_values=True) == [("v", label), ("w", "1")]
        assert unquote(parts.fragment) == label

    def test_a_value_that_looks_like_a_macro_is_not_filled_again(self) -> None:
        values = VALUES | {"slug": "{variant}", "variant": "{click_id}"}
        assert (
            locate("https://a.example/?v={variant}", values=values) == "https://a.example/?v=%7Bclick_id%7D"
        )


class TestForwarding:
    @pytest.mark.parametrize(
        ("url", "query", "location"),
        [
            ("https://a.example", "x=1", "https://a.example?x=1"),
            ("https://a.example/p", "x=1", "https://a.example/p?x=1"),
            ("https://a.example/p?", "x=1", "https://a.example/p?x=1"),
            ("https://a.example/p?a=1", "x=1", "https://a.example/p?a=1&x=1"),
            ("https://a.example/p?a=1&", "x=1", "https://a.example/p?a=1&x=1"),
            ("https://a.example/p#f", "x=1", "https://a.example/p?x=1#f"),
            ("https://a.example/p?a=1#f?g", "x=1", "https://a.example/p?a=1&x=1#f?g"),
            ("https://a.example/#/spa?a=1", "a=2", "https://a.example/?a=2#/spa?a=1"),
            ("https://a.example/p", "", "https://a.example/p"),
            ("https://a.example/p", "&&", "https://a.example/p"),
            ("https://a.example/p", "x", "https://a.example/p?x"),
            ("https://a.example/p", "x=a?b/c:d@e", "https://a.example/p?x=a?b/c:d@e"),
            ("https://a.example/p", "x=1&x=2&X=3", "https://a.example/p?x=1&x=2&X=3"),
            ("https://a.example/p", "x=%C3%A9&y=a+b", "https://a.example/p?x=%C3%A9&y=a+b"),
        ],
    )
    def test_the_visitors_query_is_added(self, url: str, query: str, location: str) -> None:
        assert locate(url, query) == location

    @pytest.mark.parametrize(
        "query",
        [
            "utm_source=theirs",
            "%75tm_source=theirs",
            "utm%5Fsource=theirs",
            "%75%74%6D%5F%73%6F%75%72%63%65=theirs",
            "utm_source",
            "sub[id]=2",
            "sub%5Bid%5D=2",
            "empty=1",
            "q=1&q=2&%71=3",
        ],
    )
    def test_what_the_destination_sets_itself_wins(self, query: str) -> None:
        assert locate(OWN, query) == OWN

    def test_only_what_the_destination_sets_is_left_out(self) -> None:
        location = locate(OWN, "a=1&utm_source=x&b=2&q=3&utm_sourcE=4")
        assert location == OWN.replace("#frag", "&a=1&b=2&utm_sourcE=4#frag")

    @pytest.mark.parametrize(
        ("query", "added"),
        [
            ("x=1\r\nSet-Cookie: a=b", "x=1%0D%0ASet-Cookie:%20a=b"),
            ("x=1#fragment", "x=1%23fragment"),
            ('x="<script>"', "x=%22%3Cscript%3E%22"),
            ("x=é", "x=%C3%A9"),
            ("x=\ud800", "x=%3F"),
            ("x=\0\x7f\t", "x=%00%7F%09"),
            ("x=a b", "x=a%20b"),
        ],
    )
    def test_what_could_split_the_header_or_the_url_is_encoded(self, query: str, added: str) -> None:
        assert locate("https://a.example/p#f", query) == f"https://a.example/p?{added}#f"

    @given(QUERY_CHARACTERS)
    def test_whatever_the_query_the_location_is_one_safe_header(self, query: str) -> None:
        for url in ("https://a.example", OWN, "https://a.example/{slug}?c={country}&#{variant}"):
            location = locate(url, query)
            assert re.fullmatch(r"[!-~]+", location)
            parts, own = urlsplit(location), urlsplit(locate(url))
            assert (parts.scheme, parts.netloc, parts.path) == (own.scheme, own.netloc, own.path)
            assert parts.fragment == own.fragment
            assert parts.query.startswith(own.query.rstrip("&"))

    @given(QUERY_CHARACTERS)
    def test_whatever_the_query_own_parameters_keep_their_values(self, query: str) -> None:
        found = parse_qsl(urlsplit(locate(OWN, query)).query, keep_blank_values=True)
        names = [name for name, _value in found]
        for name, value in (("utm_source", "ours"), ("sub[id]", "1"), ("q", "a"), ("empty", "")):
            assert names.count(name) == 1
            assert dict(found)[name] == value

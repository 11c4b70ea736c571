from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from edge.contract.events import Conversion, ConversionKind, PageClick, Visit
from edge.counters import Counter
from tests.edge.directories import PROJECT, make_project
from tests.edge.factories import make_request
from tests.edge.intake.intakes import NOW_MS, PROJECT_ID, RunningIntake

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://shop.example/?utm_source=mail"


def make_id(ms: int) -> str:
    return str(uuid.UUID(bytes=ms.to_bytes(6, "big") + b"\x70\x01\x80" + bytes(range(7))))


VISIT = {"project": PROJECT_ID, "url": URL, "visit_id": make_id(NOW_MS)}
SALE = {"project": PROJECT_ID, "event": "sale", "id": "order-1", "amount": "19.90"}


@pytest.fixture
def edge(tmp_path: Path) -> RunningIntake:
    return RunningIntake(tmp_path)


def name_faults(answer: Any) -> list[tuple[str, str]]:
    return [(fault["field"], fault["rule"]) for fault in answer["error"]["details"]["errors"]]


class TestVisit:
    def test_it_is_written_down_whole(self, edge: RunningIntake) -> None:
        given = VISIT | {"click_id": "c1", "client_id": "b1", "referrer": "https://news.example/"}
        status, answer = edge.report("/_/visit", given, ("user-agent", "Firefox"))
        assert (status, answer) == (200, {"visit_id": make_id(NOW_MS)})
        (visit,) = edge.events()
        assert isinstance(visit, Visit)
        assert (visit.project_id, visit.click_id, visit.client_id) == (PROJECT, "c1", "b1")
        assert (visit.landing_url, visit.referrer) == (URL, "https://news.example/")
        assert (visit.ip, visit.user_agent, visit.received_ms) == ("198.51.100.77", "Firefox", NOW_MS)
        assert edge.count(Counter.VISITS) == 1

    @pytest.mark.parametrize("off_ms", [-86_400_000, -1, 0, 300_000])
    def test_an_id_of_about_now_is_kept(self, edge: RunningIntake, off_ms: int) -> None:
        visit_id = make_id(NOW_MS + off_ms)
        assert edge.report("/_/visit", VISIT | {"visit_id": visit_id})[1] == {"visit_id": visit_id}

    @pytest.mark.parametrize("off_ms", [-86_400_001, 300_001])
    def test_an_id_of_another_time_gets_the_time_of_the_edge(self, edge: RunningIntake, off_ms: int) -> None:
        _status, answer = edge.report("/_/visit", VISIT | {"visit_id": make_id(NOW_MS + off_ms)})
        assert answer == {"visit_id": make_id(NOW_MS)}

    def test_without_an_id_the_edge_makes_one(self, edge: RunningIntake) -> None:
        _status, answer = edge.report("/_/visit", {"project": PROJECT_ID, "url": URL})
        assert edge.events()[0].id == uuid.UUID(answer["visit_id"]).bytes

    def test_gpc_drops_what_the_browser_is_called(self, edge: RunningIntake) -> None:
        edge.report("/_/visit", VISIT | {"client_id": "b1"}, ("sec-gpc", "1"))
        (visit,) = edge.events()
        assert isinstance(visit, Visit)
        assert visit.client_id == ""

    def test_every_fault_is_named(self, edge: RunningIntake) -> None:
        given = {"project": PROJECT_ID, "url": "javascript:x", "visit_id": "x", "click_id": [1]}
        status, answer = edge.report("/_/visit", given)
        assert (status, answer["error"]["code"]) == (400, "validation_error")
        assert name_faults(answer) == [
            ("visit_id", "must be a UUID"),
            ("url", "must begin with http:// or https://"),
            ("click_id", "must be text"),
        ]
        assert edge.events() == []

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"nonsense",
            b"null",
            b'"x"',
            b"[" * 60_000,
            b'{"a":' * 10_000,
            b'{"project":"\xff"}',
            b'{"project":"\\ud800"}',
            b'{"project":' + b"9" * 60_000 + b"}",
            b'{"project":1e999999}',
            b'{"project":null}',
            b'{"project":{}}',
            b'{"project":true}',
            b'{"project":"\\u0000"}',
            b"[]",
            b"[" + b"{}," * 50 + b"{}]",
            b"[[]]",
        ],
        ids=lambda body: body[:12].hex(),
    )
    @pytest.mark.parametrize("path", ["/_/visit", "/_/click", "/_/event"])
    def test_hostile_bodies_are_refused(self, edge: RunningIntake, path: str, body: bytes) -> None:
        response = edge.ask(path, body)
        assert response.status == 400
        json.loads(response.body)
        assert len(response.body) < 2000
        assert edge.events() == []
        assert edge.count(Counter.REPORTS_MALFORMED) == 1

    @pytest.mark.parametrize("field", ["url", "referrer", "click_id", "client_id"])
    def test_what_postgres_cannot_hold_is_refused(self, edge: RunningIntake, field: str) -> None:
        assert edge.report("/_/visit", VISIT | {field: "https://\0"})[0] == 400

    def test_long_texts_are_cut(self, edge: RunningIntake) -> None:
        given = VISIT | {"url": URL + "x" * 5000, "click_id": "c" * 999, "referrer": "r" * 5000}
        assert edge.report("/_/visit", given, ("user-agent", "u" * 5000))[0] == 200
        (visit,) = edge.events()
        assert isinstance(visit, Visit)
        lengths = (visit.landing_url, visit.click_id, visit.referrer, visit.user_agent)
        assert [len(text) for text in lengths] == [2048, 255, 2048, 1024]

    def test_of_a_key_that_is_given_twice_the_last_counts(self, edge: RunningIntake) -> None:
        body = json.dumps(VISIT)[:-1].encode() + b', "click_id": "a", "click_id": "b"}'
        assert edge.ask("/_/visit", body).status == 200
        (visit,) = edge.events()
        assert isinstance(visit, Visit)
        assert visit.click_id == "b"


class TestProjects:
    def test_an_unknown_one(self, edge: RunningIntake) -> None:
        edge.memory.projects.clear()
        assert edge.report("/_/visit", VISIT)[0] == 404
        assert edge.count(Counter.REPORTS_UNKNOWN) == 1

    def test_a_paused_one(self, edge: RunningIntake) -> None:
        edge.memory.projects[PROJECT] = make_project(is_active=False)
        assert edge.report("/_/visit", VISIT)[0] == 403
        assert edge.count(Counter.REPORTS_FORBIDDEN) == 1

    def test_one_that_takes_no_sales_from_pages(self, edge: RunningIntake) -> None:
        edge.memory.projects[PROJECT] = make_project(accepts_tag_sales=False)
        assert edge.report("/_/event", SALE)[0] == 403
        assert edge.report("/_/visit", VISIT)[0] == 200

    async def test_one_that_is_not_in_memory(self, edge: RunningIntake) -> None:
        edge.memory.is_stale = True
        request = msgspec.structs.replace(
            make_request("/_/visit", method="POST"), body=json.dumps(VISIT).encode()
        )
        assert edge.intake.answer(request) is None
        assert edge.events() == []
        response = await edge.intake.answer_later(request)
        assert response is not None
        assert response.status == 200
        assert len(edge.events()) == 1


class TestClick:
    def test_it_is_written_down_whole(self, edge: RunningIntake) -> None:
        given = {
            "project": PROJECT_ID,
            "id": make_id(NOW_MS),
            "click_id": "cta",
            "visit_id": make_id(NOW_MS),
            "target_url": "https://pay.example/",
            "element_type": "a",
            "element_text": "Buy",
            "url": URL,
        }
        assert edge.report("/_/click", given) == (202, {"status": "accepted"})
        (click,) = edge.events()
        assert isinstance(click, PageClick)
        assert (click.click_id, click.target_url, click.element_type, click.element_text, click.page_url) == (
            "cta",
            "https://pay.example/",
            "a",
            "Buy",
            URL,
        )
        assert edge.count(Counter.PAGE_CLICKS) == 1


class TestEvent:
    @pytest.mark.parametrize(("amount", "minor"), [("19.90", 1990), (19.9, 1990), (19, 1900), ("1e1", 1000)])
    def test_a_sale(self, edge: RunningIntake, amount: object, minor: int) -> None:
        given = SALE | {"amount": amount, "commission": "1.50", "click_id": "c1", "product_id": 42}
        assert edge.report("/_/event", given)[0] == 202
        (sale,) = edge.events()
        assert isinstance(sale, Conversion)
        assert (sale.kind, sale.external_id, sale.status) == (ConversionKind.SALE, "order-1", "completed")
        assert (sale.amount_minor, sale.commission_minor, sale.currency) == (minor, 150, "USD")
        assert (sale.source, sale.click_id, sale.product_id) == ("tag", "c1", "42")

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"event": "refund"}, "event"),
            ({"event": None}, "event"),
            ({"id": ""}, "id"),
            ({"id": "x" * 256}, "id"),
            ({"amount": None}, "amount"),
            ({"amount": "1.999"}, "amount"),
            ({"amount": "-1"}, "amount"),
            ({"amount": "9e999999"}, "amount"),
            ({"amount": True}, "amount"),
            ({"amount": "1,5"}, "amount"),
            ({"currency": "XXX"}, "currency"),
            ({"commission": "x"}, "commission"),
            ({"status": "rejected"}, "status"),
            ({"event": "upsell"}, "parent_sale_id"),
        ],
    )
    def test_faults(self, edge: RunningIntake, changes: dict[str, Any], field: str) -> None:
        status, answer = edge.report("/_/event", SALE | changes)
        assert (status, [name for name, _rule in name_faults(answer)]) == (400, [field])
        assert edge.events() == []

    def test_an_upsell_names_its_sale(self, edge: RunningIntake) -> None:
        assert edge.report("/_/event", SALE | {"event": "upsell", "sale_id": "order-0"})[0] == 202
        (upsell,) = edge.events()
        assert isinstance(upsell, Conversion)
        assert (upsell.sale_id, upsell.parent_sale_id) == ("order-0", "order-0")

    def test_a_checkout_needs_no_amount(self, edge: RunningIntake) -> None:
        given = {"project": PROJECT_ID, "event": "checkout", "checkout_id": "k1", "status": "abandoned"}
        assert edge.report("/_/event", given)[0] == 202
        (checkout,) = edge.events()
        assert isinstance(checkout, Conversion)
        assert (checkout.external_id, checkout.checkout_id, checkout.status) == ("k1", "", "abandoned")


class TestLists:
    def test_one_result_for_each(self, edge: RunningIntake) -> None:
        other = make_id(NOW_MS - 5)
        unknown = VISIT | {"project": "00000000-0000-0000-0000-000000000063"}
        items = [VISIT, {"project": PROJECT_ID}, VISIT | {"visit_id": other}, unknown, 7]
        status, answer = edge.report("/_/visit", items)
        assert status == 200
        first, second, third, fourth, fifth = answer["results"]
        assert (first, third) == ({"visit_id": make_id(NOW_MS)}, {"visit_id": other})
        codes = [result["error"]["code"] for result in (second, fourth, fifth)]
        assert codes == ["validation_error", "not_found", "validation_error"]
        assert len(edge.events()) == 2

    def test_without_ids_what_is_sent_again_would_count_twice(self, edge: RunningIntake) -> None:
        status, answer = edge.report("/_/visit", [{"project": PROJECT_ID, "url": URL}])
        assert (status, answer["results"][0]["error"]["field"]) == (400, "visit_id")

    def test_fifty_fit(self, edge: RunningIntake) -> None:
        assert edge.report("/_/event", [SALE | {"id": f"o{n}"} for n in range(50)])[0] == 202
        assert edge.count(Counter.CONVERSIONS) == 50


class TestPixel:
    def test_a_visit(self, edge: RunningIntake) -> None:
        query = f"project={PROJECT_ID}&url=https%3A%2F%2Fshop.example%2F&visit_id=x"
        response = edge.ask("/_/pixel.gif", method="GET", query=query)
        assert (response.status, response.body[:6], len(response.body)) == (200, b"GIF89a", 43)
        assert ("cache-control", "no-store") in response.headers
        (visit,) = edge.events()
        assert isinstance(visit, Visit)
        assert visit.landing_url == "https://shop.example/"

    def test_the_page_is_the_referer_unless_it_is_said(self, edge: RunningIntake) -> None:
        edge.ask("/_/pixel.gif", b"", ("referer", URL), method="GET", query=f"project={PROJECT_ID}")
        (visit,) = edge.events()
        assert isinstance(visit, Visit)
        assert visit.landing_url == URL

    def test_a_sale(self, edge: RunningIntake) -> None:
        query = f"project={PROJECT_ID}&event=sale&id=o1&amount=5"
        assert edge.ask("/_/pixel.gif", method="GET", query=query).status == 200
        (sale,) = edge.events()
        assert isinstance(sale, Conversion)
        assert (sale.external_id, sale.amount_minor) == ("o1", 500)

    def test_head_never_counts(self, edge: RunningIntake) -> None:
        query = f"project={PROJECT_ID}&url=https%3A%2F%2Fshop.example%2F"
        assert edge.ask("/_/pixel.gif", method="HEAD", query=query).status == 200
        assert edge.ask("/_/postback", method="HEAD", query=query).status == 405
        assert edge.ask("/_/visit", method="HEAD").status == 405
        assert edge.events() == []


class TestAnswers:
    @pytest.mark.parametrize("path", ["/_/visit", "/_/click", "/_/event"])
    def test_pages_of_any_origin_may_ask(self, edge: RunningIntake, path: str) -> None:
        response = edge.ask(path, method="OPTIONS")
        assert response.status == 204
        assert dict(response.headers)["access-control-allow-origin"] == "*"
        assert dict(edge.ask(path).headers)["access-control-allow-origin"] == "*"

    def test_a_full_journal(self, edge: RunningIntake) -> None:
        edge.room.is_full = True
        long = VISIT | {"referrer": "r" * 2048}
        for _ in range(2000):
            if edge.report("/_/visit", long)[0] != 200:
                break
        response = edge.ask("/_/visit", json.dumps(long).encode())
        assert (response.status, json.loads(response.body)["error"]["code"]) == (503, "journal_full")
        headers = dict(response.headers)
        assert (headers["retry-after"], headers["access-control-expose-headers"]) == ("5", "retry-after")
        assert edge.count(Counter.JOURNAL_FULL) == 2
        assert len(edge.events()) == edge.count(Counter.VISITS)

    def test_tag(self, tmp_path: Path) -> None:
        assert RunningIntake(tmp_path).ask("/_/tag.js", method="GET").status == 404
        (tmp_path / "tag.js").write_bytes(b"let tag = 1\n" * 50)
        edge = RunningIntake(tmp_path)
        plain = edge.ask("/_/tag.js", method="GET")
        packed = edge.ask("/_/tag.js", b"", ("accept-encoding", "br, gzip"), method="GET")
        assert dict(packed.headers)["content-encoding"] == "gzip"
        assert len(packed.body) < len(plain.body) == 600
        etag = dict(plain.headers)["etag"]
        again = edge.ask("/_/tag.js", b"", ("if-none-match", etag), method="GET")
        assert (again.status, again.body) == (304, b"")
        refused = edge.ask("/_/tag.js", b"", ("accept-encoding", "gzip;q=0"), method="GET")
        assert refused.body == plain.body

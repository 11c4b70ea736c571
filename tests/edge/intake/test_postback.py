from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest

from edge.contract.events import Conversion, ConversionKind
from edge.counters import Counter
from tests.edge.directories import KEY, PROJECT, make_intake_key, make_project
from tests.edge.intake.intakes import NOW_MS, PROJECT_ID, RunningIntake

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "a secret"
HASH = hashlib.sha256(SECRET.encode()).digest()
BASE = f"project={PROJECT_ID}&token=a+secret"


@pytest.fixture
def edge(tmp_path: Path) -> RunningIntake:
    edge = RunningIntake(tmp_path)
    edge.memory.projects[PROJECT] = make_project(secret_hash=HASH)
    return edge


def read_one(edge: RunningIntake) -> Conversion:
    (event,) = edge.events()
    assert isinstance(event, Conversion)
    return event


class TestAuthorisation:
    @pytest.mark.parametrize("extra", ["", "&token=wrong", "&signature=00", f"&api_key={KEY}", "&token=%00"])
    def test_nothing_is_written_down_for_strangers(self, edge: RunningIntake, extra: str) -> None:
        status, answer = edge.postback(f"project={PROJECT_ID}&txid=1&amount=1{extra}")
        assert (status, answer["error"]["code"]) == (401, "unauthorized")
        assert edge.events() == []
        assert edge.count(Counter.REPORTS_FORBIDDEN) == 1

    def test_a_project_that_nobody_has_is_not_told_apart(self, edge: RunningIntake) -> None:
        edge.memory.projects.clear()
        assert edge.postback(f"{BASE}&txid=1&amount=1")[0] == 401

    def test_bearer(self, edge: RunningIntake) -> None:
        bearer = ("authorization", f"Bearer {SECRET}")
        assert edge.postback(f"project={PROJECT_ID}&txid=1&amount=1", bearer)[0] == 200

    def test_the_secret_before_counts_for_a_while(self, edge: RunningIntake) -> None:
        for until_ms, status in ((NOW_MS + 1, 200), (NOW_MS, 401)):
            edge.memory.projects[PROJECT] = make_project(
                secret_hash=b"x" * 32, previous_secret_hash=HASH, previous_secret_until_ms=until_ms
            )
            assert edge.postback(f"{BASE}&txid=1&amount=1")[0] == status

    def test_signature(self, edge: RunningIntake) -> None:
        message = f"amount=1&project={PROJECT_ID}&reason=a%20b%2Fc&txid=1"
        signature = hmac.new(HASH.hex().encode(), message.encode(), "sha256").hexdigest()
        query = f"txid=1&reason=a+b/c&project={PROJECT_ID}&amount=1&signature={signature}"
        assert edge.postback(query)[0] == 200
        assert edge.postback(query.replace("amount=1", "amount=2"))[0] == 401
        assert edge.postback(query + "&status=rejected")[0] == 401

    def test_api_key(self, edge: RunningIntake) -> None:
        query = f"project={PROJECT_ID}&txid=1&amount=1&api_key={KEY}"
        edge.memory.keys[KEY] = make_intake_key()
        assert edge.postback(query)[0] == 200
        edge.memory.keys[KEY] = make_intake_key(allowed_ips=("198.51.100.0/24",))
        assert edge.postback(query)[0] == 200
        assert edge.postback(query, peer="192.0.2.1")[0] == 401
        edge.memory.keys[KEY] = make_intake_key(tenant_id=bytes(16))
        assert edge.postback(query)[0] == 404
        for changes in ({"is_active": False}, {"expires_at_ms": NOW_MS}):
            edge.memory.keys[KEY] = make_intake_key(**changes)
            assert edge.postback(query)[0] == 401

    def test_a_paused_project(self, edge: RunningIntake) -> None:
        edge.memory.projects[PROJECT] = make_project(secret_hash=HASH, is_active=False)
        assert edge.postback(f"{BASE}&txid=1&amount=1")[0] == 403


class TestFields:
    def test_a_sale(self, edge: RunningIntake) -> None:
        query = f"{BASE}&ClickID=c1&txid=t1&sum=100&payout=20&cur=eur&status=hold"
        answer = edge.postback(query)
        assert answer == (200, {"status": "accepted", "event": "sale", "external_id": "t1"})
        assert edge.postback(query) == answer
        sale = edge.events()[0]
        assert isinstance(sale, Conversion)
        assert (sale.kind, sale.click_id, sale.status) == (ConversionKind.SALE, "c1", "pending")
        assert (sale.amount_minor, sale.commission_minor, sale.currency) == (10_000, 2000, "EUR")
        assert sale.source == "postback"

    def test_a_payout_alone_is_the_amount(self, edge: RunningIntake) -> None:
        edge.postback(f"{BASE}&txid=t1&payout=20")
        sale = read_one(edge)
        assert (sale.amount_minor, sale.commission_minor) == (2000, 0)

    def test_without_an_id_the_click_names_its_sale(self, edge: RunningIntake) -> None:
        assert edge.postback(f"{BASE}&subid=c1&payout=20")[1]["external_id"] == "c1"
        assert edge.postback(f"{BASE}&payout=20")[0] == 400

    @pytest.mark.parametrize("macro", ["{txid}", "{{txid}}", "[txid]", "[[txid]]", "%257Btxid%257D", "null"])
    def test_macros_that_were_left(self, edge: RunningIntake, macro: str) -> None:
        status, answer = edge.postback(f"{BASE}&subid=c1&amount=1&txid={macro}")
        assert (status, answer["error"]["field"]) == (400, "id")
        assert "macro" in answer["error"]["message"]
        assert edge.postback(f"{BASE}&txid=1&amount=1&product_id={macro}")[0] == 200
        assert read_one(edge).product_id == ""

    @pytest.mark.parametrize("report", ["event=chargeback", "status=chargeback", "goal=refund&sale_id=t1"])
    def test_refunds(self, edge: RunningIntake, report: str) -> None:
        assert edge.postback(f"{BASE}&txid=t1&amount=5&{report}")[0] == 200
        refund = read_one(edge)
        assert (refund.kind, refund.sale_id, refund.status) == (ConversionKind.REFUND, "t1", "completed")
        assert refund.is_chargeback == ("chargeback" in report)

    def test_a_rejection_needs_no_amount(self, edge: RunningIntake) -> None:
        assert edge.postback(f"{BASE}&txid=t1&status=declined")[0] == 200
        assert read_one(edge).status == "rejected"

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("txid=1&amount=1&event=tea", "event"),
            ("txid=1&amount=1&status=9", "status"),
            ("txid=1", "amount"),
            ("txid=1&amount=1&amount=2", "amount"),
            ("txid=1&amount=1&event=upsell", "parent_sale_id"),
            ("txid=%00&amount=1", "id"),
            ("txid=1&amount=1&" + "&".join(f"p{n}=1" for n in range(100)), "query"),
        ],
    )
    def test_faults(self, edge: RunningIntake, query: str, field: str) -> None:
        status, answer = edge.postback(f"{BASE}&{query}")
        assert (status, answer["error"]["field"]) == (400, field)
        assert edge.events() == []


class TestBodies:
    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("application/x-www-form-urlencoded", b"txid=t1&amount=1.5"),
            ("application/json", b'{"txid": "t1", "amount": 1.50, "reason": null}'),
        ],
    )
    def test_forms_and_json(self, edge: RunningIntake, kind: str, body: bytes) -> None:
        response = edge.ask("/_/postback", body, ("content-type", kind), query=BASE)
        assert response.status == 200
        assert read_one(edge).amount_minor == 150

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"a": {}}', b'{"a": ' + b"9" * 60_000 + b"}"])
    def test_json_that_is_none(self, edge: RunningIntake, body: bytes) -> None:
        response = edge.ask("/_/postback", body, ("content-type", "application/json"), query=BASE)
        assert response.status == 400
        answer: Any = json.loads(response.body)
        assert answer["error"]["code"] == "validation_error"

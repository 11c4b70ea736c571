"""Server-to-server reports in the words of ad networks, as conversions.

What a field is called, first come first taken. Names count without regard to case.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from edge.contract.events import Conversion, ConversionKind
from edge.intake.answers import make_fault, refuse_faults
from edge.intake.fields import Fields

if TYPE_CHECKING:
    from edge.contract.intake_record import ProjectRecord
    from edge.intake.reports import Reporter

ALIASES: Final = {
    # The click that brought it: the macro {click_id} of the link's destination, handed through.
    "click_id": ("click_id", "clickid", "cid", "subid", "sub_id", "s2", "aff_sub"),
    # What the network calls the conversion; a project counts each once.
    "id": ("txid", "tid", "external_id", "conversion_id", "transaction_id", "order_id", "id"),
    # What happened: see EVENTS. A sale, if it is not said.
    "event": ("event", "goal", "type"),
    # What the buyer paid. Where only a payout is given, that is the amount.
    "amount": ("amount", "sum", "revenue"),
    # What the network pays for it.
    "commission": ("commission", "payout"),
    # ISO 4217; the project's, if it is not said.
    "currency": ("currency", "cur"),
    # Whether it counts yet: see STATUSES. Completed, if it is not said.
    "status": ("status", "state"),
    "product_id": ("product_id", "product"),
    "offer_id": ("offer_id", "offer"),
    # The sale that a refund or an upsell belongs to, by either id.
    "sale_id": ("sale_id",),
    "parent_sale_id": ("parent_sale_id", "parent_id"),
    "checkout_id": ("checkout_id",),
    "visit_id": ("visit_id",),
    # The payment, in the words of whoever took it.
    "transaction_id": ("transaction_id",),
    # Why, in a refund.
    "reason": ("reason", "comment"),
}
EVENTS: Final = {
    **dict.fromkeys(("sale", "purchase", "conversion", "order"), ConversionKind.SALE),
    # A lead is a step on the way to a sale, as a checkout is. One that is paid for is a sale.
    **dict.fromkeys(("checkout", "lead"), ConversionKind.CHECKOUT),
    "upsell": ConversionKind.UPSELL,
    **dict.fromkeys(("refund", "chargeback"), ConversionKind.REFUND),
}
STATUSES: Final = {
    **dict.fromkeys(("approved", "confirmed", "completed", "complete", "paid", "success", "1"), "completed"),
    **dict.fromkeys(("pending", "hold", "on_hold", "0", "2"), "pending"),
    **dict.fromkeys(
        ("declined", "rejected", "cancelled", "canceled", "trash", "reversed", "invalid"), "rejected"
    ),
    # The sale came to nothing at the bank: the report is then of a chargeback.
    "chargeback": "completed",
}
CREDENTIALS: Final = ("signature", "token", "api_key")
_MACRO: Final = re.compile(
    r"\$?\{[^{}]*\}|\{\{[^{}]*\}\}|\[[^\[\]]*\]|\[\[[^\[\]]*\]\]|(%7b)+.*(%7d)+|null|undefined", re.IGNORECASE
)
"""What a network leaves where it has nothing to fill in."""


class Postback:
    """The parameters of one postback. Raises Refusal when a name is given twice with two values."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs
        self.given: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            if self.given.setdefault(key, value) != value:
                raise refuse_faults([make_fault(name, "is given twice, with different values", value)])

    @property
    def project_id(self) -> bytes:
        """The project that it is for. Raises Refusal."""
        fields = Fields(self.given)
        project_id = fields.uuid("project")
        if not project_id and not fields.faults:
            fields.refuse("project", "is required")
        fields.check()
        return project_id

    def read(self, project: ProjectRecord, by: Reporter) -> tuple[Conversion, str]:
        """Read the conversion and what its event was called. Raises Refusal."""
        found, unfilled = self._translate()
        if "amount" not in found and found.get("commission") == self.given.get("payout", "").strip():
            found["amount"] = found.pop("commission")
        fields = _Filled(found, unfilled)
        event, status = (fields.text(name).strip().lower() for name in ("event", "status"))
        event, status = event or "sale", status or "completed"
        if event not in EVENTS:
            fields.refuse("event", f"must be one of {', '.join(EVENTS)}", event)
        if status not in STATUSES and not (status == "abandoned" and event in ("checkout", "lead")):
            fields.refuse("status", f"must be one of {', '.join(STATUSES)}", status)
        if status == "chargeback":
            event = "chargeback"
        conversion = _make_conversion(fields, project, by, event, STATUSES.get(status, status))
        fields.check()
        return conversion, event

    def _translate(self) -> tuple[dict[str, object], dict[str, str]]:
        """Give what was filled in by our names, and what was not: the macros that were left."""
        found: dict[str, object] = {}
        unfilled: dict[str, str] = {}
        for field, names in ALIASES.items():
            for name in names:
                value = self.given.get(name, "").strip()
                if value and _MACRO.fullmatch(value):
                    unfilled.setdefault(field, value)
                elif value:
                    found[field] = value
                    break
        return found, unfilled


class _Filled(Fields):
    """Fields that know which macros were left unfilled."""

    __slots__ = ("_unfilled",)

    def __init__(self, given: dict[str, object], unfilled: dict[str, str]) -> None:
        super().__init__(given)
        self._unfilled = unfilled

    def is_unfilled(self, name: str) -> bool:
        """Tell whether a macro stands where the field's value should."""
        return name in self._unfilled and name not in self._given

    def refuse(self, name: str, rule: str, value: object = None) -> None:
        """Note a fault; of what is missing for a macro's sake, the macro."""
        if value is None and name in self._unfilled:
            rule = "must be filled in: this is a macro that the network left as it is"
            value = self._unfilled[name]
        super().refuse(name, rule, value)


def _make_conversion(
    fields: _Filled, project: ProjectRecord, by: Reporter, event: str, status: str
) -> Conversion:
    kind = EVENTS.get(event, ConversionKind.SALE)
    is_refund, is_upsell = kind == ConversionKind.REFUND, kind == ConversionKind.UPSELL
    currency = fields.currency(project.currency)
    # Networks without ids of their own report one sale of a click: the click names it.
    by_click = kind in (ConversionKind.SALE, ConversionKind.REFUND) and not fields.is_unfilled("id")
    external_id = fields.name("id", *(["click_id"] if by_click else []))
    sale_id = fields.name("sale_id", is_required=False)
    parent_id = fields.name("parent_sale_id", *([] if is_refund else ["sale_id"]), is_required=is_upsell)
    return Conversion(
        by.new_id().bytes,
        project.tenant_id,
        project.project_id,
        int(kind),
        external_id,
        status,
        fields.amount(
            "amount", currency, is_required=kind != ConversionKind.CHECKOUT and status != "rejected"
        ),
        fields.amount("commission", currency),
        currency,
        "postback",
        fields.text("visit_id"),
        fields.text("click_id"),
        fields.text("checkout_id"),
        (sale_id or parent_id or external_id) if is_refund else sale_id if is_upsell else "",
        "" if is_refund else parent_id if is_upsell else fields.text("parent_sale_id"),
        fields.text("product_id"),
        fields.text("offer_id"),
        fields.text("transaction_id"),
        fields.text("reason"),
        event == "chargeback",
    )

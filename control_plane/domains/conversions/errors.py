"""What the conversions domain refuses: what is not there, and reports that are at odds with what is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.core.errors import Conflict, NotFound
from control_plane.core.faults import Fault
from edge.contract.money import format_amount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from control_plane.domains.conversions.model import ConversionRow
    from edge.contract.events import ConversionKind


class ConversionNotFound(NotFound):
    """The tenant has no such checkout, sale, refund or upsell."""

    code = "conversion_not_found"

    def __init__(self, kind: ConversionKind) -> None:
        super().__init__(f"{kind.name.title()} not found")


class ReportRefused(Conflict):
    """A report is at odds with what is known. `faults`: which of its fields are."""

    code = "report_refused"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class ConversionDiffers(ReportRefused):
    """It was reported before, with other content."""

    code = "conversion_differs"


class RefundExceedsSale(ReportRefused):
    """A refund takes back more than what is left of its sale or upsell."""

    code = "refund_exceeds_sale"

    def __init__(self, refund: ConversionRow, target: ConversionRow) -> None:
        currency = target.currency
        left = format_amount(target.amount_minor - target.refunded_minor, currency)
        whole = format_amount(target.amount_minor, currency)
        rule = f"must be at most {left} {currency}, which is left to refund of {whole} {currency}"
        super().__init__([Fault("amount", rule, format_amount(refund.amount_minor, refund.currency))])


class CurrencyDiffers(ReportRefused):
    """A refund or upsell is in another currency than what it belongs to."""

    code = "currency_differs"

    def __init__(self, row: ConversionRow, target: ConversionRow) -> None:
        super().__init__([Fault("currency", f"must be {target.currency}, as of the sale", row.currency)])

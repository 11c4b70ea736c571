"""What the experiments domain refuses, beside faults in the request (core.errors.Invalid)."""

from __future__ import annotations

from control_plane.core.errors import Conflict, NotFound


class NoExperiment(Conflict):
    """The link does not go by weights, so that nothing is compared."""

    code = "no_experiment"

    def __init__(self) -> None:
        super().__init__("Only a link whose routing_type is 'ab_test' can have a winner")


class WinnerDeclared(Conflict):
    """The link has a winner already. `label`: which."""

    code = "winner_declared"

    def __init__(self, label: str) -> None:
        super().__init__(f"Variant '{label}' is declared the winner already; take that back first")
        self.label = label


class NoWinner(NotFound):
    """The link has no winner that could be taken back."""

    code = "no_winner"

    def __init__(self) -> None:
        super().__init__("This link has no declared winner")

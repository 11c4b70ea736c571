"""What the users domain refuses. A user who is not there: accounts.errors.UserNotFound."""

from __future__ import annotations

from control_plane.core.errors import Conflict


class EmailTaken(Conflict):
    """Another user of the tenant has this e-mail address."""

    code = "email_taken"

    def __init__(self, email: str) -> None:
        super().__init__(f"email must not belong to another user, got {email!r}")
        self.email = email


class PhoneNumberTaken(Conflict):
    """Another user of the tenant has this phone number."""

    code = "phone_number_taken"

    def __init__(self, phone_number: str) -> None:
        super().__init__(f"phone_number must not belong to another user, got {phone_number!r}")
        self.phone_number = phone_number

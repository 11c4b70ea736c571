"""What the users domain refuses. A user who is not there: accounts.errors.UserNotFound."""

from __future__ import annotations

from control_plane.core.errors import Conflict, Forbidden, NotFound


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


class LastAdmin(Conflict):
    """Nobody else could look after the tenant."""

    code = "last_admin"

    def __init__(self) -> None:
        super().__init__("The tenant's last active admin must stay one")


class OwnAccount(Conflict):
    """Nobody bans themselves."""

    code = "own_account"

    def __init__(self) -> None:
        super().__init__("You cannot ban yourself")


class SuperadminProtected(Forbidden):
    """Only a superadmin changes a superadmin."""

    code = "superadmin_protected"

    def __init__(self) -> None:
        super().__init__("Only a superadmin may do this to a superadmin")


class AvatarNotFound(NotFound):
    """There is no such built-in picture."""

    code = "avatar_not_found"

    def __init__(self) -> None:
        super().__init__("Avatar not found")

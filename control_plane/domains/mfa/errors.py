"""What the MFA domain refuses."""

from __future__ import annotations

from typing import Final

from control_plane.core.errors import Conflict, Forbidden, NotFound, RateLimited, Unauthenticated


class MfaRequired(Forbidden):
    """The first factor was right; the user has a second one. `mfa_token`: what it is sent with.

    `commits`: the challenge that the token belongs to is kept.
    """

    code = "mfa_required"
    commits = True

    def __init__(self, mfa_token: str) -> None:
        super().__init__("A second factor is required.")
        self.mfa_token = mfa_token


class InvalidMfaToken(Unauthenticated):
    """There is no such challenge, it is over, or its user may no longer sign in."""

    code = "invalid_mfa_token"

    def __init__(self) -> None:
        super().__init__("Invalid or expired mfa_token. Sign in again.")


class InvalidMfaCode(Unauthenticated):
    """The code that was to complete a sign-in is wrong, expired or used. `commits`: it is counted."""

    code = "invalid_mfa_code"
    commits = True

    def __init__(self) -> None:
        super().__init__("The code is wrong, expired or used.")


class MfaCodeRefused(Forbidden):
    """A code of somebody who is signed in is wrong, expired or used. `commits`: it is counted.

    Not InvalidMfaCode: to clients, Unauthenticated says that the session has ended.
    """

    code = "mfa_code_refused"
    commits = True

    def __init__(self) -> None:
        super().__init__("The code is wrong, expired or used.")


class MfaLocked(RateLimited):
    """Too many wrong codes of a user in a row; recovery codes are still taken."""

    code = "mfa_locked"


class MfaCodeTooSoon(RateLimited):
    """The user has been sent as many codes as may be sent for now."""

    code = "mfa_code_too_soon"


class FactorNotFound(NotFound):
    """The user has no such factor, or it was set up too long ago to be verified."""

    code = "mfa_factor_not_found"

    def __init__(self) -> None:
        super().__init__("Factor not found")


class FactorVerified(Conflict):
    """The factor is already verified."""

    code = "mfa_factor_verified"

    def __init__(self) -> None:
        super().__init__("The factor is already verified.")


class MfaAlreadyEnabled(Conflict):
    """The user already has a second factor."""

    code = "mfa_already_enabled"

    def __init__(self) -> None:
        super().__init__("MFA is already enabled.")


class MfaNotEnabled(Conflict):
    """The user has no second factor."""

    code = "mfa_not_enabled"

    def __init__(self) -> None:
        super().__init__("MFA is not enabled.")


MAX_FACTORS: Final = 5
"""Each authenticator is one more chance for a guess."""


class TooManyFactors(Conflict):
    """The user has as many factors as they may have, or already gets codes on their phone."""

    code = "too_many_mfa_factors"

    def __init__(self) -> None:
        super().__init__(f"A user has at most {MAX_FACTORS} factors, of which one is SMS.")


class NoPhoneNumber(Conflict):
    """There is no number to send codes to: the user's profile has none."""

    code = "no_phone_number"

    def __init__(self) -> None:
        super().__init__("Add a phone_number to the profile before it can be a factor.")


class NoSmsFactor(Conflict):
    """The user has no factor that a code could be sent to."""

    code = "no_sms_factor"

    def __init__(self) -> None:
        super().__init__("Codes of this factor are not sent; the authenticator app shows them.")

"""What the federation domain refuses."""

from __future__ import annotations

from control_plane.core.errors import Conflict, NotFound, Unauthenticated, Unavailable


class ProviderNotConfigured(NotFound):
    """Nobody can sign in with this provider here. `provider`: its name, as it was asked for."""

    code = "provider_not_configured"

    def __init__(self, provider: str) -> None:
        super().__init__(f"Signing in with {provider!r} is not configured here.")
        self.provider = provider


class InvalidOAuthState(Unauthenticated):
    """The state is unknown, used up, expired, or of another tenant, provider, redirect URI or user."""

    code = "invalid_oauth_state"

    def __init__(self) -> None:
        super().__init__("The state is unknown, expired or used up, or was not issued for this. Begin again.")


class OAuthRefused(Unauthenticated):
    """The provider's answer proves nothing, or the user may not sign in: the caller is not told which.

    `reason`: for the log.
    """

    code = "oauth_refused"

    def __init__(self, reason: str) -> None:
        super().__init__("The sign-in was refused. Begin again.")
        self.reason = reason


class ProviderUnavailable(Unavailable):
    """The provider cannot be reached, or answers with what no provider should. `reason`: for the log."""

    code = "provider_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__("The provider cannot be reached at this moment. Begin again a little later.")
        self.reason = reason


class AccountExists(Conflict):
    """Another user of the tenant has the address that the provider vouches for."""

    code = "account_exists"

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"There is an account with this e-mail address. Sign in with your password, then link {provider}."
        )
        self.provider = provider


class IdentityTaken(Conflict):
    """The identity belongs to another user of the tenant."""

    code = "identity_taken"

    def __init__(self, provider: str) -> None:
        super().__init__(f"This {provider} account belongs to another user.")
        self.provider = provider


class ProviderAlreadyLinked(Conflict):
    """The user has another identity at this provider."""

    code = "provider_already_linked"

    def __init__(self, provider: str) -> None:
        super().__init__(f"Another {provider} account is linked. Unlink it first.")
        self.provider = provider


class IdentityNotFound(NotFound):
    """The user has no identity at this provider."""

    code = "identity_not_found"

    def __init__(self, provider: str) -> None:
        super().__init__(f"No account of {provider!r} is linked.")
        self.provider = provider


class LastWayToSignIn(Conflict):
    """Without this identity the user could not sign in any more."""

    code = "last_way_to_sign_in"

    def __init__(self, provider: str) -> None:
        super().__init__(f"{provider} is your only way to sign in. Set a password, or link another provider.")
        self.provider = provider

"""Names that may be claimed, and what becomes of a claim."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.core.errors import Invalid
from control_plane.domains.custom_domains import challenges, transitions
from control_plane.domains.custom_domains.model import Claim, Finding, Sight
from control_plane.domains.custom_domains.names import normalise_domain

NOW = datetime(2026, 5, 4, 10, 20, 30, tzinfo=UTC)
OWN = {"go.example.com", "127.0.0.1"}
MISSING, UNKNOWN = Finding(Sight.MISSING, "Not there."), Finding(Sight.UNKNOWN, "No answer.")


def make_claim(**changes: object) -> Claim:
    fields: dict[str, object] = {
        "tenant_id": uuid.UUID(int=1),
        "id": uuid.UUID(int=2),
        "domain": "go.acme.com",
        "method": "DNS_TXT",
        "challenge": "token",
        "status": "pending",
        "created_at": NOW,
        "expires_at": NOW + timedelta(days=7),
    }
    return Claim(**(fields | changes))  # type: ignore[arg-type]


class TestNormalise:
    @pytest.mark.parametrize(
        ("text", "domain"),
        [
            ("go.acme.com", "go.acme.com"),
            ("GO.Acme.COM", "go.acme.com"),
            ("go.acme.com.", "go.acme.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("bu\u0308cher.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
            ("go\u3002acme\uff0ecom", "go.acme.com"),
            ("\uff47\uff4f.acme.com", "go.acme.com"),
            ("acme.co.uk", "acme.co.uk"),
            ("acme.github.io", "acme.github.io"),
            ("a" * 63 + ".acme.com", "a" * 63 + ".acme.com"),
            ("acme.test", "acme.test"),
        ],
    )
    def test_forms_of_one_name(self, text: str, domain: str) -> None:
        assert normalise_domain(text, OWN) == domain

    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            ("8.8.8.8", "IP address"),
            ("[::1]", "IP address"),
            ("2606:4700::1111", "IP address"),
            ("127.1", "IP address"),
            ("1.2.3.0x10", "IP address"),
            ("\uff11\uff12\uff17.0.0.1", "IP address"),
            ("acme", "suffix"),
            ("com", "suffix"),
            ("co.uk", "suffix"),
            ("github.io", "suffix"),
            ("公司.cn", "suffix"),
            ("shop.localhost", "public name"),
            ("printer.local", "public name"),
            ("db.internal", "public name"),
            ("abc.onion", "public name"),
            ("*.acme.com", "wildcard"),
            ("go.acme.com:80", "bare domain name"),
            ("http://go.acme.com", "bare domain name"),
            ("go.acme.com/path", "bare domain name"),
            ("user@acme.com", "bare domain name"),
            ("go acme.com", "bare domain name"),
            (" go.acme.com", "bare domain name"),
            ("go.acme.com\n", "bare domain name"),
            ("", "domain name"),
            (".", "domain name"),
            ("go..acme.com", "domain name"),
            ("-go.acme.com", "domain name"),
            ("go_now.acme.com", "domain name"),
            ("xn--zzzzzz.example", "domain name"),
            ("a" * 64 + ".acme.com", "domain name"),
            (".".join(["a" * 60] * 5), "characters"),
            ("ü" * 63 + "." + "ü" * 63 + "." + "ü" * 63 + ".com", "domain name"),
            ("go\u200d.acme.com", "domain name"),
            ("GO.example.com", "own host"),
        ],
    )
    def test_what_is_refused(self, text: str, rule: str) -> None:
        with pytest.raises(Invalid, match=rule) as caught:
            normalise_domain(text, OWN)
        (fault,) = caught.value.faults
        assert (fault.field, fault.value) == ("domain", text)

    @given(st.text(max_size=80) | st.from_regex(r"[a-zü.\-]{1,60}\.com", fullmatch=True))
    def test_what_is_accepted_is_plain_and_stays_as_it_is(self, text: str) -> None:
        try:
            domain = normalise_domain(text, OWN)
        except Invalid:
            return
        assert set(domain) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
        assert len(domain) <= 253
        assert all(0 < len(label) <= 63 for label in domain.split("."))
        assert normalise_domain(domain, OWN) == domain


class TestChallenges:
    def test_tokens_are_random_and_long(self) -> None:
        tokens = {challenges.draw_token() for _ in range(100)}
        assert len(tokens) == 100
        assert all(len(bytes.fromhex(token)) * 8 >= 128 for token in tokens)

    def test_the_files_url_does_not_tell_its_content(self) -> None:
        token = challenges.draw_token()
        assert token not in challenges.file_url("go.acme.com", token)
        assert token in challenges.proof_of(token)

    def test_a_record_fits_one_string(self) -> None:
        assert len(challenges.proof_of(challenges.draw_token())) <= 255


class TestTransitions:
    def test_a_challenge_is_kept_until_it_expires(self) -> None:
        claim = make_claim()
        assert transitions.renew(claim, "other", "DNS_TXT", NOW + timedelta(days=6, hours=23)) == claim
        renewed = transitions.renew(claim, "other", "DNS_TXT", NOW + timedelta(days=7))
        assert (renewed.challenge, renewed.expires_at) == ("other", NOW + timedelta(days=14))
        assert renewed.next_check_at is not None

    def test_a_verified_domains_challenge_never_expires(self) -> None:
        claim = make_claim(status="verified")
        assert transitions.renew(claim, "other", "DNS_TXT", NOW + timedelta(days=99)) == claim

    def test_a_pending_claim_is_looked_at_hourly(self) -> None:
        claim = transitions.fail(make_claim(), MISSING, NOW)
        assert (claim.status, claim.failed_checks) == ("pending", 0)
        assert claim.next_check_at == NOW + timedelta(hours=1)
        assert claim.last_error == "Not there."

    def test_three_failures_over_two_days_lapse(self) -> None:
        claim = make_claim(status="verified", verified_at=NOW)
        for day in range(2):
            claim = transitions.fail(claim, MISSING, NOW + timedelta(days=day))
            assert (claim.status, claim.failed_checks) == ("verified", day + 1)
            assert claim.next_check_at == NOW + timedelta(days=day + 1)
        claim = transitions.fail(claim, MISSING, NOW + timedelta(days=2))
        assert (claim.status, claim.expires_at) == ("lapsed", NOW + timedelta(days=9))
        assert claim.next_check_at == NOW + timedelta(days=3)

    def test_many_failures_in_a_short_time_do_not(self) -> None:
        claim = make_claim(status="verified")
        for minute in range(10):
            claim = transitions.fail(claim, MISSING, NOW + timedelta(minutes=minute))
        assert claim.status == "verified"
        assert transitions.fail(claim, MISSING, NOW + timedelta(hours=48)).status == "lapsed"

    def test_a_success_between_begins_anew(self) -> None:
        claim = make_claim(status="verified", verified_at=NOW)
        for day in range(2):
            claim = transitions.fail(claim, MISSING, NOW + timedelta(days=day))
        claim = transitions.prove(claim, NOW + timedelta(days=2))
        assert (claim.failed_checks, claim.failing_since, claim.last_error) == (0, None, None)
        assert claim.verified_at == NOW
        for day in (3, 4):
            claim = transitions.fail(claim, MISSING, NOW + timedelta(days=day))
        assert claim.status == "verified"

    def test_a_silent_dns_never_counts(self) -> None:
        claim = make_claim(status="verified")
        for hour in range(24 * 30):
            claim = transitions.fail(claim, UNKNOWN, NOW + timedelta(hours=hour))
        assert (claim.status, claim.failed_checks) == ("verified", 0)
        assert claim.last_error == "No answer."

    def test_a_silent_dns_between_does_not_forgive(self) -> None:
        claim = make_claim(status="verified")
        for day, finding in enumerate((MISSING, MISSING, UNKNOWN, MISSING)):
            claim = transitions.fail(claim, finding, NOW + timedelta(days=day))
        assert claim.status == "lapsed"

    def test_a_lapsed_one_returns(self) -> None:
        later = NOW + timedelta(days=5)
        claim = transitions.prove(make_claim(status="lapsed", verified_at=NOW), later)
        assert (claim.status, claim.verified_at) == ("verified", later)

    @given(st.lists(st.tuples(st.sampled_from(Sight), st.integers(1, 60)), max_size=60))
    def test_no_history_lapses_without_two_days_of_failures(self, history: list[tuple[Sight, int]]) -> None:
        now, claim = NOW, transitions.prove(make_claim(), NOW)
        last_proven, misses = NOW, 0
        for sight, hours in history:
            now += timedelta(hours=hours)
            if sight is Sight.PROVEN:
                claim, last_proven, misses = transitions.prove(claim, now), now, 0
                continue
            misses += sight is Sight.MISSING
            claim = transitions.fail(claim, Finding(sight, "x"), now)
            if claim.status == "lapsed":
                assert misses >= 3
                assert now - last_proven >= timedelta(hours=48)
                return

"""Where a person stands: whether behaviour may be scored and learned at all. Checked before anything else is."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from sidecar.domain.biometrics import Cause

LegalBasis = Literal["consent", "other"]


class ConsentState(StrEnum):
    """What is known of a person's agreement."""

    UNKNOWN = "unknown"
    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    OTHER_BASIS = "other_basis"  # the tenant relies on another legal basis, and the person has not objected


@dataclass(frozen=True, slots=True)
class Consent:
    """Where one person stands.

    ``version``: which text they agreed to or refused; ``at``: when (epoch seconds). ``confirmed``: a second factor was
    passed in the login that gave it or in a later one; before that, a thief of the password may have clicked.
    ``recording``: the named recording they agreed to, if any. ``paused_at``: since when nothing is scored or learned.
    """

    state: ConsentState = ConsentState.UNKNOWN
    version: str | None = None
    at: float | None = None
    confirmed: bool = False
    recording: str | None = None
    paused_at: float | None = None

    def under(self, basis: LegalBasis) -> "Consent":
        """Return where the person stands under the tenant's legal basis; who objected has objected under any."""
        if basis == "other" and self.state is ConsentState.UNKNOWN:
            return replace(self, state=ConsentState.OTHER_BASIS, confirmed=True)
        return self

    def told(
        self,
        *,
        given: bool,
        version: str | None,
        recording: str | None,
        at: float,
        answered_at: float | None = None,
    ) -> "Consent":
        """Return where the person stands after news from the provider; the same value when it is no news.

        ``answered_at``: when they answered, where the provider says so: an answer that is older than what is known here (a
        withdrawal through an administrator, say) is none. ``recording`` None says nothing of recordings, an empty name takes an
        agreement back. Who refuses after having agreed has withdrawn. Fresh consent waits for a second factor to confirm it.
        """
        if answered_at is not None and self.at is not None and answered_at <= self.at:
            return self
        agreed = self.state is ConsentState.GIVEN
        recording = self.recording if recording is None and agreed else recording or None
        if given:
            if agreed and self.version == version and self.recording == recording:
                return self
            confirmed = agreed and self.confirmed and self.version == version
            return Consent(ConsentState.GIVEN, version, at, confirmed, recording, self.paused_at)
        if self.state in (ConsentState.REFUSED, ConsentState.WITHDRAWN):
            return self
        state = ConsentState.WITHDRAWN if agreed else ConsentState.REFUSED
        return Consent(state, version, at, False, None, self.paused_at)

    def bars(self) -> Cause | None:
        """Return why behaviour must not be looked at, None when it may."""
        if self.state not in (ConsentState.GIVEN, ConsentState.OTHER_BASIS):
            return Cause.NO_CONSENT
        return Cause.PAUSED if self.paused_at is not None else None

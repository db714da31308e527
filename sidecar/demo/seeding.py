"""Profiles that no login taught: synthetic people for the demo, recorded people for a rehearsal."""

from collections.abc import Iterable

import numpy as np

from sidecar.domain.biometrics import Probe
from sidecar.domain.consent import Consent, ConsentState
from sidecar.domain.decisions import Evidence
from sidecar.evaluation.synthetic import Row, Typist, probe_of, typist
from sidecar.main import Sidecar
from sidecar.ports import Lesson, ProfileKey

SAMPLES = 15
USERNAME_SHIFT = 24  # another stretch of the typist's habits than the password's


async def enroll(sidecar: Sidecar, tenant: str, sub: str, probes: Iterable[Probe], *, origin: str) -> None:
    """Enroll probes of one person as samples confirmed by a second factor, one a minute up to now."""
    subject = sidecar.keyring.pseudonym(tenant, sub)
    listed = list(probes)
    now = sidecar.assessor.clock()
    lessons = [
        Lesson(
            ProfileKey(tenant, subject, "keystroke", probe.field, "keyboard"),
            probe,
            Evidence.SECOND_FACTOR,
            now - 60.0 * (len(listed) - index),
            confirmed=True,
        )
        for index, probe in enumerate(listed)
    ]
    await sidecar.keys.ensure(tenant, subject)
    consent = Consent(ConsentState.GIVEN, origin, now, confirmed=True)
    await sidecar.subjects.stand(tenant, subject, consent, None, origin, now)
    await sidecar.profiles.import_samples(lessons, origin)


def synthetic_login(seed: int, login: int, username: str, password: str) -> tuple[list[Row], list[Row]]:
    """Return the rows of one synthetic login: (user name without Enter, password with Enter)."""
    rng = np.random.default_rng([seed, login])
    person = typist(seed)
    return _later(person).login(rng, len(username), enter=False), person.login(rng, len(password))


def synthetic_probes(seed: int, username: str, password: str, samples: int = SAMPLES) -> list[Probe]:
    """Return the probes of a synthetic person's enrollment, oldest first."""
    probes = []
    for login in range(samples):
        name_rows, password_rows = synthetic_login(seed, login, username, password)
        probes += [probe_of(name_rows, "username", enter=False), probe_of(password_rows)]
    return probes


def _later(person: Typist) -> Typist:
    return Typist(
        hold=np.roll(person.hold, -USERNAME_SHIFT),
        down_down=np.roll(person.down_down, -USERNAME_SHIFT),
        enter=person.enter,
        tempo=person.tempo,
        pressing=person.pressing,
        jitter=person.jitter,
        touch=person.touch,
    )

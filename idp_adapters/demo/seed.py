"""Puts the users named in the settings into the database."""

import uuid
from contextlib import closing

from idp_adapters.demo.consents import Consents
from idp_adapters.demo.db import Database
from idp_adapters.demo.settings import DemoSettings
from idp_adapters.demo.users import User, Users


def seed(settings: DemoSettings) -> int:
    """Make every user of the settings exist as described; how many there are.

    The settings win over what the file holds: the password printed in the terminal is always the right one.
    """
    with closing(Database(settings.db_path)) as db:
        users, consents = Users(db), Consents(db)
        for entry in settings.users:
            known = users.named(entry.username)
            user = User(
                sub=entry.sub or (known.sub if known else str(uuid.uuid4())),
                username=entry.username,
                name=entry.name,
                roles=entry.roles,
                totp_secret=entry.totp_secret,
                synthetic=entry.synthetic,
            )
            users.put(user, entry.password)
            answer, wanted = consents.of(user.sub), entry.consent
            if wanted and (answer is None or answer.given is not wanted.given):
                # Whoever seeds a profile in the sidecar seeds the consent there too: nothing is left to tell.
                consents.keep(user.sub, given=wanted.given, version=wanted.version, told=True)
    return len(settings.users)

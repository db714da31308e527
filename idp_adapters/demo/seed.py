"""Puts the users named in the settings into the database."""

import uuid
from contextlib import closing

from idp_adapters.demo.db import Database
from idp_adapters.demo.settings import DemoSettings
from idp_adapters.demo.users import User, Users


def seed(settings: DemoSettings) -> int:
    """Make every user of the settings exist as described; how many there are.

    The settings win over what the file holds: the password printed in the terminal is always the right one.
    """
    with closing(Database(settings.db_path)) as db:
        users = Users(db)
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
    return len(settings.users)

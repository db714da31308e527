"""The whole demo (three processes, SQLite) in front of a real Chromium."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyotp
import pysqlite3.dbapi2 as sqlite3

from sidecar.demo.launch import free_port, login_url, processes, seed
from sidecar.demo.layout import PEOPLE, TENANT, Layout, Person, write
from sidecar.demo.seeding import synthetic_login
from sidecar.evaluation.synthetic import Row, typist
from sidecar.main import Sidecar, build
from sidecar.ports import StoredDecision
from sidecar.rehearsal import keyboard

AXE = Path(__file__).parents[2] / "widget" / "node_modules" / "axe-core" / "axe.min.js"
STRANGER = 3

T = TypeVar("T")


@dataclass
class Visitor:
    """A person in front of a browser window."""

    demo: "Demo"
    context: Any
    page: Any

    def open(self, **query: str) -> None:
        """Go to the application and on to the provider's login page."""
        self.page.goto(login_url(self.demo.layout))
        for name, value in query.items():
            self.page.goto(f"{self.page.url}&{name}={value}")

    def type_login(self, person: Person, who: int, *, login: int | None = None, password: str | None = None) -> None:
        """Type user name, Tab, password, Enter in the rhythm of synthetic typist ``who``."""
        name_rows, rows = self.rhythm(person, who, login)
        self.type_into("#username", person.username, name_rows)
        self.page.keyboard.press("Tab")
        self.type_into("#password", password or person.password, rows)

    def type_password(self, person: Person, who: int, *, password: str | None = None) -> None:
        """Type only the password and Enter."""
        self.type_into("#password", password or person.password, self.rhythm(person, who, None)[1])

    def type_into(self, selector: str, text: str, rows: list[Row]) -> None:
        """Type ``text`` into a field with real key events."""
        self.page.focus(selector)
        keyboard.play(self.context.new_cdp_session(self.page), text, rows)

    def rhythm(self, person: Person, who: int, login: int | None) -> tuple[list[Row], list[Row]]:
        """Return rows of one synthetic login by typist ``who``; a fresh one each time unless numbered."""
        number = self.demo.next_login() if login is None else login
        if who == person.typist:
            return synthetic_login(who, number, person.username, person.password)
        rng = np.random.default_rng([who, number])
        stranger = typist(who)
        return stranger.login(rng, len(person.username), enter=False), stranger.login(rng, len(person.password))

    def arrived(self, where: str) -> bool:
        """Wait for a page: ``app``, ``otp`` or ``login``."""
        urls = {"app": f"{self.demo.layout.app_url}/**", "otp": "**/otp?**", "login": "**/login**"}
        self.page.wait_for_url(urls[where], timeout=15_000)
        return True

    def pass_second_factor(self, person: Person) -> None:
        """Type a code of a time step that was not used before."""
        code = self.demo.code(person)
        self.page.fill("#code", code)
        self.page.click("button[type=submit]")
        self.arrived("app")


class Demo:
    """A running demo, its stores for looking into, and its people."""

    def __init__(self, layout: Layout, sidecar: Sidecar, browser: Any, running: list[Any]) -> None:
        self.layout, self.sidecar, self.browser, self.running = layout, sidecar, browser, running
        self._logins, self._steps = 5000, dict[str, int]()

    def next_login(self) -> int:
        self._logins += 1
        return self._logins

    def visitor(self, **context: Any) -> Visitor:
        """Open a fresh browser profile."""
        made = self.browser.new_context(**context)
        return Visitor(self, made, made.new_page())

    def recent(self, limit: int = 1) -> list[StoredDecision]:
        """Return the newest decisions, newest first."""
        return self._elsewhere(self.sidecar.decisions.recent((TENANT,), limit))

    def last(self) -> dict[str, Any]:
        """Return the newest decision's body."""
        return dict(self.recent()[0].body)

    def rows(self, table: str, sub: str) -> list[tuple[Any, ...]]:
        """Return what a table of the sidecar's database holds of a person."""
        path = self.sidecar.settings.data_dir / "gaitkeeper.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            who = (TENANT, self.pseudonym(sub))
            sql = f"SELECT * FROM {table} WHERE tenant = ? AND subject = ?"
            return list(connection.execute(sql, who).fetchall())

    def sub(self, username: str) -> str:
        """Return the provider's id of somebody who signed up."""
        return str(self._provider("SELECT sub FROM user WHERE username = ?", username)[0][0])

    def forget_answer(self, sub: str) -> None:
        """Make somebody a person whom the provider has never asked for consent, with a sidecar that never heard either."""
        self.until(lambda: self._provider("SELECT told FROM consent WHERE sub = ?", sub) == [(1,)])
        self._provider("DELETE FROM consent WHERE sub = ?", sub)
        rights = self.sidecar.correction.reset(TENANT, self.pseudonym(sub), None, None, "test", time.time())
        self._elsewhere(rights)

    def set_second_factor(self, sub: str, secret: str | None) -> None:
        """Give or take somebody's second factor at the provider."""
        self._provider("UPDATE user SET totp_secret = ? WHERE sub = ?", secret, sub)

    def settled(self) -> None:
        """Wait until the provider has reported how the newest login ended."""
        self.until(lambda: self.recent()[0].completion is not None)

    def until(self, happened: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait for something to come true; fails when it does not."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    def pseudonym(self, sub: str) -> str:
        """Return how the sidecar's tables name a person."""
        return self.sidecar.keyring.pseudonym(TENANT, sub)

    def _provider(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.layout.state / "idp.db", timeout=5)) as connection, connection:
            return list(connection.execute(sql, values).fetchall())

    def _elsewhere(self, work: Coroutine[Any, Any, T]) -> T:
        # Playwright keeps this thread's event loop to itself.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, work).result()

    def code(self, person: Person) -> str:
        """Return a one-time code that the provider will take; waits where it must."""
        step = max(int(time.time()) // 30, self._steps.get(person.sub, 0) + 1)
        while step > int(time.time()) // 30 + 1:
            time.sleep(0.5)
        self._steps[person.sub] = step
        return pyotp.TOTP(str(person.totp_secret)).at(step * 30)


class RunningDemo:
    """A demo from start to stop, as a context manager."""

    def __init__(self, browser: Any, state: Path) -> None:
        self._layout = Layout(state, free_port())
        self._browser = browser

    def __enter__(self) -> Demo:
        settings = write(self._layout)
        # Playwright keeps this thread's event loop to itself.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(seed(settings, PEOPLE))).result()
        self._processes = processes(self._layout)
        running = self._processes.__enter__()
        self._sidecar = build(settings)
        return Demo(self._layout, self._sidecar, self._browser, running)

    def __exit__(self, *_: object) -> None:
        self._sidecar.close()
        self._processes.__exit__(None, None, None)

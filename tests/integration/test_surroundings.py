"""Each signal of the surroundings from the provider's call to the rule that reads it, over a real socket (SCO4, SEC4)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from support.operators import acting
from support.sockets import served
from support.world import Caller, World, rows_of

from sidecar.config import ClientSettings, ContextSettings
from sidecar.shipped import policy_directory
from sidecar.tokens import new_device, sign_device

pytestmark = pytest.mark.anyio

HOME, WORK, AWAY = "192.0.2.7", "192.0.2.130", "198.51.100.9"  # the first two are of one network
PLACES = {
    "192.0.2.0/24": ("NO", 59.91, 10.75, 64500),
    "198.51.100.0/24": ("AU", -33.87, 151.21, 64511),
}
HOUR, DAY = 3600.0, 86_400.0
PROFILE = ("samples", "templates", "checkpoints", "provenance", "past_logins", "subjects", "marks", "waiting_probes")
STRANGER = 18


def databases(base: Path) -> ContextSettings:
    """Write two databases in MaxMind's format."""
    city, asn = MMDBWriter(4, "Test-City", languages=["en"], description="made by a test"), MMDBWriter(4, "Test-ASN")
    for network, (code, latitude, longitude, number) in PLACES.items():
        spot = {"latitude": latitude, "longitude": longitude, "accuracy_radius": 20}
        city.insert_network(IPSet([network]), {"country": {"iso_code": code}, "location": spot})
        asn.insert_network(IPSet([network]), {"autonomous_system_number": number})
    city.to_db_file(str(base / "city.mmdb"))
    asn.to_db_file(str(base / "asn.mmdb"))
    return ContextSettings(city=base / "city.mmdb", asn=base / "asn.mmdb")


def asking(base: Path, leaf: str) -> Path:
    """Write a policy that lets everybody in but where one leaf is true."""
    text = (policy_directory() / "observe-only.yaml").read_text()
    head, _, rest = text.partition("\nrules:")
    outcomes = rest[rest.index("\noutcomes:") :]
    rule = f"\nrules:\n  - id: asked\n    when:\n      all: ['{leaf}']\n    then: step_up\n"
    path = base / "policy.yaml"
    path.write_text(head + rule + outcomes)
    return path


@dataclass
class Place:
    """A world behind a real socket, with the one rule of a test, and a browser that keeps its cookie."""

    world: World
    idp: Caller
    cookie: str | None = None

    async def login(
        self, sub: str = "ann", ip: str = HOME, *, device: str | None = None, **extra: Any
    ) -> dict[str, Any]:
        """Log in from a browser (ours, unless told) and finish; return the answer with the rule that decided."""
        sent = device if device is not None else self.cookie
        answer = await self.ask(sub, ip, device=sent, **extra)
        assert (await self.idp.complete(answer["decision_id"], second_factor=True)).json() == {"closed": True}
        if device is None:
            self.cookie = answer["device_cookie"]["value"]
        return answer

    async def ask(self, sub: str = "ann", ip: str = HOME, **extra: Any) -> dict[str, Any]:
        return await self.idp.evaluate(sub, None, ip=ip, **extra)

    async def fact(self, name: str) -> Any:
        return (await self.world.last_body())["facts"][name]

    async def failed(self, device: str | None, sub: str = "ann", times: int = 1) -> None:
        for _ in range(times):
            body = {"type": "login_failed", "subject": {"id": sub}, "device": device}
            assert (await self.idp.post("/v1/events", body)).status_code == 204

    async def mark(self, kind: str | None, **more: Any) -> httpx.Response:
        headers = acting(self.world)
        return await self.idp.http.post(
            "/operator/api/subjects/one/ann/mark", json={"mark": kind} | more, headers=headers
        )


Open = Callable[[str], Awaitable[Place]]


@pytest.fixture
async def place(tmp_path: Path, worlds: Any) -> AsyncIterator[Open]:
    """Open a world whose one rule has this leaf."""
    async with AsyncExitStack() as stack:

        async def start(leaf: str) -> Place:
            extra = {"context": databases(tmp_path), "policy": asking(tmp_path, leaf), "operator": True}
            clients = {"bank": ClientSettings(sensitivity="high", floor="step_up")}
            world: World = await worlds(**extra, idp={"clients": clients})
            urls: list[str] = []

            def app(url: str) -> Any:
                urls.append(url)
                return world.app

            await stack.enter_async_context(served(app))
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=urls[0], trust_env=False))
            return Place(world, replace(world.idp, http=http))

        yield start


def decided(answer: dict[str, Any]) -> str:
    return str(answer["reason_admin"]["en"]).partition(":")[0]


async def new_device_(at: Place) -> tuple[Any, ...]:
    await at.login()
    assert (await at.login(), await at.fact("device.state"))[1] == "known"
    return await at.login(device=browser(at)), "new"


async def no_cookie(at: Place) -> tuple[Any, ...]:
    await at.login()
    return await at.login(device=""), "none"


async def other_network(at: Place) -> tuple[Any, ...]:
    await at.login()
    await at.login(ip=WORK)
    assert await at.fact("network.changed") is False
    return await at.login(ip=AWAY), True


async def asn(at: Place) -> tuple[Any, ...]:
    return await at.login(), 64500


async def other_asn(at: Place) -> tuple[Any, ...]:
    await at.login()
    return await at.login(ip=AWAY), True


async def country(at: Place) -> tuple[Any, ...]:
    return await at.login(), "NO"


async def travel(at: Place) -> tuple[Any, ...]:
    await at.login()
    at.world.clock.forward(HOUR)
    return await at.login(ip=AWAY), pytest.approx(15_900, rel=0.02)


async def unusual(at: Place) -> tuple[Any, ...]:
    for _ in range(10):
        await at.login()
        at.world.clock.forward(DAY)
    at.world.clock.forward(DAY / 2)
    return await at.login(), 1.0 - 1 / 11


async def failures(at: Place) -> tuple[Any, ...]:
    await at.login()
    await at.failed(at.cookie, times=2)
    answer = await at.ask(device=at.cookie)  # the third has the password and not the second factor
    await at.idp.complete(answer["decision_id"], "failed")
    return await at.login(), 3


async def session(at: Place) -> tuple[Any, ...]:
    began = at.world.clock() - 7200
    body = at.idp.request("ann", None, session_started_at=began) | {"action": {"name": "session_check"}}
    answer = (await at.idp.post("/access/v1/evaluation", body)).json()
    return answer | answer["context"], pytest.approx(7200, abs=5)


async def marked(at: Place) -> tuple[Any, ...]:
    assert (await at.mark("compromised")).status_code == 200
    return await at.login(), "compromised"


async def sensitive(at: Place) -> tuple[Any, ...]:
    return await at.login(client="bank"), "high"


async def private(at: Place) -> tuple[Any, ...]:
    return await at.login(gpc=True), True


async def enrolled(at: Place) -> tuple[Any, ...]:
    return await at.login(second_factor=False), False


async def agreed(at: Place) -> tuple[Any, ...]:
    return await at.login(consent={"given": True}), "given"


SIGNALS: dict[str, tuple[str, str, Callable[[Place], Awaitable[tuple[Any, ...]]]]] = {
    "a new browser": ("device.state", 'device.state == "new"', new_device_),
    "no cookie": ("device.state", 'device.state == "none"', no_cookie),
    "another network": ("network.changed", "network.changed", other_network),
    "the autonomous system": ("network.asn", "network.asn == 64500", asn),
    "another autonomous system": ("network.asn_changed", "network.asn_changed", other_asn),
    "the country": ("network.country", 'network.country == "NO"', country),
    "another country": ("network.country_changed", "network.country_changed", other_asn),
    "impossible travel": ("travel.speed", "travel.speed > 1000.0", travel),
    "an unusual hour": ("time.unusual", "time.unusual > 0.9", unusual),
    "failures of the browser": ("failures.device", "failures.device >= 3", failures),
    "the session's age": ("session.age", "session.age > 3600.0", session),
    "a mark": ("mark.state", 'mark.state == "compromised"', marked),
    "a sensitive client": ("client.sensitivity", 'client.sensitivity == "high"', sensitive),
    "no second factor": ("user.second_factor", "!user.second_factor", enrolled),
    "global privacy control": ("consent.gpc", "consent.gpc", private),
    "consent": ("consent.state", 'consent.state == "given"', agreed),
}
# They say where a login comes from, ordinary or not.
ALWAYS = ("the country", "the autonomous system")


class TestEndToEnd:
    @pytest.mark.parametrize("what", SIGNALS)
    async def test_sco4_signal(self, place: Open, what: str) -> None:
        signal, leaf, play = SIGNALS[what]
        at = await place(leaf)
        answer, value = await play(at)
        assert await at.fact(signal) == value
        assert decided(answer) == "asked"
        trace = (await at.world.last_body())["trace"][0]["leaves"]
        assert [item["result"] for item in trace] == ["true"]

    @pytest.mark.parametrize("what", [name for name in SIGNALS if name not in ALWAYS])
    async def test_sco4_usual_login(self, place: Open, what: str) -> None:
        """The other side of each: a rule about it lets an ordinary login of the owner pass."""
        at = await place(SIGNALS[what][1])
        for _ in range(3):
            await at.login()
            at.world.clock.forward(DAY)
        assert decided(await at.login()) == "outcome.unavailable.no_capture"


def browser(at: Place, device: str | None = None, tenant: str = "one", days: float = 0.0) -> str:
    """The cookie that a browser was once given."""
    secret, when = at.world.inside.keyring.devices, at.world.clock() - days * DAY
    return sign_device(device or new_device(), tenant, secret, at=when)


async def strangers(at: Place, leaf_cookie: str) -> None:
    """Everything somebody without the password can set going: pages, captures, refused passwords from any browser."""
    own = browser(at)
    page = await at.world.page(at.idp)
    await page.typed(rows_of(STRANGER, 1))
    for device in (None, "", "x" * 900, own, leaf_cookie[:-4] + "AAAA", leaf_cookie.replace(".", ",")):
        await at.failed(device, times=7)
    for number in range(40):  # many browsers at once
        await at.failed(browser(at, f"stranger-{number:016d}"))
    await at.failed(own, sub="nobody-ever", times=3)


class TestStrangers:
    @pytest.mark.parametrize("what", SIGNALS)
    async def test_sec4_cannot_raise_the_owners_friction_or_touch_the_profile(self, place: Open, what: str) -> None:
        signal, leaf, _ = SIGNALS[what]
        at = await place(leaf)
        for number in range(11):
            await at.login()
            at.world.clock.forward(DAY + 600 * number)  # at other hours, so that a second more or less ranks the same
        calm = await at.ask(device=at.cookie)
        before = await at.fact(signal), decided(calm)
        kept = {table: at.world.rows(table) for table in PROFILE}
        await strangers(at, str(at.cookie))
        after_kept = {table: at.world.rows(table) for table in PROFILE}
        assert after_kept == kept
        troubled = await at.ask(device=at.cookie)
        assert (await at.fact(signal), decided(troubled)) == before

    async def test_sec4_nothing_is_kept_of_failures_for_people_who_never_came_in(self, place: Open) -> None:
        at = await place("failures.device >= 3")
        await at.failed(browser(at), times=5)
        assert at.world.rows("failed_logins") == []

    async def test_sec4_many_browsers_do_not_push_out_what_was_counted_on_the_owners(self, place: Open) -> None:
        at = await place("failures.device >= 3")
        await at.login()
        await at.failed(at.cookie, times=3)
        await strangers(at, str(at.cookie))
        assert decided(await at.ask(device=at.cookie)) == "asked"

    async def test_sec4_a_login_that_was_not_finished_makes_nothing_known(self, place: Open) -> None:
        """Whoever has the password and not the second factor does not make their browser or country the owner's."""
        at = await place('device.state == "new"')
        await at.login()
        answer = await at.ask(ip=AWAY)
        stolen = answer["device_cookie"]["value"]
        await at.idp.complete(answer["decision_id"], "abandoned")
        assert decided(await at.ask(ip=AWAY, device=stolen)) == "asked"
        assert await at.fact("network.country_changed") is True


class TestCookie:
    async def test_sco4_another_tenants_an_old_and_a_changed_one_count_as_none(self, place: Open) -> None:
        at = await place('device.state == "none"')
        await at.login()
        good = str(at.cookie)
        old, theirs = browser(at, days=181), browser(at, tenant="two")
        assert decided(await at.ask(device=good)) != "asked"
        for bad in (old, theirs, good[:-6] + "AAAAAA", good.rpartition(".")[0], "x"):
            assert decided(await at.ask(device=bad)) == "asked", bad

    async def test_sco4_a_repeated_request_gets_the_same_cookie(self, place: Open) -> None:
        at = await place("network.changed")
        body = at.idp.request("ann", None, ip=HOME)
        found = [
            (await at.idp.post("/access/v1/evaluation", body, headers={"Idempotency-Key": "once-and-again"})).json()
            for _ in range(2)
        ]
        assert found[0] == found[1]
        assert found[0]["context"]["device_cookie"]["max_age"] == 180 * DAY

    async def test_sco4_it_names_the_browser_over_people(self, place: Open) -> None:
        """One cookie, two people: known is who completed a login with it, each for themselves."""
        at = await place('device.state == "new"')
        await at.login("ann")
        assert decided(await at.login("ben")) == "asked"
        assert decided(await at.login("ben")) != "asked"

    async def test_prv_without_history_nothing_is_kept_and_no_cookie_is_made(self, worlds: Any) -> None:
        world: World = await worlds(context=ContextSettings(history=False))
        answer = await world.idp.login("ann", None, second_factor=True, ip=HOME)
        assert "device_cookie" not in answer
        assert world.rows("past_logins") == []
        facts = (await world.last_body())["facts"]
        assert (facts["device.state"], facts["network.changed"]) == ("none", None)


class TestMarks:
    async def test_sco4_end_by_themselves_and_are_taken_away(self, place: Open) -> None:
        at = await place('mark.state == "compromised"')
        until = at.world.clock() + 3600
        assert (await at.mark("compromised", until=until)).json() == {"mark": "compromised", "until": until}
        assert decided(await at.ask()) == "asked"
        at.world.clock.forward(3601)
        assert decided(await at.ask()) != "asked"
        await at.mark("compromised")
        assert (await at.mark(None)).status_code == 200
        assert decided(await at.ask()) != "asked"
        kinds = [row[3] for row in at.world.rows("audit")]
        assert kinds.count("subject.marked") == 3

    async def test_a_mark_that_ended_before_it_began_is_refused(self, place: Open) -> None:
        at = await place("network.changed")
        response = await at.mark("safe", until=5.0)
        assert (response.status_code, response.json()["error"]) == (400, "bad_request")
        assert (await at.mark("lost")).status_code == 400

    async def test_a_forged_mark_is_no_mark(self, place: Open) -> None:
        at = await place('mark.state == "compromised"')
        await at.mark("compromised", until=at.world.clock() + 60)
        await at.world.inside.database.write(lambda c: c.execute("UPDATE marks SET expires = NULL"))
        answer = await at.ask()
        assert answer["source"] == "degraded"


class TestMemory:
    async def test_prv_what_is_remembered_is_sealed_bounded_and_the_network_only(self, place: Open) -> None:
        at = await place("network.changed")
        await at.login()
        (row,) = at.world.rows("past_logins")
        for secret in (b"192.0.2", b"NO", b"64500"):
            assert secret not in bytes(row[4])
        past = await at.world.inside.surroundings.past("one", at.world.pseudonym("ann"))
        assert [(login.address, login.country, login.asn) for login in past.logins] == [("192.0.2.0", "NO", 64500)]

    async def test_prv_retention_trims_a_history_and_drops_an_old_one(self, place: Open) -> None:
        at = await place("network.changed")
        await at.login()
        at.world.clock.forward(100 * DAY)
        await at.login()
        await at.login("ben")
        at.world.clock.forward(100 * DAY)
        await at.world.inside.retention.retire(at.world.clock())
        past = await at.world.inside.surroundings.past("one", at.world.pseudonym("ann"))
        assert len(past.logins) == 1
        at.world.clock.forward(81 * DAY)
        await at.world.inside.retention.retire(at.world.clock())
        assert at.world.rows("past_logins") == []
        await at.login()
        await at.failed(at.cookie)
        at.world.clock.forward(HOUR + 1)
        await at.world.inside.retention.purge(at.world.clock())
        assert at.world.rows("failed_logins") == []

    async def test_prv_export_shows_it_and_forgetting_takes_it_all(self, place: Open) -> None:
        at = await place("network.changed")
        await at.login()
        await at.failed(at.cookie)
        await at.mark("safe")
        shown = await at.idp.post("/v1/subjects/export", {"subject": {"id": "ann"}})
        assert shown.json()["logins"][0]["network"] == "192.0.2.0"
        assert len(shown.json()["failed_logins"]) == 1
        assert shown.json()["mark"] == {"is": "safe", "until": None}
        await at.idp.post("/v1/subjects/forget", {"subject": {"id": "ann"}})
        for table in ("past_logins", "failed_logins", "marks"):
            assert at.world.rows(table) == []

    async def test_prv_unlearning_takes_the_logins_since_back(self, place: Open) -> None:
        at = await place("network.changed")
        await at.login()
        at.world.clock.forward(DAY)
        moment = at.world.clock()
        at.world.clock.forward(60)
        await at.login(ip=AWAY)
        await at.world.inside.correction.unlearn("one", at.world.pseudonym("ann"), moment, at.world.clock(), "test")
        assert decided(await at.ask(ip=AWAY)) == "asked"

    async def test_a_changed_history_loosens_nothing(self, place: Open) -> None:
        at = await place("network.changed")
        await at.login()
        await at.world.inside.database.write(lambda c: c.execute("UPDATE past_logins SET last_at = last_at + 1"))
        assert (await at.ask())["source"] == "degraded"

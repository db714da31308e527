"""The operators' policy pages over HTTP: shadow, a candidate, its mistakes and backtest, publishing by role (POL2, 6, 8)."""

import asyncio
import html
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from support.operators import CSRF, acting, cookie
from support.world import World, carried

from sidecar import trial
from sidecar.compiler import BOUNDS, compiled
from sidecar.config import PublishingSettings
from sidecar.errors import BadRequest, PolicyInvalid
from sidecar.policy.language import parse
from sidecar.ports import Audience, PolicyVersion
from sidecar.shipped import policy_directory
from sidecar.trial import rehearsed

pytestmark = pytest.mark.anyio
OWNER, STRANGER = 7, 18
BALANCED = (policy_directory() / "default.yaml").read_text()
BALANCED_TESTS = (policy_directory() / "default.test.yaml").read_text()
OBSERVE = (policy_directory() / "observe-only.yaml").read_text()
LENIENT = BALANCED.replace("id: balanced", "id: lenient").replace("mismatch_from: 0.8", "mismatch_from: 5.5")


@pytest.fixture
async def office(worlds: Any) -> World:
    made: World = await worlds(operator=True)
    return made


async def send(
    world: World, path: str, roles: tuple[str, ...] = ("administrator",), name: str = "Olive", **form: str
) -> Any:
    return await world.http.post(
        f"/operator/policies/{path}", data={"csrf": CSRF} | form, headers=cookie(world, roles, name=name)
    )


async def page(world: World, path: str = "", roles: tuple[str, ...] = ("administrator",)) -> Any:
    return await world.http.get(f"/operator/policies{path}", headers=cookie(world, roles))


async def logins(world: World, strangers: int = 3) -> None:
    await world.enroll("ann", OWNER)
    for number in range(4):
        await world.idp.login("ann", carried(OWNER, number), second_factor=False)
    for number in range(strangers):
        await world.idp.evaluate("ann", carried(STRANGER, number))


class TestCandidate:
    async def test_pol2_mistakes_are_shown_in_place_and_nothing_is_kept(self, office: World) -> None:
        broken = BALANCED.replace("['travel.speed > 1000.0']", "['travel.sped > 1000.0']")
        line = next(number for number, text in enumerate(broken.splitlines(), 1) if "travel.sped" in text)
        for path in ("try", "publish"):
            response = await send(office, path, source=broken, act="check")
            assert response.status_code == 422
            assert f"line {line}, column" in response.text
            assert "did you mean travel.speed?" in response.text
            assert broken.splitlines()[line - 1].strip().split("'")[1].replace(">", "&gt;") in response.text
            assert "travel.sped" in re.search(r"<textarea[^>]*>(.*?)</textarea>", response.text, re.S)[1]  # type: ignore[index]
        assert await office.inside.published.history(5) == []

    async def test_pol9_a_failing_test_is_a_mistake(self, office: World) -> None:
        response = await send(office, "try", source=LENIENT.replace("failures.device >= 5", "failures.device >= 9"),
                              tests=BALANCED_TESTS, act="check")  # fmt: skip
        assert response.status_code == 422
        assert "candidate.test.yaml, line" in response.text

    async def test_pol2_what_differs_from_the_policy_in_force(self, office: World) -> None:
        response = await send(office, "try", source=LENIENT, tests=BALANCED_TESTS, act="check")
        assert response.status_code == 200
        assert "lenient compiles, and its tests pass" in response.text
        assert "typing counts as a mismatch from 5.5, was 0.8" in response.text
        same = await send(office, "try", source=BALANCED, act="check")
        assert "means the same as what is in force" in same.text

    async def test_pol8_the_backtest_says_whom_it_would_have_asked(self, office: World) -> None:
        await logins(office)
        response = await send(office, "try", source=LENIENT, act="backtest", days="7")
        assert response.status_code == 200
        assert "7 recorded logins of 1 people" in response.text
        assert '<b class="milder">3 fewer</b>' in response.text
        assert (
            '<code>keystroke-mismatch</code></td><td data-label="Rule now"><code>outcome.match</code>' in response.text
        )
        assert "Name of ann" in response.text
        unnamed = await send(office, "try", roles=("policy_author",), source=LENIENT, act="backtest")
        assert "Name of ann" not in unnamed.text
        assert office.pseudonym("ann")[:20] in unnamed.text
        read = [row for row in office.rows("audit") if row[3] == "decisions.read" and '"backtest":true' in row[6]]
        assert len(read) == 4  # two tenants, twice

    @pytest.mark.parametrize("days", ["x", "-1", "nan", "91", "1e9"])
    async def test_pol8_an_odd_number_of_days_is_refused(self, office: World, days: str) -> None:
        response = await send(office, "try", source=LENIENT, act="backtest", days=days)
        assert (response.status_code, "days is a number" in response.text) == (422, True)

    async def test_pol8_only_of_tenants_that_the_operator_may_see(self, office: World) -> None:
        await logins(office)
        headers = cookie(office, tenants=["two"])
        response = await office.http.post(
            "/operator/policies/try", data={"csrf": CSRF, "source": LENIENT, "act": "backtest"}, headers=headers
        )
        assert "0 recorded logins of 0 people" in response.text

    async def test_pol2_it_begins_with_a_shipped_or_a_published_one(self, office: World) -> None:
        assert "id: observe-only" in (await page(office, "/try?from=observe-only")).text
        await send(office, "publish", source=LENIENT)
        assert "mismatch_from: 5.5" in (await page(office, "/try?from=1")).text
        for odd in ("99", "x", "..%2Fdefault", "-1", "٣"):
            assert (await page(office, f"/try?from={odd}")).status_code == 404

    async def test_pol2_markup_in_a_candidate_stays_text(self, office: World) -> None:
        response = await send(office, "try", source="</textarea><script>alert(1)</script>", act="check")
        assert response.status_code == 422
        assert "<script>alert" not in response.text


class TestPublishing:
    async def test_pol2_publish_watch_restore(self, office: World) -> None:
        response = await send(office, "publish", source=LENIENT, tests=BALANCED_TESTS, note="fewer calls")
        assert response.headers["location"].endswith("done=version+1+is+enforced+for+everybody")
        await send(office, "publish", source=BALANCED)
        shown = (await page(office)).text
        for words in ("lenient", "fewer calls", "Olive", "Go back to it", "previous"):
            assert words in shown
        await send(office, "rollback", note="too many calls")
        assert (await office.inside.published.slots())["enforced"].number == 1
        response = await send(office, "restore", number="2")
        assert "version+2+again" in response.headers["location"]
        assert (await office.inside.published.version(3)).source == BALANCED.encode()  # type: ignore[union-attr]
        kinds = [row[3] for row in office.rows("audit")]
        assert kinds.count("policy.enforced") == 3
        assert kinds.count("policy.rolled_back") == 1

    async def test_pol2_two_versions_of_the_history_are_compared_by_meaning(self, office: World) -> None:
        await send(office, "publish", source=BALANCED)
        await send(office, "publish", source=LENIENT)
        shown = (await page(office)).text
        assert '<option value="1" selected>version 1</option>' in shown
        response = await page(office, "/diff?old=1&new=2")
        assert response.status_code == 200
        assert "typing counts as a mismatch from 5.5, was 0.8" in response.text
        assert "They mean the same" in (await page(office, "/diff?old=2&new=2")).text
        for odd in ("old=1", "old=1&new=9", "old=x&new=1", ""):
            assert (await page(office, f"/diff?{odd}")).status_code == 404

    async def test_pol2_line_ends_of_a_browser_do_not_change_the_policy(self, office: World) -> None:
        await send(office, "publish", source=LENIENT.replace("\n", "\r\n"))
        assert (await office.inside.published.version(1)).source == LENIENT.encode()  # type: ignore[union-attr]

    async def test_pol10_for_a_part_then_for_everybody_or_nobody(self, office: World) -> None:
        await send(office, "publish", source=LENIENT, percent="10", groups="pilots, interns", band="0.1")
        slot = (await office.inside.published.slots())["staged"]
        assert (slot.audience.percent, slot.audience.groups, slot.band) == (10.0, ("interns", "pilots"), 0.1)
        await send(office, "withdraw", slot="staged")
        assert await office.inside.published.slots() == {}
        await send(office, "publish", source=LENIENT, percent="10")
        await send(office, "enforce")
        assert set(await office.inside.published.slots()) == {"enforced", "previous"}
        assert "balanced, the configured file" in (await page(office)).text
        response = await send(office, "rollback", to="file")
        assert response.headers["location"].endswith("done=the+configured+file+decides+again")
        assert await office.inside.published.slots() == {}

    async def test_pol10_a_group_alone_is_for_that_group_only(self, office: World) -> None:
        response = await send(office, "publish", source=LENIENT, groups="pilots")
        assert "is+staged+for+the+group+pilots" in response.headers["location"]
        assert (await office.inside.published.slots())["staged"].audience == Audience(0.0, ("pilots",))
        assert "<span>the group pilots</span>" in (await page(office)).text

    @pytest.mark.parametrize("form", [{"percent": "x"}, {"percent": "101"}, {"band": "2"}, {"band": "inf"}, {"percent": "0"},
                                      {"percent": "100", "groups": "pilots"}])  # fmt: skip
    async def test_pol10_odd_figures_are_refused(self, office: World, form: dict[str, str]) -> None:
        response = await send(office, "publish", source=LENIENT, **form)
        assert response.status_code == 400
        assert await office.inside.published.history(1) == []

    async def test_pol13_four_eyes_are_two_people(self, worlds: Any) -> None:
        world: World = await worlds(operator=True, publishing=PublishingSettings(four_eyes=True))
        await send(world, "publish", name="Ann", roles=("policy_author",), source=LENIENT)
        shown = (await page(world)).text
        assert "Approve for everybody" in shown
        audience = html.unescape(re.search(r'name="audience" value="([^"]*)"', shown)[1])  # type: ignore[index]
        own = await send(world, "approve", name="Ann", roles=("policy_author",), number="1", audience=audience)
        assert (own.status_code, own.json()["error"]) == (403, "forbidden")
        for odd in ("", "{", '{"percent": "x"}'):
            assert (await send(world, "approve", name="Ben", number="1", audience=odd)).status_code == 400
        other = await send(world, "approve", name="Ben", number="1", audience='{"percent": 1, "groups": []}')
        assert (other.status_code, other.json()["error"]) == (409, "policy_conflict")
        assert (await send(world, "approve", name="Ben", number="1", audience=audience)).status_code == 303
        slot = (await world.inside.published.slots())["enforced"]
        assert (slot.author, slot.approver) == ("Ann", "Ben")

    @pytest.mark.parametrize(
        ("act", "form"),
        [("approve", {"number": "7", "audience": "{}"}), ("enforce", {}), ("withdraw", {"slot": "enforced"}), ("rollback", {}),
         ("restore", {"number": "x"}), ("nonsense", {})],
    )  # fmt: skip
    async def test_pol2_what_is_not_there_is_not_found(self, office: World, act: str, form: dict[str, str]) -> None:
        assert (await send(office, act, **form)).status_code == 404

    async def test_sec7_an_operator_of_one_tenant_changes_nothing_for_all(self, office: World) -> None:
        await send(office, "publish", source=LENIENT)
        mine = cookie(office, tenants=["one"])
        for path, form in (("publish", {"source": BALANCED}), ("restore", {"number": "1"}), ("rollback", {})):
            response = await office.http.post(f"/operator/policies/{path}", data={"csrf": CSRF} | form, headers=mine)
            assert (response.status_code, response.json()["error"]) == (403, "forbidden")
        assert (await office.http.get("/operator/policies/try?from=1", headers=mine)).status_code == 403
        shown = (await office.http.get("/operator/policies", headers=mine)).text
        assert "Try a candidate" in shown
        assert "Restore" not in shown
        assert len(await office.inside.published.history(5)) == 1

    async def test_pol2_a_form_of_absurd_size_is_refused(self, office: World) -> None:
        assert (await send(office, "try", source="x" * 5_000_000)).status_code == 413


def large(rules: int) -> str:
    added = (
        f"  - {{id: r{n}, when: {{all: ['client.id == \"c{n}\"', 'failures.device > {n}']}}, then: step_up}}\n"
        for n in range(rules)
    )
    return BALANCED.replace("id: balanced", "id: large").replace("rules:\n", "rules:\n" + "".join(added), 1)


LARGE = large(2000)
BESIDE = large(800)  # as large as two halves of the tests side by side compile in time


class TestBesideLogins:
    @pytest.mark.timeout(180)
    async def test_pol2_logins_keep_their_deadline_while_a_large_candidate_is_checked_and_published(
        self, worlds: Any
    ) -> None:
        office: World = await worlds(operator=True)
        began = time.monotonic()
        parse(BESIDE.encode())
        reading = time.monotonic() - began  # how long logins would stand still if this were done beside them
        await office.enroll("ann", OWNER)
        done, sources, stalls = asyncio.Event(), set(), [0.0]

        async def logins() -> None:
            number = 0
            while not done.is_set():
                number += 1
                sources.add((await office.idp.evaluate("ann", carried(OWNER, number)))["source"])
                await asyncio.sleep(0.02)

        async def stalled() -> None:
            while not done.is_set():
                began = time.monotonic()
                await asyncio.sleep(0.01)
                stalls.append(time.monotonic() - began)

        async def analyst() -> None:
            for _ in range(2):
                response = await send(office, "try", source=BESIDE, act="check")
                assert response.status_code == 200, response.text[:500]
            await office.inside.publisher.propose(replace(TestBounds.candidate, source=BESIDE.encode()))
            async with asyncio.timeout(60):
                while (await office.last_body())["policy"] != "large":  # noqa: ASYNC110 - logins go on meanwhile
                    await asyncio.sleep(0.2)
            done.set()

        await asyncio.gather(analyst(), logins(), stalled())
        assert sources == {"scored"}
        assert max(stalls) < max(0.4, 0.8 * reading)

    async def test_pol2_one_at_a_time_and_whoever_waits_keeps_what_was_typed(self, office: World) -> None:
        for path in ("try", "publish"):
            first, second = await asyncio.gather(
                *(send(office, path, source=LENIENT, act="check", note=f"typed {n}") for n in range(2))
            )
            refused = first if first.status_code == 503 else second
            assert {first.status_code, second.status_code} in ({200, 503}, {303, 503})
            assert int(refused.headers["retry-after"]) > 0
            assert "somebody else is at it" in refused.text
            assert "id: lenient" in refused.text
        assert (await send(office, "try", source=LENIENT, act="check")).status_code == 200


class TestBounds:
    """A candidate that never ends, or eats memory, is refused; the bounds here are smaller than the shipped ones."""

    candidate = PolicyVersion(0, "", "candidate", LARGE.encode(), (), None, "ann", 0.0, "")

    async def test_pol12_in_time(self) -> None:
        began = time.monotonic()
        with pytest.raises(PolicyInvalid, match=r"candidate:1:1: not compiled within 0\.3 s; hint: make it smaller"):
            await compiled(self.candidate, "candidate", bounds=replace(BOUNDS, seconds=0.3))
        assert time.monotonic() - began < 5.0

    async def test_pol12_in_memory(self) -> None:
        with pytest.raises(
            PolicyInvalid, match=r"candidate:1:1: the compiler ended with -?\d+, within 20 s and 48 MiB"
        ):
            await compiled(self.candidate, "candidate", bounds=replace(BOUNDS, memory_bytes=48 * 1024**2))

    async def test_pol12_what_takes_too_long_to_compare_is_checked_all_the_same(self) -> None:
        small = PolicyVersion(0, "", "candidate", LENIENT.encode(), (), None, "ann", 0.0, "")
        against = large(9000).encode()  # not even read in that time
        found = await compiled(small, "candidate", against=against, bounds=replace(BOUNDS, seconds=6.0))
        assert (found.id, found.changes) == ("lenient", None)
        found = await compiled(small, "candidate", against=BALANCED.encode())
        assert [change.subject for change in found.changes or ()] == ["id", "bands.keystroke.mismatch_from"]

    async def test_pol8_a_backtest_in_time(self) -> None:
        async def pages() -> Any:
            yield []

        with pytest.raises(BadRequest, match=r"not done within 0\.2 s"):
            await rehearsed(LARGE.encode(), pages(), replace(trial.BOUNDS, seconds=0.2))
        with pytest.raises(BadRequest, match="ended before its time"):
            await rehearsed(LARGE.encode(), pages(), replace(trial.BOUNDS, memory_bytes=48 * 1024**2))


class TestShadow:
    async def test_pol6_stored_shown_and_queryable(self, worlds: Any) -> None:
        world: World = await worlds(operator=True, policy=policy_directory() / "observe-only.yaml")
        await logins(world)
        rows = (await world.http.get("/operator/rows", headers=cookie(world))).text
        assert rows.count("In shadow: <code>would-ask-mismatch</code>") == 3
        assert "In shadow" not in (await world.http.get("/operator/rows", headers=cookie(world, ["viewer"]))).text
        shown = (await page(world)).text
        number = '</td><td class="number">'
        counts = f"<code>would-ask-mismatch</code>{number}[0-9]+{number}3{number}3</td>"
        assert re.search(counts, shown)
        assert "would-ask-travel" in shown
        headers = acting(world, ["policy_author"])
        ask = "/operator/api/shadow?rule=would-ask-mismatch&changed="
        changed = (await world.http.get(ask + "true", headers=headers)).json()
        assert (changed["found"], changed["looked_at"]) == (3, 7)
        assert {(row["was"]["action"], row["would"]["action"]) for row in changed["decisions"]} == {
            ("allow", "step_up")
        }
        assert (await world.http.get(ask + "false", headers=headers)).json()["found"] == 4
        assert (await world.http.get("/operator/api/shadow?days=x", headers=headers)).status_code == 400
        theirs = cookie(world, tenants=["two"])
        assert (await world.http.get("/operator/api/shadow", headers=theirs)).json()["found"] == 0

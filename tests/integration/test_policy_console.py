"""The operators' policy pages over HTTP: shadow, a candidate, its mistakes and backtest, publishing by role (POL2, 6, 8)."""

import re
from typing import Any

import pytest
from support.operators import CSRF, acting, cookie
from support.world import World, carried

from sidecar.config import PublishingSettings
from sidecar.ports import Audience
from sidecar.shipped import policy_directory

pytestmark = pytest.mark.anyio
OWNER, STRANGER = 7, 18
BALANCED = (policy_directory() / "default.yaml").read_text()
BALANCED_TESTS = (policy_directory() / "default.test.yaml").read_text()
OBSERVE = (policy_directory() / "observe-only.yaml").read_text()
LENIENT = BALANCED.replace("id: balanced", "id: lenient").replace("mismatch_from: 0.9", "mismatch_from: 5.5")


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
        broken = BALANCED.replace("travel.speed > 1000.0", "travel.sped > 1000.0")
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
        assert "typing counts as a mismatch from 5.5, was 0.9" in response.text
        same = await send(office, "try", source=BALANCED, act="check")
        assert "means the same as what is in force" in same.text

    async def test_pol8_the_backtest_says_whom_it_would_have_asked(self, office: World) -> None:
        await logins(office)
        response = await send(office, "try", source=LENIENT, act="backtest", days="7")
        assert response.status_code == 200
        assert "7 recorded logins of 1 people" in response.text
        assert '<b class="milder">3 fewer</b>' in response.text
        assert "<code>keystroke-mismatch</code></td><td><code>outcome.match</code>" in response.text
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

    async def test_pol2_line_ends_of_a_browser_do_not_change_the_policy(self, office: World) -> None:
        await send(office, "publish", source=LENIENT.replace("\n", "\r\n"))
        assert (await office.inside.published.version(1)).source == LENIENT.encode()  # type: ignore[union-attr]

    async def test_pol10_for_a_part_then_for_everybody_or_nobody(self, office: World) -> None:
        await send(office, "publish", source=LENIENT, percent="10", groups="pilots, interns", band="0.1")
        slot = (await office.inside.published.slots())["staged"]
        assert (slot.audience.percent, slot.audience.groups, slot.band) == (10.0, ("pilots", "interns"), 0.1)
        await send(office, "withdraw", slot="staged")
        assert await office.inside.published.slots() == {}
        await send(office, "publish", source=LENIENT, percent="10")
        await send(office, "enforce")
        assert set(await office.inside.published.slots()) == {"enforced"}

    async def test_pol10_a_group_alone_is_for_that_group_only(self, office: World) -> None:
        response = await send(office, "publish", source=LENIENT, groups="pilots")
        assert "is+staged+for+the+group+pilots" in response.headers["location"]
        assert (await office.inside.published.slots())["staged"].audience == Audience(0.0, ("pilots",))
        assert "<td>the group pilots</td>" in (await page(office)).text

    @pytest.mark.parametrize("form", [{"percent": "x"}, {"percent": "101"}, {"band": "2"}, {"band": "inf"}, {"percent": "0"},
                                      {"percent": "100", "groups": "pilots"}])  # fmt: skip
    async def test_pol10_odd_figures_are_refused(self, office: World, form: dict[str, str]) -> None:
        response = await send(office, "publish", source=LENIENT, **form)
        assert response.status_code == 400
        assert await office.inside.published.history(1) == []

    async def test_pol13_four_eyes_are_two_people(self, worlds: Any) -> None:
        world: World = await worlds(operator=True, publishing=PublishingSettings(four_eyes=True))
        await send(world, "publish", name="Ann", roles=("policy_author",), source=LENIENT)
        own = await send(world, "approve", name="Ann", roles=("policy_author",), number="1")
        assert (own.status_code, own.json()["error"]) == (403, "forbidden")
        assert "Approve" in (await page(world)).text
        assert (await send(world, "approve", name="Ben", number="1")).status_code == 303
        slot = (await world.inside.published.slots())["enforced"]
        assert (slot.author, slot.approver) == ("Ann", "Ben")

    @pytest.mark.parametrize(
        ("act", "form"),
        [("approve", {"number": "7"}), ("enforce", {}), ("withdraw", {"slot": "enforced"}), ("rollback", {}),
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

"""Context signals: right where known, missing where not, and out of reach of whoever lacks the password (SEC4)."""

import importlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from sidecar.domain.biometrics import Kind, Probe
from sidecar.domain.entries import Entries, Entry, added, nothing
from sidecar.domain.surroundings import Failure, Mark, Past, PastLogin, Spot
from sidecar.errors import ConfigInvalid
from sidecar.geography import GeoDatabase
from sidecar.policy.expressions import known
from sidecar.policy.registry import SIGNALS
from sidecar.risk.context import history, hours, machine, places, request
from sidecar.risk.context.facts import Around, context_facts

NOW = 1_795_000_000.0
DAY = 86_400.0
OSLO, BERGEN, SYDNEY = Spot(59.91, 10.75, 20.0), Spot(60.39, 5.32, 20.0), Spot(-33.87, 151.21, 50.0)


def past(days: float = 1.0, **more: Any) -> PastLogin:
    return PastLogin(at=NOW - days * DAY, completed=more.pop("completed", True), **more)


ASKED = request.Asked("https://idp", "main", "ann", ("reader",), None, "192.0.2.7", "allow", "high")
KINDS = np.tile(np.array([Kind.HOLD, Kind.DOWN_DOWN, Kind.UP_DOWN], dtype=np.uint8), 6)
PROBE = Probe("password", "positions", np.linspace(80, 240, 18), KINDS, ("",) * 18)


def earlier(of: Probe, *away: float) -> Entries:
    """A list of entries that differ from a probe by so many ms in every hold and down-down time."""
    made = nothing()
    for number, shift in enumerate(away):
        shifted = replace(of, values=of.values + np.where(of.kinds == Kind.UP_DOWN, 0.0, shift))
        made = added(made, Entry("password", "keyboard", shifted, NOW - 100 + number, None, ""))
    return made


def around(**changed: Any) -> Around:
    given: dict[str, Any] = {
        "asked": ASKED,
        "device": "d1",
        "located": places.Located(64500, "NO", OSLO),
        "past": [
            past(1 + day, device="d1", address="192.0.2.9", asn=64500, country="NO", spot=OSLO) for day in range(12)
        ],
        "failures": [Failure(NOW - 60, "d1")],
        "session_began_at": None,
        "mark": None,
    } | changed
    return Around(
        past=Past(tuple(given.pop("past")), tuple(given.pop("failures")), given.pop("mark")),
        **given,
    )


class TestTheTable:
    def test_every_declared_producer_exists(self) -> None:
        for signal in SIGNALS.values():
            module, _, name = signal.producer.rpartition(".")
            assert callable(getattr(importlib.import_module(f"sidecar.{module}"), name)), signal.name

    def test_context_and_request_facts_are_exactly_what_is_declared(self) -> None:
        """A signal that nobody produces never fires; a fact that nobody declared cannot be read."""
        judged = {"action", "client.id", "consent.state", "consent.gpc"}
        declared = {name for name, signal in SIGNALS.items() if signal.kind != "behavior"} - judged
        assert set(context_facts(around(), NOW)) == declared

    @pytest.mark.parametrize("device", [None, "d1", "d2"])
    @pytest.mark.parametrize("history_known", [True, False])
    def test_every_value_is_of_its_declared_type_and_range(self, device: str | None, history_known: bool) -> None:
        given: dict[str, Any] = {"device": device}
        if not history_known:
            given |= {"past": [], "failures": [], "session_began_at": NOW - 5}
        facts = context_facts(around(**given), NOW)
        assert known(facts, NOW).broken == frozenset()
        for name, value in facts.items():
            signal = SIGNALS[name]
            if value is None:
                continue
            if signal.values:
                assert value in signal.values
            if isinstance(value, float) and signal.low is not None:
                assert signal.low <= value <= (signal.high if signal.high is not None else math.inf)

    def test_what_is_not_known_is_none(self) -> None:
        facts = context_facts(around(device=None, past=[], located=places.Located(None, None, None)), NOW)
        unknown = {"network.changed", "network.asn", "network.asn_changed", "network.country", "network.country_changed",
                   "travel.speed", "time.unusual", "failures.device", "session.age", "session.factor_age", "user.groups",
                   "user.second_factor"}  # fmt: skip
        assert {name for name, value in facts.items() if value is None} == unknown


ATTEMPTS = st.builds(
    PastLogin,
    at=st.floats(NOW - 300 * DAY, NOW),
    completed=st.just(False),
    device=st.sampled_from([None, "d1", "d2", "evil"]),
    address=st.sampled_from([None, "192.0.2.1", "198.51.100.1", "2001:db8::1", "x"]),
    asn=st.sampled_from([None, 64500, 64511]),
    country=st.sampled_from([None, "NO", "AU"]),
    spot=st.sampled_from([None, OSLO, SYDNEY]),
)


@given(
    st.lists(ATTEMPTS, max_size=30),
    st.lists(st.builds(Failure, st.floats(NOW - DAY, NOW), st.sampled_from([None, "d2", "evil"])), max_size=30),
)
@settings(deadline=None, max_examples=150)
def test_sec4_attempts_without_the_password_move_no_signal_of_the_victim(
    attempts: list[PastLogin], failures: list[Failure]
) -> None:
    """Per signal: whatever strangers try, from wherever and however often, the owner's own login looks the same."""
    undisturbed = around()
    besieged = around(past=[*attempts, *undisturbed.past.logins], failures=[*failures, *undisturbed.past.failures])
    before, after = context_facts(undisturbed, NOW), context_facts(besieged, NOW)
    for name in before:
        assert before[name] == after[name], name


@pytest.mark.parametrize(
    "name", ["device.state", "network.changed", "network.country_changed", "travel.speed", "failures.device"]
)
def test_sec4_the_same_events_do_count_when_they_are_the_users_own(name: str) -> None:
    """Else the test above would pass for a signal that looks at nothing."""
    own = PastLogin(NOW - 60, True, "d9", "198.51.100.1", 64511, "AU", SYDNEY)
    changed = around(
        past=[own],
        device="d9" if name == "device.state" else "d1",
        failures=[Failure(NOW - 5, "d1"), Failure(NOW - 6, "d1")],
    )
    seen = context_facts(changed, NOW)[name]
    assert {
        "device.state": "known",
        "network.changed": True,
        "network.country_changed": True,
        "failures.device": 2,
    }.get(name, seen) == seen
    assert name != "travel.speed" or float(seen) > 100_000


class TestHistory:
    @pytest.mark.parametrize(
        ("device", "found", "state"),
        [
            (None, past(device="d1"), "none"),
            ("d1", past(device="d1"), "known"),
            ("d1", past(device="d2"), "new"),
            ("d1", past(device="d1", completed=False), "new"),
            ("d1", past(days=179.9, device="d1"), "known"),
            ("d1", past(days=180.1, device="d1"), "new"),
            ("d1", past(), "new"),
        ],
    )
    def test_device(self, device: str | None, found: PastLogin, state: str) -> None:
        assert history.device_state(device, [found], NOW) == state

    @pytest.mark.parametrize(
        ("address", "seen", "changed"),
        [
            ("192.0.2.7", "192.0.2.250", False),
            ("192.0.3.7", "192.0.2.7", True),
            ("2001:db8:1:2::1", "2001:db8:1:ffff::9", False),
            ("2001:db8:2::1", "2001:db8:1::1", True),
            ("::ffff:192.0.2.7", "192.0.2.9", False),
            ("192.0.2.7", "2001:db8::1", True),
            (None, "192.0.2.7", None),
            ("192.0.2.7", None, None),
            ("nonsense", "192.0.2.7", None),
            ("192.0.2.7", "nonsense", None),
        ],
    )
    def test_network(self, address: str | None, seen: str | None, changed: bool | None) -> None:
        assert history.network_changed(address, [past(address=seen)]) is changed

    def test_asn_and_country(self) -> None:
        found = [past(asn=1, country="NO"), past(asn=2, country="SE"), past()]
        assert [history.asn_changed(asn, found) for asn in (1, 2, 3, None)] == [False, False, True, None]
        assert [history.country_changed(code, found) for code in ("NO", "DE", None)] == [False, True, None]
        assert history.asn_changed(1, []) is None
        assert history.country_changed("NO", [past()]) is None

    def test_travel_against_known_distances(self) -> None:
        """Oslo to Bergen is 305 km, Oslo to Sydney 15,950 km by great circle."""
        assert history.distance_km(OSLO, BERGEN) == pytest.approx(305, abs=3)
        assert history.distance_km(OSLO, SYDNEY) == pytest.approx(15_950, rel=0.01)
        assert history.distance_km(Spot(0, 0, 0), Spot(0, 180, 0)) == pytest.approx(math.pi * 6371.0088)

    def test_travel_takes_both_uncertainties_off_and_looks_at_the_last_place_only(self) -> None:
        found = [past(days=1, spot=OSLO), past(days=30, spot=SYDNEY), past(days=0.5)]
        speed = history.travel_speed(BERGEN, found, NOW)
        assert speed == pytest.approx((history.distance_km(OSLO, BERGEN) - 40) / 24)
        assert history.travel_speed(Spot(60.0, 10.8, 30), found, NOW) == 0.0
        assert history.travel_speed(None, found, NOW) is None
        assert history.travel_speed(OSLO, [past()], NOW) is None
        at_once = [PastLogin(NOW, True, spot=OSLO)]
        assert history.travel_speed(SYDNEY, at_once, NOW) == pytest.approx(
            (history.distance_km(OSLO, SYDNEY) - 70) * 60, rel=1e-6
        )
        assert history.travel_speed(SYDNEY, [PastLogin(NOW + 5, True, spot=OSLO)], NOW) is None

    def test_failures_within_the_hour_from_this_very_browser(self) -> None:
        found = [Failure(NOW - 1, "d1"), Failure(NOW - 3600, "d1"), Failure(NOW - 3601, "d1"), Failure(NOW, "d2"),
                 Failure(NOW, None), Failure(NOW + 10, "d1")]  # fmt: skip
        assert history.failures_of_device(found, "d1", NOW) == 2
        assert history.failures_of_device(found, None, NOW) is None
        assert history.failures_of_device([], "d1", NOW) == 0


def at_hours(*found: float) -> list[PastLogin]:
    midnight = NOW - NOW % DAY
    return [PastLogin(midnight - (day + 1) * DAY + hour * 3600, True) for day, hour in enumerate(found)]


class TestHours:
    def test_fewer_than_ten_logins_say_nothing(self) -> None:
        assert hours.usual_share(at_hours(*[9.0] * 9), NOW) is None
        assert hours.usual_share(at_hours(*[9.0] * 10), NOW) is not None

    def test_midnight_is_no_border(self) -> None:
        night = at_hours(*(np.linspace(22.5, 25.5, 31) % 24))
        midnight = NOW - NOW % DAY
        assert hours.usual_share(night, midnight + 60) == pytest.approx(0.0, abs=0.1)
        assert hours.usual_share(night, midnight + 13 * 3600) == pytest.approx(31 / 32)

    def test_two_habits_leave_the_hours_between_unusual(self) -> None:
        both = at_hours(*[8.0, 8.2, 8.4, 7.9, 8.1, 22.0, 22.2, 21.8, 22.1, 21.9])
        midnight = NOW - NOW % DAY
        assert hours.usual_share(both, midnight + 15 * 3600) == pytest.approx(10 / 11)
        assert hours.usual_share(both, midnight + 22 * 3600) < 0.6

    @pytest.mark.parametrize("shape", ["office", "two shifts", "any hour"])
    def test_a_login_like_the_others_is_called_unusual_no_more_often_than_promised(self, shape: str) -> None:
        """Conformal: above 1 - a in at most a share a of logins, whatever the habit. Checked at a = .05 and .2."""
        generator = np.random.default_rng(7)
        draw = {
            "office": lambda n: generator.normal(9, 1.2, n),
            "two shifts": lambda n: np.where(generator.random(n) < 0.5, 6, 22) + generator.normal(0, 0.7, n),
            "any hour": lambda n: generator.uniform(0, 24, n),
        }[shape]
        shares = []
        for _ in range(600):
            found = draw(41) % 24
            midnight = NOW - NOW % DAY
            shares.append(hours.usual_share(at_hours(*found[:40]), midnight + float(found[40]) * 3600))
        for level in (0.05, 0.2):
            rate = np.mean(np.array(shares) > 1 - level)
            assert rate <= level + 3 * math.sqrt(level * (1 - level) / 600)


class TestMachine:
    def test_sco3_a_fixed_delay_is_a_sign_and_a_person_shows_none(self) -> None:
        steady = replace(PROBE, values=np.tile([80.0, 120.0, 40.0], 6))
        assert machine.look(steady, None).facts() == {"bot.sign": "too_regular", "replay.nearest": None}
        assert machine.look(PROBE, None).facts()["bot.sign"] == "none"

    def test_too_little_or_a_summary_says_nothing(self) -> None:
        few = replace(PROBE, values=np.where(np.arange(18) < 10, PROBE.values, np.nan))
        assert machine.look(few, None).signs is None
        assert machine.look(replace(PROBE, layout="summary"), earlier(PROBE, 0.0)) == machine.Liveness()
        assert machine.look(None, earlier(PROBE, 0.0)) == machine.Liveness()

    def test_the_nearest_earlier_entry(self) -> None:
        found = machine.look(PROBE, earlier(PROBE, 30.0, 12.0, -17.0))
        assert found.facts()["replay.nearest"] == pytest.approx(12.0, abs=0.2)
        assert not found.copied
        assert machine.look(PROBE, earlier(PROBE, 30.0, 1.0)).copied

    def test_entries_of_another_length_are_no_copies(self) -> None:
        shorter = Probe("password", "positions", PROBE.values[:15], KINDS[:15], ("",) * 15)
        assert machine.look(PROBE, earlier(shorter, 0.0)).nearest is None
        assert machine.look(PROBE, nothing()).nearest is None


class TestMarksAndSessions:
    def test_a_mark_ends_when_it_expires(self) -> None:
        assert request.mark(None, NOW) == "none"
        assert request.mark(Mark("compromised", None), NOW) == "compromised"
        assert request.mark(Mark("safe", NOW + 1), NOW) == "safe"
        assert request.mark(Mark("safe", NOW), NOW) == "none"

    def test_session_age(self) -> None:
        assert request.age(None, NOW) is None
        assert request.age(NOW - 30, NOW) == 30.0
        assert request.age(NOW + 30, NOW) == 0.0


@pytest.fixture
def databases(tmp_path: Path) -> tuple[GeoDatabase, GeoDatabase]:
    city = MMDBWriter(4, "Test-City", languages=["en"], description="made by a test")
    city.insert_network(
        IPSet(["192.0.2.0/24"]),
        {"country": {"iso_code": "NO"}, "location": {"latitude": 59.91, "longitude": 10.75, "accuracy_radius": 20}},
    )
    city.insert_network(
        IPSet(["198.51.100.0/24"]),
        {"country": {"iso_code": "AU"}, "location": {"latitude": -33.87, "longitude": 151.2}},
    )
    city.insert_network(
        IPSet(["203.0.113.0/24"]),
        {"country": "broken", "location": {"latitude": 99.0, "longitude": 0.0, "accuracy_radius": 1}},
    )
    city.to_db_file(str(tmp_path / "city.mmdb"))
    asn = MMDBWriter(4, "Test-ASN")
    asn.insert_network(
        IPSet(["192.0.2.0/24"]), {"autonomous_system_number": 64500, "autonomous_system_organization": "A"}
    )
    asn.to_db_file(str(tmp_path / "asn.mmdb"))
    return GeoDatabase(tmp_path / "city.mmdb"), GeoDatabase(tmp_path / "asn.mmdb")


class TestPlaces:
    def test_a_database_made_here_answers(self, databases: tuple[GeoDatabase, GeoDatabase]) -> None:
        city, asn = databases
        found = places.locate("192.0.2.7", city, asn)
        assert (found.asn, found.country) == (64500, "NO")
        assert found.spot == Spot(pytest.approx(59.91), pytest.approx(10.75), 20.0)
        assert city.built_at > 1_700_000_000

    @pytest.mark.parametrize("address", ["10.0.0.1", "nonsense", "2001:db8::1", "", "203.0.113.9"])
    def test_what_no_database_knows_is_not_known(
        self, databases: tuple[GeoDatabase, GeoDatabase], address: str
    ) -> None:
        assert places.locate(address, *databases) == places.Located(None, None, None)

    def test_a_spot_without_its_accuracy_makes_no_journey(self, databases: tuple[GeoDatabase, GeoDatabase]) -> None:
        found = places.locate("198.51.100.1", *databases)
        assert (found.country, found.spot) == ("AU", None)

    def test_no_database_and_no_address(self, databases: tuple[GeoDatabase, GeoDatabase]) -> None:
        assert places.locate("192.0.2.7", None, None) == places.Located(None, None, None)
        assert places.locate(None, *databases) == places.Located(None, None, None)

    def test_a_file_that_is_no_database_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x.mmdb").write_bytes(b"hello")
        for name in ("x.mmdb", "none.mmdb"):
            with pytest.raises(ConfigInvalid, match="no MaxMind database"):
                GeoDatabase(tmp_path / name)

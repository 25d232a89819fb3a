"""Real sessions as minute readings: exact sums whatever the quirks of the file (rows invented)."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from service.simulate.replay import ReplayError, choose_sessions, chunks, place, shift_before, spread
from service.simulate.sessions import SessionFileError, read_sessions

JPL_HEADER = (
    "arrival,departure,requested_energy (kWh),delivered_energy (kWh),"
    "station_id,session_id,estimated_departure,claimed\n"
)
# session -> (row, energy in 1e-4 kWh)
JPL = {
    "plain": ("2019-05-01 05:04:06-07:00,2019-05-01 17:56:21-07:00,44.85,44.875,AG-1,plain,,True", 448_750),
    "many decimals": (
        "2019-05-01 06:00:00-07:00,2019-05-01 07:00:00-07:00,1,0.9938347222222222,AG-2,many decimals,,True",
        9_938,
    ),
    "winter offset": (
        "2019-05-01 08:00:00-08:00,2019-05-01 10:30:00-07:00,9,3.5,AG-2,winter offset,,True",
        35_000,
    ),
    "over a day": (
        "2019-05-01 09:00:00-07:00,2019-05-03 08:49:33-07:00,7,12.001,AG-3,over a day,,False",
        120_010,
    ),
    "more than asked": (
        "2019-05-01 10:00:00-07:00,2019-05-01 11:00:30-07:00,1,6.2,AG-4,more than asked,,True",
        62_000,
    ),
    "one second": (
        "2019-05-01 12:00:00-07:00,2019-05-01 12:00:01-07:00,1,0.5083,AG-4,one second,,True",
        5_083,
    ),
    "no length": ("2019-05-01 12:00:30-07:00,2019-05-01 12:00:30-07:00,1,0.7,AG-4,no length,,True", 7_000),
    "touching": ("2019-05-01 12:02:00-07:00,2019-05-01 13:00:10-07:00,1,2.2222,AG-4,touching,,True", 22_222),
    "touched": ("2019-05-01 13:00:10-07:00,2019-05-01 13:30:00-07:00,1,1.1111,AG-4,touched,,True", 11_111),
    "around": ("2019-05-01 14:00:00-07:00,2019-05-01 18:00:00-07:00,1,5.0001,AG-4,around,,True", 50_001),
    "inside": ("2019-05-01 15:00:20-07:00,2019-05-01 15:40:00-07:00,1,4.0003,AG-4,inside,,True", 40_003),
    "same time": ("2019-05-01 15:00:20-07:00,2019-05-01 15:40:00-07:00,1,0.0001,AG-4,same time,,True", 1),
    "nothing": ("2019-05-01 19:00:00-07:00,2019-05-01 20:00:00-07:00,1,0,AG-4,nothing,,True", 0),
    "next day": ("2019-05-02 01:00:00-07:00,2019-05-02 03:00:00-07:00,1,3.21,AG-1,next day,,True", 32_100),
}

EPFL_HEADER = (
    "Session,CCS,Arrival,Departure,Stay (min),Energy (Wh),Pmax (W),Preq_max (W),"
    '"Controlled session (0=False, 1=True)",TotalCapacity,BulkCapacity,SOC arrival,SOC departure,'
    "Energy capacity (Wh)\n"
)
EPFL = {
    "EPFL-3": (
        "3,CCS1,2022-10-31 10:00:00,2022-10-31 10:29:00,30,16461.85,99000,1,1,10000,8000,20,80,1",
        164_619,
    ),
    "EPFL-1": (
        "1,CCS1,2022-10-30 02:50:00,2022-10-30 02:10:00,21,9632.0,168393,1,1,10000,8000,25.9,46,1",
        96_320,
    ),
    "EPFL-2": (
        "2,CCS2,2022-10-30 02:20:00,2022-10-30 03:10:00,111,7910.825,80000,1,0,9,8,99.9,100,1",
        79_108,
    ),
    "EPFL-4": ("4,CCS2,2023-03-26 01:40:00,2023-03-26 03:20:00,41,5000.0,80000,1,0,9,8,0,12,1", 50_000),
}


def written(path, header, rows):
    path.write_text(header + "".join(f"{row}\n" for row, _ in rows.values()), encoding="utf-8")
    return path


@pytest.fixture
def jpl(tmp_path):
    return read_sessions(written(tmp_path / "jpl.csv", JPL_HEADER, JPL))


@pytest.fixture
def epfl(tmp_path):
    return read_sessions(written(tmp_path / "epfl.csv", EPFL_HEADER, EPFL))


def sums_by_mapping(placed):
    """Attribute the encoded readings as the engine would; return AC and DC in 1e-4 kWh by session."""
    ac, dc, seen = Counter(), Counter(), set()
    for stay in placed:
        for chunk in chunks(stay):
            for reading in msgspec.json.decode(b"[" + chunk.data[:-1] + b"]"):
                device = reading.get("meterId") or reading["vehicleId"]
                assert (device, reading["timestamp"]) not in seen
                seen.add((device, reading["timestamp"]))
                second = datetime.fromisoformat(reading["timestamp"]).timestamp()
                if reading["type"] == "vehicle":
                    assert 0 <= reading["soc"] <= 100
                    dc[device] += Decimal(str(reading["kwhDeliveredDc"])) * 10_000
                    continue
                [owner] = [
                    each.session.vehicle
                    for each in placed
                    if each.session.station == device and each.start <= second < each.end
                ]
                ac[owner] += Decimal(str(reading["kwhConsumedAc"])) * 10_000
    return ac, dc


def test_ac_at_the_station_sums_exactly_to_the_file(jpl):
    ac, dc = sums_by_mapping(place(jpl))
    assert {name: ac[name] for name in JPL} == {name: energy for name, (_, energy) in JPL.items()}
    for name, (_, energy) in JPL.items():
        assert dc[name] == energy * 90 // 100


def test_dc_in_the_battery_sums_exactly_to_the_file(epfl):
    ac, dc = sums_by_mapping(place(epfl))
    assert {name: dc[name] for name in EPFL} == {name: energy for name, (_, energy) in EPFL.items()}
    for name, (_, energy) in EPFL.items():
        assert ac[name] == -(-energy * 100 // 93)


def test_stations_never_share_a_second_and_ac_never_falls_below_dc(jpl):
    placed = place(jpl)
    for stay in placed:
        ac, dc = spread(stay)
        assert (ac >= dc).all()
        assert (dc >= 0).all()
        assert stay.end - stay.start >= 60
    for one in placed:
        for other in placed:
            if one is not other and one.session.station == other.session.station:
                assert one.end <= other.start or other.end <= one.start


def test_power_falls_towards_the_end_and_rests_until_departure(jpl):
    [stay] = [each for each in place(jpl) if each.session.vehicle == "over a day"]
    ac, _ = spread(stay)
    charging = np.flatnonzero(ac)
    assert len(ac) == 2870
    assert charging[0] == 0
    assert ac[charging[-1]] < ac[0] / 2
    assert ac[0] * 60 <= 6.7 * 10_000
    assert not ac[charging[-1] + 1 :].any()


def test_the_repeated_hour_is_read_so_that_it_fits_the_stay(epfl):
    stays = {each.vehicle: (each.departure - each.arrival).total_seconds() / 60 for each in epfl}
    assert stays == {"EPFL-1": 20, "EPFL-2": 110, "EPFL-3": 29, "EPFL-4": 40}
    assert [each.vehicle for each in epfl] == ["EPFL-2", "EPFL-1", "EPFL-3", "EPFL-4"]


def test_columns_are_found_by_name(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text(
        "\ufeffSession_ID,Station ID,extra,Departure,delivered energy (kWh),Arrival\n"
        "s/1\u0007,AG-9,,2019-05-01T09:00:00-07:00,1.5,2019-05-01T08:00:00-07:00\n"
        "s/1\u0007,AG-9,,2019-05-01T08:00:00-07:00,2.5,2019-05-01T07:00:00-07:00\n",
        encoding="utf-8",
    )
    assert [(each.vehicle, each.energy_units) for each in read_sessions(path)] == [
        ("s-1-", 25_000),
        ("s-1--2", 15_000),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "neither"),
        ("", "neither"),
        (JPL_HEADER + "2019-05-01 05:04:06-07:00,x,1,1,A,s,,\n", "line 2"),
        (JPL_HEADER + "2019-05-01 05:04:06-07:00,2019-05-01 06:04:06-07:00,1,-1,A,s,,\n", "line 2: energy"),
        (JPL_HEADER + "2019-05-01 05:04:06-07:00,2019-05-01 06:04:06-07:00,1,nan,A,s,,\n", "line 2: energy"),
        (JPL_HEADER + "2019-05-01 05:04:06-07:00,2019-05-01 06:04:06-07:00,1\n", "line 2"),
    ],
)
def test_an_unusable_file_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(SessionFileError, match=message):
        read_sessions(path)


def test_days_are_chosen_by_the_local_clock(jpl):
    assert len(choose_sessions(jpl, None, 1)) == len(JPL) - 1
    assert [each.vehicle for each in choose_sessions(jpl, date(2019, 5, 2), 1)] == ["next day"]
    assert len(choose_sessions(jpl, date(2019, 5, 1), 2)) == len(JPL)
    with pytest.raises(ReplayError, match="2019-05-01 to 2019-05-02"):
        choose_sessions(jpl, date(2020, 1, 1), 1)


@pytest.mark.parametrize("hour", range(0, 72, 5))
def test_sessions_move_by_whole_days_and_end_before_now(jpl, hour):
    # Across the night in which the clocks of Los Angeles go back.
    end = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hour)
    days, shifted = shift_before(jpl, end)
    assert end - timedelta(days=1, hours=1) < max(each.departure for each in shifted) <= end
    for before, after in zip(jpl, shifted, strict=True):
        zone = before.source.zone
        one, other = before.arrival.astimezone(zone), after.arrival.astimezone(zone)
        assert one.replace(tzinfo=None) + timedelta(days=days) == other.replace(tzinfo=None)
        assert before.departure - before.arrival == after.departure - after.arrival
    ac, _ = sums_by_mapping(place(shifted))
    assert sum(ac.values()) == sum(energy for _, energy in JPL.values())


def test_more_days_than_the_history_holds_are_refused(epfl):
    with pytest.raises(ReplayError, match="fewer --days"):
        shift_before(epfl, datetime(2026, 2, 12, tzinfo=UTC))


def test_an_autumn_night_of_overlaps_still_adds_up(tmp_path):
    rows = {
        f"EPFL-{number}": (
            f"{number},CCS1,2022-10-28 {hour:02d}:{minute:02d}:00,2022-10-28 {hour + 1:02d}:{minute:02d}:00,"
            f"61,{1000 + number}.0,50000,1,1,1,1,10,20,1",
            (1000 + number) * 10,
        )
        for number, (hour, minute) in enumerate((0, 10) if i == 0 else (i // 3, i * 7 % 60) for i in range(30))
    }
    sessions = read_sessions(written(tmp_path / "night.csv", EPFL_HEADER, rows))
    _, shifted = shift_before(sessions, datetime(2022, 10, 30, 12, tzinfo=UTC))
    _, dc = sums_by_mapping(place(shifted))
    assert {name: dc[name] for name in rows} == {name: energy for name, (_, energy) in rows.items()}

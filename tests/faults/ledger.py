"""What the devices sent and what the service acknowledged, reading by reading."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

LATE_HOURS = (3, 26, 50)


class Key(NamedTuple):
    """What a reading is known by."""

    device: str
    ts: datetime


class Value(NamedTuple):
    """What a reading says; energy in kWh, soc in percent (None for meters), measure in V or °C."""

    energy: Decimal
    soc: Decimal | None
    measure: Decimal


@dataclass
class Ledger:
    """Readings sent and acknowledged; ids are `prefix` and -M-n for meters, -V-n for vehicles."""

    prefix: str
    sent: dict[Key, Value] = field(default_factory=dict)
    acknowledged: dict[Key, Value] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _random: random.Random = field(default_factory=lambda: random.Random(7))

    @property
    def devices(self) -> set[str]:
        return {key.device for key in self.sent}

    def new(self, device: str) -> Key:
        """Make a reading of now, one in ten of them late by hours; no two of a device share their time."""
        number = next(self._numbers)
        moment = datetime.now(UTC)
        if number % 10 == 0:
            hour = moment.replace(minute=0, second=0, microsecond=0)
            moment = hour - timedelta(hours=self._random.choice(LATE_HOURS), microseconds=-number)
        key = Key(device, moment)
        while key in self.sent:
            key = Key(device, key.ts + timedelta(microseconds=1))
        self.sent[key] = Value(
            energy=Decimal(self._random.randrange(10_000)).scaleb(-4),
            soc=Decimal(self._random.randrange(10_000)).scaleb(-2) if is_vehicle(device) else None,
            measure=Decimal(self._random.randrange(2000, 2500) if not is_vehicle(device) else 315).scaleb(-1),
        )
        return key

    def acknowledge(self, key: Key) -> None:
        """Note that the service has answered 201 for a reading; what was acknowledged first stands."""
        self.acknowledged.setdefault(key, self.sent[key])

    def json(self, key: Key, *, other: bool = False) -> dict[str, Any]:
        """Return the reading as it is sent; `other`: the same reading with another value, which must not stand."""
        value = self.sent[key]
        energy = float(value.energy) + (1 if other else 0)
        shared = {"timestamp": key.ts.isoformat()}
        if is_vehicle(key.device):
            return shared | {
                "type": "vehicle",
                "vehicleId": key.device,
                "kwhDeliveredDc": energy,
                "soc": float(value.soc or 0),
                "batteryTemp": float(value.measure),
            }
        return shared | {
            "type": "meter",
            "meterId": key.device,
            "kwhConsumedAc": energy,
            "voltage": float(value.measure),
        }


def is_vehicle(device: str) -> bool:
    return device.rpartition("-")[0].endswith("V")

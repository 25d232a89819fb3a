"""Evidence: what says why a ratio is what it is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

EfficiencyStatus = Literal["excellent", "good", "warning", "critical", "unknown"]

ReasonName = Literal[
    "vehicleSilent",
    "meterSilent",
    "ratioAboveOne",
    "standbyDraw",
    "chargedElsewhere",
    "tooManyReadings",
    "cutSession",
    "energyStuck",
    "implausibleReading",
    "sharedMeter",
]
Verdict = Literal["sound", "partial", "implausible", "idle", "unmetered"]


class Reason(Struct, frozen=True):
    """Why a ratio may be off."""

    reason: Annotated[ReasonName, Meta(description="What is wrong")]
    kwh: Annotated[float | None, Meta(description="Energy concerned, in kWh; null where none is")]
    from_: Annotated[datetime, Meta(description="Start of the first hour concerned")] = field(name="from")
    to: Annotated[datetime, Meta(description="End of the last hour concerned")]


PairedRatio = Annotated[
    float | None, Meta(description="DC over AC energy of the hours that vehicle and meter both cover; null without any")
]
PairedShare = Annotated[
    float | None, Meta(description="Part of the AC energy that lies in those hours; null without AC")
]
TheVerdict = Annotated[
    Verdict,
    Meta(
        description="sound; partial (some reason, the ratio may be off); implausible (ratio above 1, or an implausible "
        "reading); idle (no energy moved); unmetered (no AC energy known)"
    ),
]
Reasons = Annotated[list[Reason], Meta(description="Why the ratio may be off; empty when it is sound")]

"""How times, sizes, numbers and states are said to people."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from vault.device_model import Health
from vault.formats.names import shown
from vault.i18n import N_, _, current_language
from vault.model import (
    Condition,
    CopyState,
    IngestState,
    Outcome,
    PackageKind,
    RecallState,
    TaskKind,
    TaskState,
    VerificationState,
    VolumeMode,
)
from vault.tape_model import CartridgeState, Whereabouts
from vault.units import Language, format_bytes, format_duration

DEFAULT_ZONE: Final = "Asia/Ho_Chi_Minh"
NONE: Final = "–"
"""Stands where something is not known or has not happened."""

_Words = Mapping[type[enum.Enum], Mapping[enum.Enum, str]]
# By type first: members of two StrEnums with the same text are equal as keys.

_WORDS: Final[_Words] = {
    CopyState: {
        CopyState.PLANNED: N_("planned"),
        CopyState.WRITING: N_("being written"),
        CopyState.WRITTEN: N_("written, not yet read back"),
        CopyState.GOOD: N_("good"),
        CopyState.SUSPECT: N_("suspect"),
        CopyState.DAMAGED: N_("damaged"),
        CopyState.MISSING: N_("missing"),
        CopyState.RETIRED: N_("retired"),
    },
    VolumeMode: {
        VolumeMode.ACTIVE: N_("active"),
        VolumeMode.READ_ONLY: N_("read-only"),
        VolumeMode.EVACUATING: N_("being evacuated"),
        VolumeMode.RETIRED: N_("retired"),
    },
    Condition: {
        Condition.ONLINE: N_("on-line"),
        Condition.READ_ONLY: N_("read-only"),
        Condition.OFFLINE: N_("off-line"),
        Condition.FOREIGN: N_("another volume stands there"),
        Condition.UNKNOWN: N_("not known"),
    },
    Health: {
        Health.HEALTHY: N_("healthy"),
        Health.UNKNOWN: N_("not known"),
        Health.WATCH: N_("to be watched"),
        Health.FAILING: N_("failing"),
        Health.FAILED: N_("broken"),
    },
    TaskKind: {
        TaskKind.VERIFY: N_("verify"),
        TaskKind.REPLICATE: N_("copy"),
        TaskKind.REPAIR: N_("repair"),
        TaskKind.TAPE_WRITE: N_("write to tape"),
        TaskKind.TAPE_CHECK: N_("check a tape"),
        TaskKind.RECALL: N_("recall from tape"),
        TaskKind.DRIVE_CLEAN: N_("clean a drive"),
    },
    TaskState: {
        TaskState.READY: N_("waiting"),
        TaskState.RUNNING: N_("running"),
        TaskState.DONE: N_("done"),
        TaskState.FAILED: N_("failed"),
        TaskState.CANCELLED: N_("cancelled"),
    },
    IngestState: {
        IngestState.RECEIVING: N_("being received"),
        IngestState.PREPARED: N_("being put in place"),
        IngestState.STORED: N_("stored, the receipt comes later"),
        IngestState.RECEIPTED: N_("stored, with a receipt"),
        IngestState.REFUSED: N_("refused"),
        IngestState.FAILED: N_("failed"),
    },
    Outcome: {
        Outcome.SUCCESS: N_("success"),
        Outcome.WARNING: N_("warning"),
        Outcome.FAILURE: N_("failure"),
    },
    PackageKind: {
        PackageKind.BAG: N_("bag"),
        PackageKind.FILE: N_("single file"),
    },
    CartridgeState: {
        CartridgeState.SCRATCH: N_("scratch"),
        CartridgeState.APPENDABLE: N_("appendable"),
        CartridgeState.FULL: N_("full"),
        CartridgeState.READ_ONLY: N_("read-only"),
        CartridgeState.SUSPECT: N_("suspect"),
        CartridgeState.FOREIGN: N_("foreign"),
        CartridgeState.CLEANING: N_("cleaning"),
        CartridgeState.RETIRED: N_("retired"),
    },
    Whereabouts: {
        Whereabouts.LIBRARY: N_("in the library"),
        Whereabouts.OFFLINE: N_("not where it should be"),
        Whereabouts.VAULTED: N_("on the shelf"),
    },
    RecallState: {
        RecallState.WAITING: N_("waiting"),
        RecallState.READING: N_("being read"),
        RecallState.READY: N_("ready"),
        RecallState.FAILED: N_("failed"),
        RecallState.EXPIRED: N_("no longer kept"),
    },
    VerificationState: {
        VerificationState.RUNNING: N_("running"),
        VerificationState.DONE: N_("done"),
    },
}

_COLOURS: Final[_Words] = {
    CopyState: {
        CopyState.GOOD: "green",
        CopyState.SUSPECT: "yellow",
        CopyState.DAMAGED: "bold red",
        CopyState.MISSING: "bold red",
    },
    Condition: {
        Condition.ONLINE: "green",
        Condition.READ_ONLY: "yellow",
        Condition.OFFLINE: "bold red",
        Condition.FOREIGN: "bold red",
    },
    Health: {
        Health.HEALTHY: "green",
        Health.WATCH: "yellow",
        Health.FAILING: "bold red",
        Health.FAILED: "bold red",
    },
    Outcome: {Outcome.SUCCESS: "green", Outcome.WARNING: "yellow", Outcome.FAILURE: "bold red"},
    TaskState: {TaskState.FAILED: "bold red"},
}


def word(value: enum.Enum) -> str:
    """What a state is called in the language in use; a state that this program does not know, by its own name."""
    known = _WORDS.get(type(value), {}).get(value)
    return _(known) if known is not None else str(value.value)


def colour(value: enum.Enum) -> str:
    """The Rich style of a state; "" for the ordinary."""
    return _COLOURS.get(type(value), {}).get(value, "")


def plain(text: str, limit: int = 4000) -> str:
    """Text from outside made safe for a terminal."""
    return "\n".join(shown(line, limit) for line in text.splitlines())


@dataclass(frozen=True, slots=True)
class Speech:
    """Times in the node's zone; numbers as the language in use writes them. Dates are dd/mm/yyyy in both languages."""

    zone: ZoneInfo

    @property
    def language(self) -> Language:
        """The language in use."""
        return current_language()

    def moment(self, moment: datetime | None, *, seconds: bool = False) -> str:
        """``22/11/2026 17:40``."""
        if moment is None:
            return NONE
        return moment.astimezone(self.zone).strftime("%d/%m/%Y %H:%M:%S" if seconds else "%d/%m/%Y %H:%M")

    def since(self, moment: datetime | None, now: datetime) -> str:
        """How long ago: ``3 days 4 hours``."""
        return NONE if moment is None else format_duration(max(now, moment) - moment, self.language)

    def size(self, size: int | None) -> str:
        """``1.23 GB``, ``1,23 GB``."""
        return NONE if size is None else format_bytes(size, self.language)

    def number(self, number: int) -> str:
        """``12,345``, in Vietnamese ``12.345``."""
        text = f"{number:,}"
        return text.replace(",", ".") if self.language == "vi" else text

    def percent(self, part: int, whole: int) -> str:
        """``12%``; unknown when there is no whole."""
        return NONE if whole <= 0 else f"{min(100, 100 * part // whole)}%"

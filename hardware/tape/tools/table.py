"""What the LTFS tools say and how they end, as typed outcomes: the one table.

Source: the message catalogues of the reference implementation (LinearTapeFileSystem/ltfs 2.4.8, ``messages/``), and how
its tools were seen to end. Neither message nor exit code is believed alone: an act is done when the tool has ended as
it does after success *and* has said the line that proves it. Some lines with an ``E`` are harmless, so only those of
this table count.
"""

from __future__ import annotations

import enum
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hardware.errors import Busy, Corrupted, HardwareError, NoVolume, Refused, Unreachable, Unsupported
from hardware.tape.errors import (
    DeviceFault,
    DriveVanished,
    Incompatible,
    NeedsRecovery,
    NoCartridge,
    NotReady,
    TapeFull,
    ToolCrashed,
    WriteProtected,
)
from hardware.tape.sense import RESERVED

_MESSAGE: Final = re.compile(r"\bLTFS([0-9]{4,5}[IWE])\b")
_SHOWN: Final = 400


class Act(enum.Enum):
    """What a tool is run for."""

    FORMAT = "format"
    UNMOUNT = "unmount"
    LIST = "list"
    RECOVER = "recover"


SUCCESS: Final[dict[Act, tuple[tuple[int, ...], str]]] = {
    Act.FORMAT: ((0,), "15024I"),
    Act.UNMOUNT: ((0,), "11034I"),
    Act.LIST: ((0,), "16023I"),
    # 1 is what it ends with where it has corrected something, and where there was nothing to correct.
    Act.RECOVER: ((0, 1), "16022I"),
}
"""The exit codes that success may have, and the message that proves it."""

MOUNTED: Final = "11031I"
SERVING: Final = "14029I"
"""The mounted volume answers requests."""
READ_ONLY: Final[dict[str, tuple[type[HardwareError], str, str]]] = {
    "14019I": (WriteProtected, "The cartridge is write-protected.", "Move its tab if it may be written to."),
    "14078I": (Incompatible, "The drive only reads this cartridge.", "Use a drive that writes its generation."),
    "14071I": (TapeFull, "The cartridge has no room for data.", "Go on with another cartridge."),
    "14073I": (TapeFull, "The cartridge has no room for its index.", "Go on with another cartridge."),
    "14074I": (TapeFull, "The cartridge has no room for its index.", "Go on with another cartridge."),
}
"""Messages with which a volume is mounted, but not for writing."""

_RECOVER: Final = "Have the volume recovered (generations, index captured, then repaired); read back what counts."
_KEEP: Final = "Write nothing more to it, and copy what can be read to another cartridge."
_CABLES: Final = "Check power, cables and the kernel's log, then take inventory."
_INSTALL: Final = "Look at the work directory and at how the tools were installed."

TABLE: Final[dict[str, tuple[type[HardwareError], str, str]]] = {
    # The most telling first: where several were said, the first of this table is the outcome.
    "15047E": (Refused, "The cartridge is formatted already.", "To destroy what is on it, ask for that."),
    "15029E": (Refused, "The volume serial must have six characters.", "Check the barcode."),
    "15030E": (Refused, "The volume serial must be of A to Z and 0 to 9.", "Check the barcode."),
    "15031E": (Refused, "The volume's name is against the rules for names.", "Give another name."),
    "15061E": (Refused, "The cartridge can be written once only, and was.", "Use another cartridge."),
    "11095E": (WriteProtected, "The cartridge is write-protected.", "Move its tab if it may be written to."),
    "11298E": (Incompatible, "LTFS does not support this cartridge.", "LTFS needs LTO-5 or newer."),
    "11299E": (Incompatible, "LTFS does not support this cartridge.", "LTFS needs LTO-5 or newer."),
    "14116E": (Incompatible, "LTFS does not support this cartridge.", "LTFS needs LTO-5 or newer."),
    "30228I": (Incompatible, "The drive does not support this cartridge.", "Use a drive of its generation."),
    "30213I": (Unsupported, "LTFS does not know this drive.", "Install a newer version of LTFS."),
    "39812W": (Unsupported, "The drive's firmware is too old for LTFS.", "Update it with the tool of its maker."),
    "12016E": (NoCartridge, "There is no cartridge in the drive.", "Load one."),
    "30286I": (NoCartridge, "There is no cartridge in the drive.", "Load one."),
    "12010E": (Busy, "Another program holds the drive.", "Find out with fuser which it is."),
    "12014E": (Busy, "Another host has reserved the drive.", RESERVED),
    "30266W": (Busy, "Another host has reserved the drive.", RESERVED),
    "30247I": (DriveVanished, "The connection to the drive was lost.", _CABLES),
    "30248I": (DriveVanished, "Another drive answers where this one was.", _CABLES),
    "30210I": (DriveVanished, "The drive cannot be opened.", _CABLES),
    "30206I": (DriveVanished, "The drive does not say what it is.", _CABLES),
    "12012E": (DriveVanished, "The drive cannot be opened.", _CABLES),
    "15009E": (DriveVanished, "The drive cannot be opened.", _CABLES),
    "16011E": (DriveVanished, "The drive cannot be opened.", _CABLES),
    "10004E": (DriveVanished, "The drive cannot be opened.", _CABLES),
    "12064E": (TapeFull, "The cartridge is full.", "Go on with another cartridge."),
    "12045E": (Corrupted, "The drive could not write to the cartridge; it is read-only from now on.", _KEEP),
    "12047E": (Corrupted, "The drive could not write to the cartridge; it is read-only from now on.", _KEEP),
    "11083E": (NeedsRecovery, "The index could not be written.", _RECOVER),
    "11084E": (NeedsRecovery, "The index could not be written.", _RECOVER),
    "11033E": (NeedsRecovery, "The volume was unmounted without its index.", _RECOVER),
    "14022E": (Corrupted, "File data could not be written to the cartridge.", _KEEP),
    "11326E": (Corrupted, "File data could not be written to the cartridge.", _KEEP),
    "16097E": (Corrupted, "Both partitions have lost their end of data.", _KEEP),
    "16096W": (Corrupted, "Both partitions have lost their end of data.", _KEEP),
    "16093E": (Corrupted, "The volume cannot be recovered by the tools.", _KEEP),
    "16021E": (Corrupted, "The volume is inconsistent and was not corrected.", _KEEP),
    "17168E": (NoVolume, "The cartridge is not formatted for LTFS.", "It is blank, or holds something else."),
    "11176E": (NoVolume, "The cartridge bears no LTFS label.", "It is blank, or holds something else."),
    "17021E": (Unsupported, "The volume is of an LTFS version that the tools do not know.", "Install newer tools."),
    "11220E": (NeedsRecovery, "A session died on this volume: blocks that no file knows stand at its end.", _RECOVER),
    "11231E": (NeedsRecovery, "A session died on this volume: its partitions disagree.", _RECOVER),
    "11232E": (NeedsRecovery, "A session died on this volume: its partitions disagree.", _RECOVER),
    "16087E": (NeedsRecovery, "The volume is inconsistent.", _RECOVER),
    "11253E": (Corrupted, "No index was found on the cartridge.", _KEEP),
    "11205E": (Corrupted, "The indexes of the two partitions contradict each other.", _KEEP),
    "11206E": (Corrupted, "The indexes of the two partitions contradict each other.", _KEEP),
    "11207E": (Corrupted, "The indexes of the two partitions contradict each other.", _KEEP),
    "11219E": (Corrupted, "The indexes of the two partitions contradict each other.", _KEEP),
    "11027E": (NeedsRecovery, "The volume is not consistent.", _RECOVER),
    "11172E": (Corrupted, "The labels of the two partitions contradict each other.", _KEEP),
    "11170E": (Corrupted, "The label of a partition cannot be read.", _KEEP),
    "11171E": (Corrupted, "The label of a partition cannot be read.", _KEEP),
    "11009E": (Corrupted, "The labels of the partitions cannot be read.", _KEEP),
    "12029E": (NotReady, "The drive is not ready.", "Look at its panel; load the cartridge again."),
    "11331E": (NotReady, "The drive cannot load the cartridge.", "Look at its panel; load the cartridge again."),
    "12017E": (NotReady, "The drive cannot load the cartridge.", "Look at its panel; load the cartridge again."),
    "12049E": (Corrupted, "The cartridge cannot be read.", "Try it in another drive before giving it up."),
    "12053E": (DeviceFault, "The drive could not format the cartridge.", "Try another cartridge, then another drive."),
    "11098E": (DeviceFault, "The drive could not divide the cartridge.", "Try another cartridge, then another drive."),
    "30200I": (DeviceFault, "The drive does not take commands.", _CABLES),
    "14004E": (Unreachable, "The tools cannot use their work directory.", _INSTALL),
    "9014E": (Unreachable, "The tools cannot use their work directory.", _INSTALL),
    "11268E": (Unreachable, "The tools do not find their configuration.", _INSTALL),
    "11261E": (Unreachable, "The tools cannot load a plug-in.", _INSTALL),
    "14123E": (Unreachable, "The volume cannot be mounted by FUSE.", "Check /dev/fuse and the mount point."),
}

NOTABLE: Final = {
    "30220I": "The drive asks for cleaning.",
    "30222W": "The drive says that the end of the cartridge is near.",
    "30270I": "The drive was reset.",
    "17063W": "File data could not be written to the cartridge.",
}
"""Messages that change no outcome, and that somebody should know of."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a tool ended: its exit code (negative: the signal that ended it), and everything that it said."""

    tool: str
    code: int
    lines: tuple[str, ...]

    @property
    def messages(self) -> frozenset[str]:
        """The ids of its messages, such as ``15024I``."""
        return message_ids(self.lines)

    @property
    def shown(self) -> str:
        """The end of what it said."""
        text = " ".join(" ".join(self.lines[-8:]).split())
        return text if len(text) <= _SHOWN else "…" + text[-_SHOWN:]


def message_ids(lines: Iterable[str]) -> frozenset[str]:
    """The ids of the messages in lines."""
    return frozenset(found for line in lines for found in _MESSAGE.findall(line))


def done(act: Act, ended: Ended) -> bool:
    """Whether the act was done: it ended as it does after success, and said the line that proves it."""
    codes, proof = SUCCESS[act]
    return ended.code in codes and proof in ended.messages


def error_of(ended: Ended, what: str) -> HardwareError:
    """The error for a tool that has not done what it was run for; ``what`` begins its message."""
    killed = _signal(ended.code)
    if killed:
        return ToolCrashed(
            f"{what}: {ended.tool} died of {killed}.",
            remedy="What it has done is not known: have the volume recovered and read back. Report it to its makers.",
        )
    said = ended.messages
    for message, (kind, sentence, remedy) in TABLE.items():
        if message in said:
            return kind(f"{what}: {sentence[0].lower()}{sentence[1:]} (LTFS{message})", remedy=remedy)
    return ToolCrashed(
        f"{what}: {ended.tool} ended with {ended.code} and said “{ended.shown}”.",
        remedy="Nobody knows what was done: have the volume recovered and read back.",
    )


def read_only_error(lines: Iterable[str], what: str) -> HardwareError | None:
    """Why a volume was mounted, but not for writing; None where it was mounted for writing."""
    said = message_ids(lines)
    for message, (kind, sentence, remedy) in READ_ONLY.items():
        if message in said:
            return kind(f"{what}: {sentence[0].lower()}{sentence[1:]} (LTFS{message})", remedy=remedy)
    return None


def _signal(code: int) -> str:
    """The name of the signal that ended a tool, also where a shell reports it as 128 + n."""
    number = -code if code < 0 else code - 128
    try:
        return signal.Signals(number).name if code < 0 or code > 128 else ""
    except ValueError:
        return ""

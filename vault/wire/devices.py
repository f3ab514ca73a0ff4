"""The JSON about disks and what volumes stand on."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from vault.device_model import Health
from vault.wire.base import JsonObject, Model, Moment
from vault.wire.node import Volume


class StackLayer(Model):
    """One thing that a volume stands on: ``depth`` 0 is the file system, the disks are at the bottom."""

    kind: str = Field(examples=["filesystem", "lvm", "md", "partition", "disk"])
    name: str = Field(description="As the kernel calls it just now.")
    detail: str
    depth: int


class VolumeDetail(Volume):
    """A volume with what it stands on. Both lists are empty where that is not known, as on a file server."""

    stack: list[StackLayer]
    disks: list[str] = Field(description="Keys of the disks at the bottom, as in the list of disks.")


class DiskReason(Model):
    """Why a disk is judged as it is: ``verdict`` is what this alone would give; ``healthy`` marks a remark."""

    code: str = Field(description="Stable, kebab-case.", examples=["counter-grew"])
    verdict: Health
    text: str = Field(description="A sentence for people.")
    values: JsonObject = Field(description="What the sentence was made of.")


class Disk(Model):
    """A disk of this machine, by its serial number or World Wide Name."""

    key: str
    serial: str
    wwn: str
    model: str
    device: str = Field(description="Where it was when last seen; another disk may be there after a restart.")
    protocol: str = Field(examples=["ata", "nvme", "scsi", "unknown"])
    health: Health
    reasons: list[DiskReason] = Field(description="The worst first.")
    readings: Mapping[str, int] = Field(description="Counters and measures when last read; unknown ones are absent.")
    present: bool
    read_at: Moment | None = Field(description="When it last told of itself.")
    seen_at: Moment
    first_seen_at: Moment
    volumes: list[str] = Field(description="Volumes that stand on it.")


class DiskList(Model):
    """Every disk that is remembered, the worst first. ``heard_at``: when the report was taken that this rests on; null
    where none was ever found. ``problem`` says what keeps the node from knowing better."""

    items: list[Disk]
    heard_at: Moment | None
    problem: str
    remedy: str

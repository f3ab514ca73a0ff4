"""The tables of what volumes stand on. Part of :mod:`vault.catalog.schema`; who imports the catalogue has them too."""

from __future__ import annotations

import sqlalchemy as sa

from vault.catalog.schema import metadata
from vault.catalog.types import EnumText, Flag, JsonText, KeyText, ProseText, TimeText
from vault.device_model import Health
from vault.tape_model import CleaningNeed

disks = sa.Table(
    "disks",
    metadata,
    sa.Column("key", KeyText, primary_key=True, comment="Serial number or World Wide Name."),
    sa.Column("serial", ProseText, nullable=False, comment="Serial number; may be empty."),
    sa.Column("wwn", ProseText, nullable=False, comment="World Wide Name, hexadecimal; may be empty."),
    sa.Column("model", ProseText, nullable=False, comment="Model."),
    sa.Column("device", ProseText, nullable=False, comment="Where it was when last seen."),
    sa.Column("protocol", KeyText, nullable=False, comment="ata, nvme, scsi, unknown."),
    sa.Column("health", EnumText(Health), nullable=False, comment="The verdict."),
    sa.Column("reasons", JsonText, nullable=False, comment="Why: a list of codes with their values."),
    sa.Column("readings", JsonText, nullable=False, comment="Counters and measures when last read, by name."),
    sa.Column("present", Flag, nullable=False, comment="1 while it is there."),
    sa.Column("read_at", TimeText, comment="When it last told of itself."),
    sa.Column("seen_at", TimeText, nullable=False, comment="When it was last there."),
    sa.Column("first_seen_at", TimeText, nullable=False, comment="When it was first there."),
    comment="Disks of this machine, whatever their devices are called just now.",
)

disk_history = sa.Table(
    "disk_history",
    metadata,
    sa.Column("key", KeyText, primary_key=True, comment="The disk."),
    sa.Column("day", KeyText, primary_key=True, comment="Day in UTC, as 2026-11-22."),
    sa.Column("health", EnumText(Health), nullable=False, comment="The verdict, when last read on that day."),
    sa.Column("readings", JsonText, nullable=False, comment="Counters and measures, by name."),
    comment="What disks told, day by day; as long as the configuration says.",
)
sa.Index("ix_disk_history_day", disk_history.c.day)

tape_drives = sa.Table(
    "tape_drives",
    metadata,
    sa.Column("serial", KeyText, primary_key=True, comment="Serial number."),
    sa.Column("library", KeyText, nullable=False, comment="Library that it is in."),
    sa.Column("number", sa.Integer, nullable=False, comment="Its number there."),
    sa.Column("vendor", ProseText, nullable=False, comment="Vendor, in its own words."),
    sa.Column("product", ProseText, nullable=False, comment="Product, in its own words."),
    sa.Column("revision", ProseText, nullable=False, comment="Firmware."),
    sa.Column("problem", ProseText, nullable=False, comment="Why it cannot be used; empty where it can."),
    sa.Column("alerts", JsonText, nullable=False, comment="TapeAlert flags by name, with when each was raised last."),
    sa.Column("cleaning", EnumText(CleaningNeed), nullable=False, comment="soon, now; empty: it asks for none."),
    sa.Column("asked_at", TimeText, comment="Since when it asks to be cleaned."),
    sa.Column("cleaned_at", TimeText, comment="When it was last cleaned."),
    sa.Column("cleanings", sa.BigInteger, nullable=False, comment="How often this node cleaned it."),
    sa.Column("loads", sa.BigInteger, nullable=False, comment="Cartridges that this node loaded."),
    sa.Column("errors", sa.BigInteger, nullable=False, comment="Errors that were met with it."),
    sa.Column("bytes_read", sa.BigInteger, nullable=False, comment="Bytes read with it."),
    sa.Column("read_ms", sa.BigInteger, nullable=False, comment="Milliseconds that this took."),
    sa.Column("bytes_written", sa.BigInteger, nullable=False, comment="Bytes written with it."),
    sa.Column("write_ms", sa.BigInteger, nullable=False, comment="Milliseconds that this took."),
    sa.Column("life", JsonText, nullable=False, comment="What it counts of itself, by name."),
    sa.Column("seen_at", TimeText, nullable=False, comment="When it last answered."),
    sa.Column(
        "failing",
        JsonText,
        nullable=False,
        server_default="{}",
        comment="Cartridges whose sessions failed in it, one after another, and why.",
    ),
    sa.Column("held", ProseText, nullable=False, server_default="", comment="Why it is held; empty: it is not."),
    sa.Column("held_at", TimeText, comment="Since when it is held."),
    sa.Column(
        "heard_at", TimeText, comment="When its TapeAlert flags were first read; null: it may have none to tell."
    ),
    comment="Tape drives, by serial number.",
)

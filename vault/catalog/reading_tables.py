"""The table of what was read back on which day. Part of :mod:`vault.catalog.schema`; who imports the catalogue has it
too."""

from __future__ import annotations

import sqlalchemy as sa

from vault.catalog.schema import metadata
from vault.catalog.types import Flag, KeyText, TimeText

readings = sa.Table(
    "readings",
    metadata,
    sa.Column("day", KeyText, primary_key=True, comment="Day of the site's calendar on which its hours began."),
    sa.Column("volume", KeyText, primary_key=True, comment="Name of the volume."),
    sa.Column("routine", Flag, primary_key=True, comment="1 for what the schedule asked for, and nobody else."),
    sa.Column("intact", sa.BigInteger, nullable=False, comment="Copies found as they must be."),
    sa.Column("damaged", sa.BigInteger, nullable=False, comment="Copies found damaged."),
    sa.Column("missing", sa.BigInteger, nullable=False, comment="Copies of which nothing was there."),
    sa.Column("doubtful", sa.BigInteger, nullable=False, comment="Copies that could not be read, or not twice alike."),
    sa.Column("files", sa.BigInteger, nullable=False, comment="Files of these copies."),
    sa.Column("bytes", sa.BigInteger, nullable=False, comment="Bytes read, also of checks that went on another day."),
    sa.Column(
        "milliseconds", sa.BigInteger, nullable=False, comment="Spent reading, all lanes together; 0: not known."
    ),
    sa.Column("began_at", TimeText, comment="When the first check was recorded."),
    sa.Column("ended_at", TimeText, comment="When the last one was."),
    sa.Column("first_event", sa.BigInteger, comment="Number of the event of the first check."),
    sa.Column("last_event", sa.BigInteger, comment="Number of that of the last."),
    sa.Column("held", sa.BigInteger, comment="Copies there that are to be checked, at the last look of the day."),
    sa.Column("proved", sa.BigInteger, comment="Of these, those proved within the interval."),
    sa.Column("overdue", sa.BigInteger, comment="Of these, those whose check was due."),
    sa.Column("interval_seconds", sa.BigInteger, comment="The shortest interval that a policy has for the medium."),
    sa.Column("oldest_proof", TimeText, comment="The proof that was longest ago."),
    sa.Column("looked_at", TimeText, comment="When that was so."),
    comment="What was read back from the media, by day and volume.",
)

"""The tables of orders to check copies. Part of :mod:`vault.catalog.schema`; who imports the catalogue has them too."""

from __future__ import annotations

import sqlalchemy as sa

from vault.catalog.schema import metadata
from vault.catalog.types import EnumText, KeyText, TimeText
from vault.model import VerificationState

verifications = sa.Table(
    "verifications",
    metadata,
    sa.Column("id", KeyText, primary_key=True, comment="Identifier of the order, as in the API."),
    sa.Column("volume", KeyText, nullable=False, comment="Volume in its scope; empty for all."),
    sa.Column("identifier", KeyText, nullable=False, comment="Package in its scope; empty for all."),
    sa.Column("agent", KeyText, nullable=False, comment="Who ordered it."),
    sa.Column("state", EnumText(VerificationState), nullable=False, comment="running or done."),
    sa.Column("requested_at", TimeText, nullable=False, comment="Copies last checked before this are to be checked."),
    sa.Column("finished_at", TimeText, comment="When the last one was."),
    sa.Column("total", sa.BigInteger, nullable=False, comment="Copies in its scope when it was ordered."),
    sa.Column("checked", sa.BigInteger, nullable=False, comment="Copies checked."),
    sa.Column("good", sa.BigInteger, nullable=False, comment="Copies found good."),
    sa.Column("bad", sa.BigInteger, nullable=False, comment="Copies found damaged or missing."),
    sa.Column("skipped", sa.BigInteger, nullable=False, comment="Copies that could not be reached."),
    sa.Column("fonds", KeyText, nullable=False, server_default="", comment="Fonds in its scope; empty for all."),
    sa.Column(
        "sample",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="Packages chosen at random that are its scope; 0: all.",
    ),
    comment="Orders to check copies now.",
)
IS_VERIFYING = verifications.c.state == sa.literal_column(f"'{VerificationState.RUNNING}'")
sa.Index(
    "ix_verifications_running", verifications.c.requested_at, sqlite_where=IS_VERIFYING, postgresql_where=IS_VERIFYING
)

verification_sample = sa.Table(
    "verification_sample",
    metadata,
    sa.Column("verification_id", KeyText, primary_key=True, comment="The order."),
    sa.Column(
        "package_id",
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="A package that was chosen.",
    ),
    comment="Packages that were chosen at random for an order to check copies.",
)

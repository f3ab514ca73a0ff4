"""What is known of packages: agency's name, file code, dates; and indexes for what listings are filtered by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Nothing was said of the packages that are there already."""
    for name, comment in (
        ("agency_name", "Name of the agency."),
        ("file_code", "File code (mã hồ sơ)."),
        ("date_from", "Date of its first document."),
        ("date_to", "Date of its last document."),
    ):
        op.add_column("packages", sa.Column(name, sa.Text(), nullable=False, server_default="", comment=comment))
    for name in ("file_code", "retention", "access"):
        said = sa.text(f"{name} != ''")
        op.create_index(
            f"ix_packages_{name}", "packages", [name, "identifier"], sqlite_where=said, postgresql_where=said
        )
    op.create_index("ix_packages_class", "packages", ["priority_class", "identifier"])

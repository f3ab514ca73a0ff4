"""When each package was last proved, and the orders that listings have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """The copies that there are say when it was."""
    op.add_column(
        "packages",
        sa.Column("last_proved", KEY, nullable=False, server_default="", comment="See Package.last_proved_at."),
    )
    op.execute(
        "UPDATE packages SET last_proved = proved.last FROM ("
        "SELECT package_id, MIN(newest) AS last FROM ("
        "SELECT versions.package_id AS package_id,"
        " COALESCE(MAX(CASE WHEN copies.state = 'good' THEN copies.proved_at END), '') AS newest"
        " FROM versions LEFT JOIN copies ON copies.version_id = versions.id"
        " GROUP BY versions.id, versions.package_id) AS each_version"
        " GROUP BY package_id) AS proved WHERE proved.package_id = packages.id"
    )
    op.create_index("ix_packages_created", "packages", ["created_at", "identifier"])
    op.create_index("ix_packages_last_proved", "packages", ["last_proved", "identifier"])

"""How much the open uploads may come to: of all, and of one token, so that another finds room beside it."""

from __future__ import annotations

from vault.catalog import uploads
from vault.catalog.engine import Tx
from vault.config.settings import IntakeSettings
from vault.errors import Refused, Unreachable


def share_of_one(limits: IntakeSettings) -> int:
    """Bytes that one token's open uploads may come to: what leaves room for a package of another token.

    Where there is room for less than two packages, it is one package.
    """
    return max(
        limits.max_upload_bytes - limits.max_package_bytes, min(limits.max_package_bytes, limits.max_upload_bytes)
    )


def check_begin(tx: Tx, limits: IntakeSettings, agent: str, length: int, most: int | None) -> None:
    """See that the agent may open one more upload of so many bytes, of ``most`` where its token says less.

    Raises Refused (``too-many-uploads``), Unreachable (``uploads-full``).
    """
    tally = uploads.tally(tx, agent)
    if tally.of_agent >= min(limits.max_uploads_per_token, most or limits.max_uploads_per_token):
        raise Refused(
            f"{agent} has {tally.of_agent} uploads open, and may not have more.",
            remedy="Finish or end some of them (DELETE); the operator can raise intake.max_uploads_per_token.",
            code="too-many-uploads",
        )
    if tally.number >= limits.max_uploads:
        raise _full()
    check_more(tx, limits, agent, length)


def check_more(tx: Tx, limits: IntakeSettings, agent: str, more: int) -> None:
    """See that the agent's open uploads may come to so many bytes more. Raises as :func:`check_begin`."""
    tally = uploads.tally(tx, agent)
    if tally.bytes + more > limits.max_upload_bytes:
        raise _full()
    if tally.bytes_of_agent + more > share_of_one(limits):
        raise Refused(
            f"The open uploads of {agent} come to {tally.bytes_of_agent + more} bytes with this one, and those of one"
            f" token may come to {share_of_one(limits)}.",
            remedy="Finish or end some of them (DELETE); the operator can raise intake.max_upload_bytes.",
            code="too-many-uploads",
        )


def _full() -> Unreachable:
    return Unreachable(
        "The open uploads of this node leave no room for this one.",
        remedy="Try again later; the operator can raise intake.max_uploads or intake.max_upload_bytes.",
        code="uploads-full",
    )

"""How far the check of a copy has come, kept in the catalogue, so that a stop, a kill or a reboot repeats little of it.

Small packages never come here: nothing is kept before a check has taken as long as ``fixity.checkpoint`` says.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from vault.catalog import facts
from vault.clock import from_text, to_text
from vault.custody.context import Custodian
from vault.model import Copy, Json, Version
from vault.volumes.base import CheckState, FileSeen, Finding, FindingKind

LONGEST = timedelta(days=7)
"""What was read longer ago than this is read again: a proof says that the bytes are right now, not last month."""


class Journal:
    """The :class:`~vault.volumes.base.CheckJournal` of one copy's check.

    What was kept counts only for the same bytes: the part, the time when it was written, and the check before this one
    must be the same. ``since``: what was begun before this moment does not count, for an order was given then.
    """

    def __init__(self, custodian: Custodian, version: Version, copy: Copy, since: datetime | None = None) -> None:
        self._custodian = custodian
        self._key = f"check-progress:{copy.id}"
        self._of: dict[str, Json] = {
            "inventory": version.inventory_digest,
            "written": _text(copy.written_at),
            "checked": _text(copy.checked_at),
        }
        self._since = since
        self._began: datetime = custodian.catalogue.clock()
        self._kept_at = time.monotonic()
        self._every = custodian.settings.fixity.checkpoint.total_seconds()
        self._kept = False

    def resume(self) -> CheckState | None:
        """See the protocol."""
        with self._custodian.catalogue.read() as tx:
            kept = facts.get(tx, self._key)
            now = tx.now
        if not isinstance(kept, dict):
            return None
        self._kept = True
        try:
            began = from_text(str(kept["began"]))
            state = _state(kept)
        except (KeyError, ValueError, TypeError):
            return None
        if kept.get("of") != self._of or now - began > LONGEST or (self._since is not None and began < self._since):
            return None
        self._began = began
        return state

    def known(self, _path: str) -> None:
        """Nothing but what this check itself reads."""
        return

    def wants(self) -> bool:
        """See the protocol."""
        return time.monotonic() - self._kept_at >= self._every

    def keep(self, state: CheckState) -> None:
        """See the protocol."""
        value: dict[str, Json] = {
            "of": self._of,
            "began": to_text(self._began),
            "done": state.done,
            "files": state.files,
            "read": state.read,
            "findings": [finding.as_json() for finding in state.findings],
            "offset": state.offset,
            "hash_state": base64.b64encode(state.hash_state).decode(),
        }
        with self._custodian.catalogue.write() as tx:
            facts.put(tx, self._key, value)
        self._kept = True
        self._kept_at = time.monotonic()

    def forget(self) -> None:
        """The check has come to its conclusion."""
        if self._kept:
            with self._custodian.catalogue.write() as tx:
                facts.put(tx, self._key, None)


class AlreadyRead:
    """The :class:`~vault.volumes.base.CheckJournal` of a check of which some content files were read from the medium
    just now, by copying them from there or to there, by their paths."""

    def __init__(self, files: Mapping[str, FileSeen]) -> None:
        self._files = files

    def resume(self) -> None:
        """It begins at the beginning."""
        return

    def known(self, path: str) -> FileSeen | None:
        """See the protocol."""
        return self._files.get(path)

    def wants(self) -> bool:
        """Never: what is left is short."""
        return False

    def keep(self, _state: CheckState) -> None:
        """Nothing is kept."""


def _text(moment: datetime | None) -> str:
    return "" if moment is None else to_text(moment)


def _state(kept: Mapping[str, Json]) -> CheckState:
    """Raises KeyError, ValueError, TypeError for what none of ours wrote."""
    found = kept["findings"]
    if not isinstance(found, list):
        raise TypeError("findings are a list")
    findings = []
    for one in found:
        if not isinstance(one, dict):
            raise TypeError("a finding is an object")
        texts = {name: str(one.get(name, "")) for name in ("path", "expected", "found", "error")}
        offset = one.get("offset", -1)
        found_at = offset if isinstance(offset, int) else -1
        findings.append(Finding(FindingKind(str(one["kind"])), **texts, offset=found_at))
    numbers = {name: _number(kept[name]) for name in ("done", "files", "read", "offset")}
    try:
        hash_state = base64.b64decode(str(kept["hash_state"]), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    return CheckState(findings=tuple(findings), hash_state=hash_state, **numbers)


def _number(value: Json) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError("a count is a whole number")
    return value

"""The one word for what a check of a copy came to."""

from __future__ import annotations

import enum


class Verdict(enum.StrEnum):
    """What a check of a copy came to. There is no verdict for an outage: that raises Unreachable.

    INTACT: every byte was read from the medium and every digest is equal. DAMAGED: some bytes are not what they
    must be, or some files are missing or too many. MISSING: nothing of the copy is there. UNREADABLE: no
    mismatch was seen, but some file could not be read. DOUBTFUL: a second reading contradicted the first.
    """

    INTACT = "intact"
    DAMAGED = "damaged"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    DOUBTFUL = "doubtful"

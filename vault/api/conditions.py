"""The conditions of a GET or HEAD, in the order of RFC 9110, section 13.2.2, and the part that it asks for.

There are no dates among them: what is stored under a version never changes, and its entity tag says so better.
"""

from __future__ import annotations

import enum

from fastapi import Request

from vault.api.headers import entity_tag_matches, if_match_holds, if_range_holds
from vault.api.ranges import ByteRange, parse_range


class Verdict(enum.Enum):
    """What the conditions come to."""

    PROCEED = enum.auto()
    NOT_MODIFIED = enum.auto()
    FAILED = enum.auto()


def judge(request: Request, tag: str) -> Verdict:
    """Whether ``If-Match`` and ``If-None-Match`` hold for the entity tag with this opaque part."""
    must_match = request.headers.getlist("if-match")
    if must_match and not if_match_holds(", ".join(must_match), tag):
        return Verdict.FAILED
    must_differ = request.headers.getlist("if-none-match")
    if must_differ and entity_tag_matches(", ".join(must_differ), tag):
        return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


def asked_range(request: Request, tag: str, size: int) -> ByteRange | None:
    """The part that is asked for, None where it is all. Raises as :func:`vault.api.ranges.parse_range` does."""
    # Section 14.2: only GET has ranges. Section 13.1.5: where If-Range does not hold, Range is not looked at.
    if request.method != "GET" or not if_range_holds(request.headers.get("if-range"), tag):
        return None
    return parse_range(request.headers.getlist("range"), size)

"""Request headers read, and response headers written, strictly by their specifications.

Repr-Digest: RFC 9530, as a structured field of RFC 8941. If-Match, If-None-Match, If-Range: RFC 9110, section 13.
Prefer: RFC 7240. Content-Disposition: RFC 6266 with RFC 8187. Forwarded: RFC 7239.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final, Literal
from urllib.parse import quote, unquote_to_bytes

from vault.api.problems import bad_request
from vault.text import normalised

KNOWN_DIGESTS: Final = {"sha-256": 32, "sha-512": 64}
"""Digest algorithms of RFC 9530 that this node checks, with their length in bytes."""

_FIELD_NAMES: Final = {"sha512": "sha-512", "sha256": "sha-256"}

_SF_KEY = r"[a-z*][a-z0-9_.*-]*"
_SF_BYTES = r":(?P<bytes>[A-Za-z0-9+/]*={0,2}):"
_SF_BARE_ITEM = (
    r"(?:\?[01]|-?[0-9][0-9.]*|\"(?:[ !#-\[\]-~]|\\[\"\\])*\"|:[A-Za-z0-9+/=]*:|[A-Za-z*][!#-'*+.^-z|~:/-9]*)"
)
_SF_PARAMETER = rf"[ ]*;[ ]*{_SF_KEY}(?:={_SF_BARE_ITEM})?"
_SF_MEMBER = re.compile(rf"(?P<key>{_SF_KEY})={_SF_BYTES}(?:{_SF_PARAMETER})*")
_WANTED = re.compile(rf"(?P<key>{_SF_KEY})=(?P<weight>[0-9]{{1,15}})(?:{_SF_PARAMETER})*")
_SF_COMMA = re.compile(r"[ \t]*,[ \t]*")

_ENTITY_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_VERSION_TAG = re.compile(r"v([1-9][0-9]{0,8})")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_PREFERENCE = re.compile(rf"({_TOKEN})(?:[ \t]*=[ \t]*({_TOKEN}|{_QUOTED}))?")
_FORWARDED_PAIR = re.compile(rf"({_TOKEN})=({_TOKEN}|{_QUOTED})")
_FORWARDED_SEPARATOR = re.compile(r"[ \t]*([,;])[ \t]*")
_DISPOSITION_PARAMETER = re.compile(rf"[ \t]*;[ \t]*({_TOKEN})[ \t]*=[ \t]*({_TOKEN}|{_QUOTED})")
_EXTENDED = re.compile(r"(?i:utf-8)'[A-Za-z0-9-]*'((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*)")


def parse_repr_digest(value: str | None) -> dict[str, str]:
    """Read ``Repr-Digest``: the digests that this node can check, as hexadecimal, by name (``sha-256``).

    An algorithm that is not known is passed over if another one is. Raises Invalid: ``bad-repr-digest`` for what is no
    dictionary of byte sequences or has a digest of the wrong length, ``unsupported-digest`` when none is known.
    """
    if value is None:
        return {}
    found: dict[str, bytes] = {}
    text = value.strip(" ")
    at = 0
    while True:
        member = _SF_MEMBER.match(text, at)
        if member is None:
            raise _bad_digest("it is not of the form sha-256=:BASE64:")
        found[member["key"]] = _decode(member["bytes"])
        at = member.end()
        if at == len(text):
            break
        comma = _SF_COMMA.match(text, at)
        if comma is None:
            raise _bad_digest("its members are not separated by commas")
        at = comma.end()
    known = {name: digest for name, digest in found.items() if name in KNOWN_DIGESTS}
    for name, digest in known.items():
        if len(digest) != KNOWN_DIGESTS[name]:
            raise _bad_digest(f"a {name} has {KNOWN_DIGESTS[name]} bytes, and this one has {len(digest)}")
    if not known:
        raise bad_request(
            "unsupported-digest",
            f"Repr-Digest names only algorithms that this node does not check: {', '.join(sorted(found))[:200]}.",
            "Send a sha-256 or a sha-512.",
            "Repr-Digest",
        )
    return {name: digest.hex() for name, digest in known.items()}


def _decode(text: str) -> bytes:
    try:
        # RFC 8941, section 4.2.7: padding may be left out.
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise _bad_digest("a digest is not in base64") from None


def _bad_digest(why: str) -> Exception:
    return bad_request(
        "bad-repr-digest",
        f"Repr-Digest cannot be read: {why}.",
        "Send it as RFC 9530 has it, for example Repr-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
        "Repr-Digest",
    )


def repr_digest(digests: Mapping[str, str]) -> str:
    """Write ``Repr-Digest`` for hexadecimal digests by our names of the algorithms (``sha512``)."""
    written = ((_FIELD_NAMES[name], base64.b64encode(bytes.fromhex(digest))) for name, digest in digests.items())
    return ", ".join(f"{name}=:{value.decode()}:" for name, value in written)


def wanted_digests(value: str | None) -> list[str] | None:
    """Read ``Want-Repr-Digest`` (RFC 9530, section 4): algorithms by our names, the most wanted first; None where the
    client has no wish. Those of weight 0, and those that are not known here, are left out.

    What is no dictionary of numbers is passed over as a whole, as RFC 8941, section 4.2, demands.
    """
    if value is None:
        return None
    weights: dict[str, int] = {}
    for member in value.strip(" ").split(","):
        # Not split by an expression that begins with spaces: the search for it takes the square of their number.
        found = _WANTED.fullmatch(member.strip(" \t"))
        if found is None or int(found["weight"]) > 10:
            return None
        weights[found["key"]] = int(found["weight"])
    ours = {field: name for name, field in _FIELD_NAMES.items()}
    ranked = sorted(weights.items(), key=lambda pair: -pair[1])
    return [ours[name] for name, weight in ranked if weight > 0 and name in ours]


def parse_if_match(value: str | None) -> int | Literal["*"] | None:
    """Read ``If-Match`` of a deposit: the number of the version that it follows, ``*`` for whichever is the newest.

    Raises Invalid (``bad-if-match``) for anything else; a version has one entity tag, ``"v3"``.
    """
    if value is None:
        return None
    text = value.strip(" \t")
    if text == "*":
        return "*"
    tag = _ENTITY_TAG.fullmatch(text)
    number = _VERSION_TAG.fullmatch(tag[2]) if tag and not tag[1] else None
    if number is None:
        raise _bad_if_match("If-Match", 'the version that the deposit follows in quotes, such as "v3", or *')
    return int(number[1])


def parse_must_be_new(value: str | None) -> bool:
    """Read ``If-None-Match`` of a deposit: only ``*`` has a meaning there. Raises Invalid (``bad-if-match``)."""
    if value is None:
        return False
    if value.strip(" \t") != "*":
        raise _bad_if_match("If-None-Match", "only *, which says that the package must not be stored yet")
    return True


def _bad_if_match(name: str, expected: str) -> Exception:
    return bad_request("bad-if-match", f"{name} cannot be read.", f"Send {expected}.", name)


def entity_tag_matches(value: str, tag: str) -> bool:
    """Whether ``If-None-Match`` (RFC 9110, section 13.1.2, weak comparison) names ``tag``, the opaque part of ours."""
    text = value.strip(" \t")
    return text == "*" or any(found[2] == tag for found in _ENTITY_TAG.finditer(text))


def if_match_holds(value: str, tag: str) -> bool:
    """Whether ``If-Match`` of a GET (RFC 9110, section 13.1.1, strong comparison) names ``tag``."""
    text = value.strip(" \t")
    return text == "*" or any(found[2] == tag and not found[1] for found in _ENTITY_TAG.finditer(text))


def if_range_holds(value: str | None, tag: str) -> bool:
    """Whether ``If-Range`` lets a range be served (RFC 9110, section 13.1.5): strong comparison; dates never do."""
    if value is None:
        return True
    found = _ENTITY_TAG.fullmatch(value.strip(" \t"))
    return found is not None and not found[1] and found[2] == tag


def parse_wait(value: str | None) -> int | None:
    """Read ``wait`` (seconds) of ``Prefer``; None where it is not there. What cannot be read is no preference."""
    if value is None:
        return None
    for found in _preferences(value):
        name, text = found
        if name.lower() == "wait" and text is not None and re.fullmatch(r"[0-9]{1,9}", text):
            return int(text)
    return None


def _preferences(value: str) -> Iterator[tuple[str, str | None]]:
    for part in re.split(r"[,;]", value):
        found = _PREFERENCE.fullmatch(part.strip(" \t"))
        if found:
            text = found[2]
            yield found[1], text[1:-1] if text is not None and text.startswith('"') else text


def parse_forwarded(value: str) -> list[dict[str, str]] | None:
    """Read one line of ``Forwarded`` (RFC 7239, section 4): for each hop what is said of it, by names in lower case.

    None for what does not have that form, of which nothing can be believed: what stands in a quoted string (a ``host``,
    which the client chooses) must not pass for an address.
    """
    hops: list[dict[str, str]] = [{}]
    text = value.strip(" \t")
    at = 0
    while True:
        pair = _FORWARDED_PAIR.match(text, at)
        if pair is not None:
            name, said = pair[1].lower(), pair[2]
            if name in hops[-1]:
                return None
            hops[-1][name] = re.sub(r"\\(.)", r"\1", said[1:-1]) if said.startswith('"') else said
            at = pair.end()
        if at == len(text):
            return hops
        separator = _FORWARDED_SEPARATOR.match(text, at)
        if separator is None:
            return None
        if separator[1] == ",":
            hops.append({})
        at = separator.end()


def parse_filename(value: str | None) -> str:
    """Read the file's name of ``Content-Disposition``; "" where it has none. ``filename*`` comes before ``filename``.

    Raises Invalid (``bad-content-disposition``) for what does not have the form of RFC 6266 or is not UTF-8.
    """
    if value is None:
        return ""
    kind = re.match(_TOKEN, value)
    parameters: dict[str, str] = {}
    at = kind.end() if kind else 0
    while kind and (found := _DISPOSITION_PARAMETER.match(value, at)):
        parameters.setdefault(found[1].lower(), found[2])
        at = found.end()
    if kind is None or value[at:].strip(" \t;"):
        raise _bad_disposition()
    extended = parameters.get("filename*")
    try:
        if extended is not None:
            match = _EXTENDED.fullmatch(extended)
            if match is None:
                raise _bad_disposition()
            return unquote_to_bytes(match[1]).decode("utf-8")
        plain = parameters.get("filename", "")
        if plain.startswith('"'):
            plain = re.sub(r"\\(.)", r"\1", plain[1:-1])
        # Headers arrive as Latin-1; clients that send other bytes mean UTF-8.
        return plain.encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise _bad_disposition() from None


def _bad_disposition() -> Exception:
    return bad_request(
        "bad-content-disposition",
        "Content-Disposition cannot be read.",
        "Send attachment; filename*=UTF-8''NAME with the name percent-encoded (RFC 8187), or the query filename=NAME.",
        "Content-Disposition",
    )


def content_disposition(filename: str) -> str:
    """Write ``Content-Disposition`` for a file to be saved: an ASCII name for old clients, and the right one.

    Only the last part of a path is named; control characters become ``_``.
    """
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join("_" if unicodedata.category(c).startswith("C") else c for c in name).strip() or "content"
    plain = normalised("NFKD", name.replace("đ", "d").replace("Đ", "D"))
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    plain = "".join(c if c.isascii() and c not in '"\\%' else "_" for c in plain)
    if plain == name:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"

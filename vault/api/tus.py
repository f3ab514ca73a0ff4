"""The headers of tus 1.0.0 (https://tus.io/protocols/resumable-upload), read strictly and written.

Every header that cannot be read is refused with a sentence of its own: a client's author should not have to guess.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from starlette.requests import Request

from vault.api.problems import bad_request
from vault.depositing import Upload
from vault.errors import Conflict, Invalid
from vault.intake.uploads import CHECKSUMS, Checksum

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination"
CONTENT_TYPE: Final = "application/offset+octet-stream"

_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_KEY: Final = re.compile(r"[!-+\--~]{1,100}")
_LENGTHS: Final = {"sha1": 20, "sha256": 32, "sha512": 64}
MAX_METADATA_BYTES: Final = 32 * 1024


def one(request: Request, name: str) -> str | None:
    """A header that may stand once. Raises Invalid (``bad-request``)."""
    values = request.headers.getlist(name)
    if len(values) > 1:
        raise bad_request("bad-request", f"{name} stands there {len(values)} times.", "Send it once.", name)
    return values[0].strip(" \t") if values else None


def check_version(request: Request) -> None:
    """Refuse a client that speaks another version. Raises Conflict (``unsupported-tus-version``)."""
    said = one(request, "Tus-Resumable")
    if said != VERSION:
        raise Conflict(
            "Tus-Resumable is not there." if said is None else f"Tus-Resumable is {said[:20]!r}.",
            remedy=f"Send Tus-Resumable: {VERSION}, the version that this node speaks.",
            code="unsupported-tus-version",
        )


def read_offset(request: Request) -> int:
    """Read ``Upload-Offset``. Raises Invalid (``bad-upload-offset``)."""
    said = one(request, "Upload-Offset")
    if said is None or not _NUMBER.fullmatch(said):
        why = "it is not there" if said is None else f"{said[:40]!r} is no number of bytes"
        raise bad_request(
            "bad-upload-offset",
            f"Upload-Offset cannot be read: {why}.",
            "Send the offset that HEAD answers, as a number of bytes.",
            "Upload-Offset",
        )
    return int(said)


def read_length(request: Request) -> int | None:
    """Read ``Upload-Length``; None where it is not there. Raises Invalid (``bad-upload-length``)."""
    said = one(request, "Upload-Length")
    if said is None:
        return None
    if not _NUMBER.fullmatch(said):
        raise _bad_length(f"{said[:40]!r} is no number of bytes")
    return int(said)


def read_announced(request: Request) -> int | None:
    """Read the length of a new upload, None where it is deferred. Raises Invalid (``bad-upload-length``)."""
    length, deferred = read_length(request), one(request, "Upload-Defer-Length")
    if deferred is not None and deferred != "1":
        raise _bad_length(f"Upload-Defer-Length is {deferred[:40]!r}, and only 1 has a meaning")
    if (length is None) == (deferred is None):
        raise _bad_length("both it and Upload-Defer-Length are there" if deferred else "it is not there")
    return length


def _bad_length(why: str) -> Invalid:
    return bad_request(
        "bad-upload-length",
        f"Upload-Length cannot be read: {why}.",
        "Send Upload-Length with the number of bytes of the whole, or Upload-Defer-Length: 1 and the length later.",
        "Upload-Length",
    )


def read_metadata(header: str | None) -> dict[str, str]:
    """Read ``Upload-Metadata``: keys with texts. Raises Invalid (``bad-upload-metadata``), naming the key."""
    found: dict[str, str] = {}
    if header is None or not header.strip(" \t"):
        return found
    if len(header) > MAX_METADATA_BYTES:
        raise _bad_metadata(f"it is longer than {MAX_METADATA_BYTES} bytes", "")
    for pair in header.split(","):
        key, _, value = pair.strip(" \t").partition(" ")
        if not _KEY.fullmatch(key):
            raise _bad_metadata(f"{key[:40]!r} is no key of printable ASCII without spaces and commas", "")
        if key in found:
            raise _bad_metadata(f"the key {key[:40]!r} stands there twice", key)
        try:
            found[key] = base64.b64decode(value.strip(" \t"), validate=True).decode("utf-8")
        except UnicodeError:
            raise _bad_metadata(f"the value of {key[:40]!r} is not UTF-8 in base64", key) from None
        except ValueError:  # binascii.Error is one; what is not even ASCII is a plain one
            raise _bad_metadata(f"the value of {key[:40]!r} is not in base64", key) from None
    return found


def _bad_metadata(why: str, key: str) -> Invalid:
    return bad_request(
        "bad-upload-metadata",
        f"Upload-Metadata cannot be read: {why}.",
        "Send pairs of a key and its value in base64, separated by commas: identifier SDQ5LzIwMjU=,filename YS5wZGY=",
        f"Upload-Metadata.{key}" if key else "Upload-Metadata",
    )


def read_checksum(request: Request) -> Checksum | None:
    """Read ``Upload-Checksum``; None where it is not there.

    Raises Invalid: ``bad-upload-checksum`` for what is no algorithm with a digest of its length in base64,
    ``unsupported-checksum`` for another algorithm.
    """
    said = one(request, "Upload-Checksum")
    if said is None:
        return None
    algorithm, _, value = said.partition(" ")
    if algorithm not in CHECKSUMS:
        raise bad_request(
            "unsupported-checksum",
            f"Upload-Checksum names {algorithm[:40]!r}, which this node does not check.",
            f"Send one of {', '.join(CHECKSUMS)}.",
            "Upload-Checksum",
        )
    try:
        digest = base64.b64decode(value.strip(" \t"), validate=True)
    except ValueError:
        raise _bad_checksum("the digest is not in base64") from None
    if len(digest) != _LENGTHS[algorithm]:
        raise _bad_checksum(f"a {algorithm} has {_LENGTHS[algorithm]} bytes, and this one has {len(digest)}")
    return Checksum(algorithm, digest)


def _bad_checksum(why: str) -> Invalid:
    return bad_request(
        "bad-upload-checksum",
        f"Upload-Checksum cannot be read: {why}.",
        "Send the algorithm, a space and the digest of this request's body in base64: sha256 47DEQpj8HBSa+/T…=",
        "Upload-Checksum",
    )


def check_content_type(request: Request) -> None:
    """Refuse a body that is not sent as tus has it. Raises Invalid (``bad-content-type``)."""
    said = one(request, "Content-Type")
    if said is None or said.partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise bad_request(
            "bad-content-type",
            "Content-Type is not there." if said is None else f"Content-Type is {said[:60]!r}.",
            f"Send Content-Type: {CONTENT_TYPE}.",
            "Content-Type",
        )


def read_content_length(request: Request) -> int | None:
    """Read ``Content-Length``; None where the body comes in chunks. Raises Invalid (``bad-content-length``)."""
    said = one(request, "Content-Length")
    if said is not None and not _NUMBER.fullmatch(said):
        raise bad_request("bad-content-length", "Content-Length is no number.", "Send the number of bytes.")
    return int(said) if said is not None else None


def headers_of(upload: Upload) -> dict[str, str]:
    """What every answer about an upload says of it."""
    return {
        "Upload-Offset": str(upload.received),
        "Upload-Expires": expires(upload.expires_at),
        "Khoso-Ingest": f"/v1/ingests/{upload.id}",
    }


def described(upload: Upload, metadata: object) -> Mapping[str, str]:
    """What HEAD says beside that: the length, as far as it is known, and the metadata as the client sent it."""
    length = {"Upload-Defer-Length": "1"} if upload.length is None else {"Upload-Length": str(upload.length)}
    return {**headers_of(upload), **length, **({"Upload-Metadata": str(metadata)} if metadata else {})}


def expires(moment: datetime) -> str:
    """A time as HTTP writes it (RFC 9110, section 5.6.7)."""
    return format_datetime(moment, usegmt=True)

"""Problem documents (RFC 9457): the one table of codes, and what becomes of an error on its way out.

``PROBLEMS`` names every code that an answer can carry, with its HTTP status. A code that is not in it (of a module
newer than the table) takes the status of its class from ``BY_CLASS``. ``docs/reference/api.md`` explains each.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from starlette.responses import Response

from vault.errors import (
    ConfigError,
    Conflict,
    Corrupted,
    Fault,
    Forbidden,
    Full,
    Interrupted,
    Invalid,
    NotFound,
    Refused,
    Secret,
    Throttled,
    Unreachable,
    VaultError,
    WrongVolume,
)

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:khoso:problem:"
RETRY_AFTER_SECONDS: Final = 10
LARGEST_MESSAGE: Final = 4000
MOST_FAULTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of problem: its HTTP status, and what it is called whatever the occasion."""

    status: int
    title: str


BY_CLASS: Final[Mapping[type[VaultError], Entry]] = {
    WrongVolume: Entry(503, "Another volume stands there"),
    Unreachable: Entry(503, "It does not answer"),
    Forbidden: Entry(403, "This is not allowed"),
    Conflict: Entry(409, "It contradicts what is stored"),
    Secret: Entry(422, "It is marked as a state secret"),
    Invalid: Entry(400, "What was sent is not right"),
    Refused: Entry(409, "It is against a rule"),
    NotFound: Entry(404, "There is no such thing"),
    Throttled: Entry(429, "Too much was asked"),
    Full: Entry(507, "There is no room"),
    Corrupted: Entry(500, "Stored bytes are not what they must be"),
    Interrupted: Entry(503, "It was stopped before its end"),
    ConfigError: Entry(500, "The node is not configured rightly"),
    VaultError: Entry(500, "The node failed"),
}
"""The status of each class; of several that fit, the most derived one counts."""

PROBLEMS: Final[Mapping[str, Entry]] = {
    # What every class says when it says nothing more precise.
    "bad-configuration": BY_CLASS[ConfigError],
    "conflict": BY_CLASS[Conflict],
    "corrupted": BY_CLASS[Corrupted],
    "forbidden": BY_CLASS[Forbidden],
    "internal-error": BY_CLASS[VaultError],
    "interrupted": BY_CLASS[Interrupted],
    "invalid": BY_CLASS[Invalid],
    "no-space": BY_CLASS[Full],
    "not-found": BY_CLASS[NotFound],
    "refused": BY_CLASS[Refused],
    "unreachable": BY_CLASS[Unreachable],
    "wrong-volume": BY_CLASS[WrongVolume],
    # The request itself.
    "bad-content-disposition": Entry(400, "Content-Disposition cannot be read"),
    "bad-content-length": Entry(400, "Content-Length cannot be read"),
    "bad-cursor": Entry(400, "The cursor is not one of ours"),
    "bad-identifier": Entry(400, "The identifier cannot be used"),
    "bad-if-match": Entry(400, "If-Match or If-None-Match cannot be read"),
    "bad-metadata": Entry(400, "What is said of the package cannot be kept"),
    "bad-query": Entry(400, "The query cannot be read"),
    "bad-repr-digest": Entry(400, "Repr-Digest cannot be read"),
    "bad-request": Entry(400, "This is not HTTP"),
    "bad-text": Entry(400, "This text cannot be kept"),
    "headers-too-large": Entry(431, "The head of the request is too large"),
    "method-not-allowed": Entry(405, "This method is not for this address"),
    "no-such-route": Entry(404, "There is no such address"),
    "request-too-large": Entry(413, "The request's body is too large"),
    "request-timeout": Entry(408, "Nothing came for too long"),
    "too-slow": Entry(408, "The body came too slowly"),
    "unsupported-digest": Entry(400, "No digest that this node can check"),
    "unsupported-encoding": Entry(415, "The body is encoded"),
    "unsupported-transfer-encoding": Entry(501, "This transfer coding is not spoken here"),
    # Resumable uploads (tus).
    "bad-callback": Entry(400, "The callback cannot be used"),
    "callback-not-allowed": Entry(400, "Nobody may be told there"),
    "bad-content-type": Entry(415, "The body is not sent as tus has it"),
    "bad-upload-checksum": Entry(400, "Upload-Checksum cannot be read"),
    "bad-upload-length": Entry(400, "Upload-Length cannot be read"),
    "bad-upload-metadata": Entry(400, "Upload-Metadata cannot be read"),
    "bad-upload-offset": Entry(400, "Upload-Offset cannot be read"),
    "checksum-mismatch": Entry(460, "The body is not what its checksum says"),
    "no-such-upload": Entry(404, "There is no such upload"),
    "too-many-followers": Entry(503, "Too many follow deposits"),
    "too-many-uploads": Entry(429, "Too many uploads of this token are open"),
    "unsupported-checksum": Entry(400, "No checksum that this node can check"),
    "unsupported-tus-version": Entry(412, "Another version of tus"),
    "upload-busy": Entry(423, "Another request for this upload is under way"),
    "upload-complete": Entry(409, "The upload is complete"),
    "upload-expired": Entry(410, "The upload's time is over"),
    "upload-lost": Entry(500, "The upload's bytes are gone"),
    "upload-terminated": Entry(410, "The upload was ended"),
    "upload-too-long": Entry(413, "More came than was announced"),
    "uploads-full": Entry(503, "Too many uploads are open"),
    "wrong-offset": Entry(409, "The upload stands elsewhere"),
    # Who asks.
    "bad-credentials": Entry(401, "The token is not valid"),
    "no-credentials": Entry(401, "A token is needed"),
    "wrong-scope": Entry(403, "The token may not do this"),
    "too-many-guesses": BY_CLASS[Throttled],
    "too-many-requests": BY_CLASS[Throttled],
    "quota-exhausted": Entry(429, "The quota of the day is used up"),
    "not-an-operator": Entry(403, "This user may not use the socket"),
    "bad-forwarded": Entry(400, "The proxy's headers cannot be read"),
    "whole-node": Entry(403, "The token is bound to an agency"),
    "not-your-agency": Entry(403, "The token is bound to another agency"),
    "not-your-prefix": Entry(403, "The token may not use this identifier"),
    "identifier-taken": Entry(409, "This identifier cannot be used"),
    # Deposits.
    "archive-ratio": Entry(400, "The archive inflates like a bomb"),
    "archive-too-large": Entry(413, "The archive unpacks to too much"),
    "bad-content-path": Entry(400, "A file's name cannot be stored"),
    "bad-filename": Entry(400, "The file's name cannot be stored"),
    "reserved-name": Entry(400, "A file's name is the node's own"),
    "bag-invalid": Entry(400, "The bag is not valid"),
    "busy": Entry(503, "Too many deposits at once"),
    "too-many-connections": Entry(503, "Too many connections are open"),
    "earlier-version-damaged": Entry(503, "An earlier version is damaged"),
    "catalogue-missing": Entry(500, "The catalogue is gone"),
    "package-busy": Entry(503, "Other work on this package hangs"),
    "evidence-needed": Entry(409, "This evidence may be all that is left"),
    "different-content": Entry(409, "Other content is stored under this identifier"),
    "duplicate-name": Entry(400, "Two files in the archive have one name"),
    "empty-body": Entry(400, "The body is empty"),
    "file-as-directory": Entry(400, "A name in the archive is a file and a folder"),
    "names-alike": Entry(400, "Two names in the archive are too much alike"),
    "too-many-names": Entry(413, "The archive holds too many names"),
    "digest-mismatch": Entry(400, "The body is not what its digest says"),
    "incomplete-body": Entry(400, "The body is shorter or longer than announced"),
    "ingest-exists": Entry(409, "There is such a deposit already"),
    "member-too-large": Entry(413, "A file in the archive is too large"),
    "not-healed": Entry(503, "The stored package is damaged everywhere"),
    "no-volume": Entry(503, "No volume can be written to"),
    "not-a-bag": Entry(400, "The archive holds no bag"),
    "not-next-version": Entry(409, "It does not follow the newest version"),
    "package-exists": Entry(409, "There is such a package already"),
    "package-too-large": Entry(413, "The package is too large"),
    "precondition-failed": Entry(412, "The precondition does not hold"),
    "state-secret": BY_CLASS[Secret],
    "too-many-members": Entry(413, "The archive holds too many files"),
    # Batches.
    "bad-batch": Entry(400, "The list of the delivery cannot be read"),
    "batch-closed": Entry(409, "The batch is closed"),
    "batch-differs": Entry(409, "The batch is not as listed"),
    "batch-exists": Entry(409, "The delivery was opened with another list"),
    "batch-not-ready": Entry(409, "Packages of the batch wait for their receipts"),
    "no-such-batch": Entry(404, "There is no such batch"),
    # What is stored.
    "no-good-copy": Entry(500, "No copy has the right bytes"),
    "no-good-source": Entry(500, "No copy has the right bytes"),
    "no-receipt-yet": Entry(404, "There is no receipt yet"),
    "no-such-disk": Entry(404, "There is no such disk"),
    "disk-present": Entry(409, "The disk is there"),
    "no-such-evidence": Entry(404, "There is no such evidence"),
    "no-such-file": Entry(404, "The version has no such file"),
    "no-such-fonds": Entry(404, "There is no such fonds"),
    "no-such-ingest": Entry(404, "There is no such deposit"),
    "no-such-package": Entry(404, "There is no such package"),
    "no-such-verification": Entry(404, "There is no such verification"),
    "no-such-recall": Entry(404, "There is no such recall"),
    "no-such-version": Entry(404, "There is no such version"),
    "no-such-volume": Entry(404, "There is no such volume"),
    "bad-range": Entry(416, "Range cannot be read"),
    "range-not-satisfiable": Entry(416, "The file has no such part"),
    "nothing-to-recall": Entry(409, "No tape has it"),
    "recall-impossible": Entry(503, "It cannot be brought back from tape now"),
    "unrepairable": Entry(500, "No copy is left to repair from"),
    "volume-offline": Entry(503, "Every copy is on a volume that is off-line"),
    # Volumes, copies and orders.
    "adoption-running": Entry(409, "The object is being adopted"),
    "bad-path": Entry(400, "This is no place of an object"),
    "no-such-adoption": Entry(404, "There is no such adoption"),
    "no-such-object": Entry(404, "No object lies there"),
    "no-such-scan": Entry(404, "The volume was never scanned"),
    "not-a-disk-volume": Entry(409, "It is no disk volume"),
    "object-altered": Entry(500, "The object changes while it is read"),
    "object-not-sound": Entry(422, "The object is not sound"),
    "scan-running": Entry(409, "The volume is being scanned"),
    "already-initialised": Entry(409, "It is a volume already"),
    "already-released": Entry(409, "It was released already"),
    "bad-order": Entry(400, "The order does not say what"),
    "bad-transition": Entry(409, "There is no such step"),
    "copy-exists": Entry(409, "There is such a copy already"),
    "earlier-version-missing": Entry(409, "Earlier versions are missing there"),
    "ambiguous-names": Entry(400, "Two names would be one on some systems"),
    "staging-not-finished": Entry(500, "A staging was not finished"),
    "token-taken": Entry(409, "A staging has this name already"),
    "bad-label": Entry(400, "This cannot name evidence"),
    "not-mounted": Entry(503, "Nothing is mounted there"),
    "other-object": Entry(409, "Another object stands there"),
    "not-empty": Entry(409, "The place is not empty"),
    "not-evidence": Entry(409, "This is no evidence"),
    "not-initialised": Entry(503, "The volume was never initialised"),
    "occupied": Entry(409, "Something else stands there"),
    "source-changed": Entry(503, "A file changed while it was read"),
    "storage-root-unreadable": Entry(503, "The storage root cannot be read"),
    "verification-exists": Entry(409, "There is such an order already"),
    "volume-exists": Entry(409, "There is such a volume already"),
    "volume-alive": Entry(409, "The volume itself stands there"),
    "volume-known": Entry(409, "The volume was begun already"),
    "only-copies": Entry(409, "The old medium has the only copies"),
    "volume-needed": Entry(409, "The volume still holds copies that are needed"),
    "write-not-proved": Entry(500, "What was written does not read back"),
    # Tapes.
    "cartridge-blank": Entry(409, "The cartridge is blank"),
    "cartridge-known": Entry(409, "The cartridge is this node's own"),
    "cartridge-not-ltfs": Entry(409, "The cartridge holds no LTFS volume"),
    "import-running": Entry(409, "The cartridge is being imported"),
    "no-such-import": Entry(404, "No import of that cartridge goes on"),
    "no-index": Entry(404, "The index of the cartridge is not kept here"),
    "cartridge-not-blank": Entry(409, "The cartridge is not blank"),
    "library-busy": Entry(503, "The tape library is busy"),
    "library-unreachable": Entry(503, "The tape library cannot be used"),
    "cartridge-needed": Entry(409, "The cartridge holds copies that count"),
    "cartridge-not-there": Entry(409, "The library does not show the cartridge"),
    "no-such-cartridge": Entry(404, "There is no such cartridge"),
    "no-such-drive": Entry(404, "There is no such drive"),
    "cartridge-not-suspect": Entry(409, "The cartridge is not suspect: there is no doubt to end"),
    "drive-held": Entry(409, "The drive is held: one cartridge after another failed in it"),
    "no-such-library": Entry(404, "There is no such tape library"),
    "no-such-pool": Entry(404, "There is no such pool"),
    "not-on-tape": Entry(404, "It is not on the tape"),
    "operator-asked": Entry(503, "Somebody has to load a cartridge"),
    "tape-damaged": Entry(500, "The tape cannot be read"),
    "tape-full": Entry(507, "The cartridge is full"),
    "tape-refused": Entry(409, "The tape library refuses that"),
    "tape-unreachable": Entry(503, "Drive or library does not answer"),
    # What the operating system says of a volume.
    "device-gone": Entry(503, "The device is gone"),
    "file-system-damaged": Entry(503, "The file system is damaged"),
    "host-down": Entry(503, "The file server does not answer"),
    "io-error": Entry(503, "The device reported an error"),
    "not-connected": Entry(503, "The file server is not connected"),
    "permission-denied": Entry(503, "The service may not go there"),
    "read-only": Entry(503, "The file system is read-only"),
    "stale-handle": Entry(503, "The file server exported something else"),
    "timed-out": Entry(503, "The file server does not answer"),
    "too-many-files": Entry(503, "Too many files are open"),
    # Tokens.
    "bad-token": Entry(400, "Such a token cannot be made"),
    "no-such-token": Entry(404, "There is no such token"),
    "token-exists": Entry(409, "There is a token of this name already"),
    # The catalogue and the ledger.
    "catalogue-busy": Entry(503, "The catalogue is busy"),
    "catalogue-damaged": Entry(500, "The catalogue is damaged"),
    "catalogue-exists": Entry(409, "There is a catalogue already"),
    "export-damaged": Entry(500, "The backup of the catalogue is damaged"),
    "backup-not-kept": Entry(503, "No volume took the backup of the catalogue"),
    "already-running": Entry(409, "Another process works on the state folder"),
    "backup-not-vouched": Entry(409, "Nobody vouches for the key of the backups"),
    "volume-hangs": Entry(503, "A volume hangs"),
    "nothing-to-rebuild-from": Entry(503, "There is nothing that the catalogue could be rebuilt from"),
    "rebuild-unfinished": Entry(500, "The rebuild of the catalogue did not come to its end"),
    "catalogue-newer": Entry(500, "The catalogue is of a newer program"),
    "no-credential": Entry(500, "A credential was not handed over"),
    "catalogue-gone": Entry(503, "The catalogue's file was deleted or replaced"),
    "catalogue-in-use": Entry(503, "Another process works with the catalogue"),
    "catalogue-unreachable": Entry(503, "The catalogue does not answer"),
    "ledger-damaged": Entry(500, "The ledger is damaged"),
    "not-canonical": Entry(400, "This has no canonical JSON"),
    "not-for-postgresql": Entry(409, "Only a catalogue in SQLite can do this"),
}
"""Every code that an answer can carry."""

FAMILIES: Final[Mapping[str, Entry]] = {
    "gzip-": Entry(400, "The gzip file cannot be taken in"),
    "name-": Entry(400, "A name in the archive cannot be taken in"),
    "tar-": Entry(400, "The tar file cannot be taken in"),
    "zip-": Entry(400, "The zip file cannot be taken in"),
}
"""Codes by their beginning: what can be wrong with an archive is documented with the formats."""

TOO_LARGE_FAULTS: Final = frozenset(
    {"archive-too-large", "member-too-large", "package-too-large", "too-many-members", "too-many-names"}
)
"""A refusal of which one of these is a reason answers 413, whatever else was wrong."""


def entry_of(error: VaultError) -> Entry:
    """The table's entry for an error: by its code, or else by its class."""
    by_code = PROBLEMS.get(error.code)
    if by_code is not None and by_code.status != 413 and isinstance(error, Invalid):
        for fault in error.faults:
            if fault.code in TOO_LARGE_FAULTS:
                return Entry(413, by_code.title)
    if by_code is not None:
        return by_code
    family = next((entry for start, entry in FAMILIES.items() if error.code.startswith(start)), None)
    if family is not None and isinstance(error, Invalid):
        return family
    return next(BY_CLASS[kind] for kind in type(error).__mro__ if kind in BY_CLASS)


def document_of(error: VaultError, instance: str = "") -> dict[str, object]:
    """The problem document of an error. Nothing in it tells how the program is made."""
    entry = entry_of(error)
    faults = error.faults if isinstance(error, Invalid) else ()
    return {
        "type": TYPE_PREFIX + error.code,
        "title": entry.title,
        "status": entry.status,
        "detail": error.message[:LARGEST_MESSAGE],
        "code": error.code,
        "remedy": error.remedy,
        "faults": [_fault(fault) for fault in faults[:MOST_FAULTS]],
        "instance": instance,
    }


def _fault(fault: Fault) -> dict[str, str]:
    return {"code": fault.code, "message": fault.message[:LARGEST_MESSAGE], "path": fault.path[:LARGEST_MESSAGE]}


def problem_response(error: VaultError, instance: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """The answer that tells of an error. What may go away by itself says when to try again."""
    document = document_of(error, instance)
    status = entry_of(error).status
    extra = dict(headers or {})
    if status == 503:
        extra.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    if isinstance(error, Throttled):
        extra.setdefault("Retry-After", str(error.retry_after))
    if error.code == "wrong-scope":
        extra.setdefault("WWW-Authenticate", 'Bearer realm="khoso", error="insufficient_scope"')
    if error.code == "unsupported-tus-version":
        extra.setdefault("Tus-Version", "1.0.0")
    if status == 401:
        challenge = 'Bearer realm="khoso"' + (', error="invalid_token"' if error.code == "bad-credentials" else "")
        extra.setdefault("WWW-Authenticate", challenge)
    # Unpaired surrogates, as a file's name may have them, have no UTF-8; JSON can escape them.
    try:
        body = json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        body = json.dumps(document).encode()
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=extra)


def without_places(error: VaultError, places: Mapping[str, str]) -> VaultError:
    """The same error, with folders of this machine called as ``places`` has it (longest first)."""
    cleaned = copy.copy(error)
    for folder in sorted(places, key=len, reverse=True):
        cleaned.message = cleaned.message.replace(folder, places[folder])
        cleaned.remedy = cleaned.remedy.replace(folder, places[folder])
        if isinstance(cleaned, Invalid):
            cleaned.faults = tuple(
                replace(fault, message=fault.message.replace(folder, places[folder])) for fault in cleaned.faults
            )
    return cleaned


def bad_request(code: str, message: str, remedy: str = "", path: str = "") -> Invalid:
    """An Invalid with one fault, for what is wrong with a request."""
    return Invalid(message, faults=[Fault(code, message, path)], remedy=remedy, code=code)


def unforeseen() -> VaultError:
    """What a client is told of a fault of ours: that it was one, and nothing more."""
    return VaultError(
        "The node met a fault of its own that was not foreseen.",
        remedy="Try again; if it stays so, look in the log (journalctl -u vaultd) for the instance of this answer.",
    )

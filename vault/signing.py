"""The node's key, and the signature that receipts and ledger checkpoints carry.

A signed document is JSON with a member ``signature``; signed is the RFC 8785 canonical form of the document without
that member. Anyone with the public key and an Ed25519 implementation (RFC 8032) can check it, now or in thirty
years, without this program.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from vault.credentials import is_credential, missing
from vault.durable import StrPath, describe_os_error, write_durably
from vault.errors import ConfigError, Conflict, Fault, Invalid
from vault.model import Json

ALGORITHM = "Ed25519"
_LARGEST_KEY_FILE = 16 * 1024


def canonical_json(value: Mapping[str, Json] | Json) -> bytes:
    """Return the RFC 8785 canonical form of ``value``, UTF-8 encoded.

    Raises :class:`Invalid` (code ``not-canonical``) for what that form cannot say without loss: integers beyond
    2^53 - 1 in size, NaN and infinities, unpaired surrogates, members whose names are not text, other types than
    JSON's, and nesting without end.
    """
    try:
        return rfc8785.dumps(dict(value) if isinstance(value, Mapping) else value)
    except (ValueError, TypeError, RecursionError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Invalid(
            f"This cannot be written as canonical JSON (RFC 8785): {what}.",
            faults=[Fault("not-canonical", what)],
            remedy="Send integers beyond 2^53 and other exact numbers as text, and only well-formed UTF-8.",
            code="not-canonical",
        ) from error


def key_id_of(public_key: bytes) -> str:
    """Return the short name of a raw public key: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class NodeKey:
    """The node's Ed25519 key pair. Make one with :meth:`load_or_create`."""

    _private: Ed25519PrivateKey

    @classmethod
    def load_or_create(cls, path: StrPath) -> NodeKey:
        """Load the key at ``path`` (PKCS #8 in PEM, not encrypted), or create it there with mode 0600. A credential of
        the service manager's is only loaded.

        Raises :class:`ConfigError` when the file is readable or writable by others, belongs to someone else, is a
        link, or holds no such key; :class:`~vault.errors.Full`, :class:`~vault.errors.Unreachable` or
        :class:`~vault.errors.NotFound` (no such folder) as the file system has it.
        """
        pem = _read_key_file(path)
        if pem is None and is_credential(Path(path)):
            raise missing(Path(path), "no such file")
        if pem is None:
            created = Ed25519PrivateKey.generate()
            pem = created.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            try:
                write_durably(path, pem, 0o600, replace=False)
            except Conflict:
                # Another process of this node came first; there is one key, and it is that one.
                pem = _read_key_file(path) or pem
        return cls(_parse_key(pem, path))

    @property
    def public_key(self) -> bytes:
        """The raw public key, 32 bytes (RFC 8032, section 5.1.5)."""
        return self._private.public_key().public_bytes_raw()

    @property
    def key_id(self) -> str:
        """The short name of the key; see :func:`key_id_of`."""
        return key_id_of(self.public_key)

    def sign_document(self, document: Mapping[str, Json]) -> dict[str, Json]:
        """Return ``document`` with a member ``signature`` by this key; one that it had is replaced.

        Raises :class:`Invalid` (code ``not-canonical``) as :func:`canonical_json` does.
        """
        unsigned = {name: value for name, value in document.items() if name != "signature"}
        value = self._private.sign(canonical_json(unsigned))
        signature: dict[str, Json] = {
            "algorithm": ALGORITHM,
            "key_id": self.key_id,
            "public_key": base64.b64encode(self.public_key).decode(),
            "value": base64.b64encode(value).decode(),
        }
        return {**unsigned, "signature": signature}


def _read_key_file(path: StrPath) -> bytes | None:
    shown = os.fspath(path)
    remedy = f"Look at it; it should be a plain file of the service's user with mode 0600 (chmod 600 {shown})."
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if os.path.islink(path):
            raise ConfigError(f"The node's key {shown} is a link.", remedy=remedy) from error
        # systemd keeps the folder from a service to which it handed nothing: no other start would find more there.
        if is_credential(Path(path)):
            raise missing(Path(path), error.strerror or "it cannot be read") from error
        raise describe_os_error(error, f"reading the node's key {shown}") from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ConfigError(f"The node's key {shown} is not a plain file.", remedy=remedy)
        # The mask of an ACL shows as the group's rights: so systemd lets the one service read what belongs to root.
        if facts.st_mode & (0o037 if is_credential(Path(path)) else 0o077):
            mode = stat.S_IMODE(facts.st_mode)
            raise ConfigError(f"The node's key {shown} is open to others (mode {mode:04o}).", remedy=remedy)
        if facts.st_uid not in _owners(path):
            raise ConfigError(f"The node's key {shown} belongs to user {facts.st_uid}.", remedy=remedy)
        return os.read(descriptor, _LARGEST_KEY_FILE)
    except OSError as error:
        raise describe_os_error(error, f"reading the node's key {shown}") from error
    finally:
        os.close(descriptor)


def _owners(path: StrPath) -> set[int]:
    """Whose key one may use: one's own and root's; and root, who looks after the node, that of the service, in whose
    folder it lies."""
    owners = {os.geteuid(), 0}
    if os.geteuid() == 0:
        owners.add(os.stat(os.path.dirname(os.path.abspath(path))).st_uid)
    return owners


def _parse_key(pem: bytes, path: StrPath) -> Ed25519PrivateKey:
    remedy = "Restore the file from a backup; receipts that were signed with it are checked by its public key."
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"The node's key {os.fspath(path)} cannot be read: {error}.", remedy=remedy) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"The node's key {os.fspath(path)} is not an Ed25519 key.", remedy=remedy)
    return key


@dataclass(frozen=True, slots=True)
class SignatureReport:
    """What :func:`verify_document` found.

    ``ok`` says that the document is whole and, where trusted keys were given, signed by one of them; otherwise
    ``code`` and ``reason`` say what is wrong. ``public_key`` is the raw key that the document names, b"" where it
    names none.
    """

    ok: bool
    code: str
    reason: str
    key_id: str
    public_key: bytes


def verify_document(document: object, trusted: Iterable[bytes | str] | None = None) -> SignatureReport:
    """Check the signature of a document that anyone may have made up. Never raises because of what it holds.

    ``trusted`` holds public keys, raw or in base64. Without it, ``ok`` only says that whoever holds the key named
    in the document has signed it, and not that this is somebody to be believed.
    """
    try:
        public_key = _check(document, trusted)
    except _Wrong as wrong:
        key_id = key_id_of(wrong.public_key) if wrong.public_key else ""
        return SignatureReport(False, wrong.code, wrong.reason, key_id, wrong.public_key)
    return SignatureReport(ok=True, code="", reason="", key_id=key_id_of(public_key), public_key=public_key)


class _Wrong(Exception):
    def __init__(self, code: str, reason: str, public_key: bytes = b"") -> None:
        super().__init__(reason)
        self.code, self.reason, self.public_key = code, reason, public_key


def _check(document: object, trusted: Iterable[bytes | str] | None) -> bytes:
    if not isinstance(document, Mapping):
        raise _Wrong("not-a-document", "It is not a JSON object.")
    signature = document.get("signature")
    if not isinstance(signature, Mapping):
        raise _Wrong("not-signed", "It has no signature.")
    if signature.get("algorithm") != ALGORITHM:
        raise _Wrong("unknown-algorithm", "Its signature is of another algorithm than Ed25519.")
    public_key, value = _decode(signature.get("public_key"), 32), _decode(signature.get("value"), 64)
    if public_key is None:
        raise _Wrong("bad-signature", "The signature's public_key is not 32 bytes in base64.")
    if value is None:
        raise _Wrong("bad-signature", "The signature's value is not 64 bytes in base64.", public_key)
    if signature.get("key_id") != key_id_of(public_key):
        raise _Wrong("bad-signature", "The signature's key_id is not that of its public_key.", public_key)
    try:
        signed = canonical_json({name: member for name, member in document.items() if name != "signature"})
        Ed25519PublicKey.from_public_bytes(public_key).verify(value, signed)
    except Invalid as error:
        raise _Wrong("not-canonical", error.message, public_key) from error
    except (InvalidSignature, ValueError) as error:
        raise _Wrong("bad-signature", "The signature does not fit: the document was changed.", public_key) from error
    if trusted is not None and not any(_same_key(key, public_key) for key in trusted):
        raise _Wrong("unknown-key", f"It is signed by key {key_id_of(public_key)}, which is not trusted.", public_key)
    return public_key


def _same_key(trusted: bytes | str, public_key: bytes) -> bool:
    raw = _decode(trusted, 32) if isinstance(trusted, str) else trusted
    return raw is not None and hmac.compare_digest(raw, public_key)


def _decode(text: object, length: int) -> bytes | None:
    """Decode strict base64: one text for one value, so that a signature cannot be written in two ways."""
    if not isinstance(text, str) or len(text) > 128:
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == length and base64.b64encode(raw).decode() == text else None

"""Public keys that a signature is compared with."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from vault.config import Settings
from vault.credentials import is_credential
from vault.durable import describe_os_error
from vault.errors import Invalid, VaultError
from vault.i18n import _
from vault.signing import NodeKey

_LARGEST = 64 * 1024


def read_keys(given: Iterable[str]) -> list[bytes]:
    """Public keys as people have them: 32 bytes in base64, or a file with that or a PEM. Raises Invalid, NotFound."""
    return [_read_key(text) for text in given]


def _read_key(text: str) -> bytes:
    raw = _decode(text)
    if raw is not None:
        return raw
    try:
        with open(text, "rb") as file:
            data = file.read(_LARGEST)
    except OSError as error:
        raise describe_os_error(error, f"reading the public key {text}") from error
    raw = _from_pem(data) if data.lstrip().startswith(b"-----BEGIN") else _decode(data.decode("ascii", "replace"))
    if raw is None:
        raise Invalid(
            f"{text} holds no Ed25519 public key.",
            remedy=_("Give the 32 bytes in base64 (public_key of a receipt that you trust), or a PEM file."),
            code="bad-key",
        )
    return raw


def _decode(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == 32 else None


def _from_pem(data: bytes) -> bytes | None:
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else None


def node_key_of(settings: Settings) -> list[bytes]:
    """This node's own public key, where its file can be read by whoever asks; else nothing. None is ever made."""
    path = settings.node.key_file
    if not os.access(path, os.R_OK):
        return []
    try:
        return [NodeKey.load_or_create(path).public_key]
    except VaultError:
        return []


def own_key(settings: Settings) -> NodeKey:
    """The node's key, to sign with; one is made where there is none, for the service's user. Raises ConfigError."""
    path = settings.node.key_file
    key = NodeKey.load_or_create(path)
    if os.geteuid() == 0 and not is_credential(path):
        try:
            owner, facts = settings.node.state.stat(), path.stat()
            if (facts.st_uid, facts.st_gid) != (owner.st_uid, owner.st_gid):
                os.chown(path, owner.st_uid, owner.st_gid)
        except OSError as error:
            raise describe_os_error(error, f"giving {path} to the service's user") from error
    return key

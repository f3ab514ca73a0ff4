"""TLS for the node's door: certificate, key and client authority from files, and when they change or end.

TLS 1.2 with forward secrecy and authenticated encryption, or TLS 1.3 (RFC 8446, RFC 9325). Knows no HTTP.
"""

from __future__ import annotations

import os
import ssl
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.x509.oid import NameOID

from vault.errors import ConfigError

ClientAuth = Literal["none", "optional", "required"]

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL"
"""Of TLS 1.2; those of TLS 1.3 are all sound."""

_VERIFY: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What people need to know of a certificate."""

    subject: str
    not_before: datetime
    not_after: datetime

    @staticmethod
    def read(path: Path) -> Certificate:
        """Read the first certificate of a PEM file. Raises ConfigError."""
        try:
            found = x509.load_pem_x509_certificates(path.read_bytes())[0]
        except OSError as error:
            raise _unreadable("certificate", path, error.strerror or str(error)) from error
        except ValueError as error:
            raise _unreadable("certificate", path, "it holds no certificate in PEM form") from error
        names = [str(name.value) for name in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        subject = names[0] if names else found.subject.rfc4514_string()
        return Certificate(subject, found.not_valid_before_utc, found.not_valid_after_utc)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where certificate (with its chain), key, and the authority of clients lie, and whether clients must show one."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_auth: ClientAuth = "none"

    def context(self) -> ssl.SSLContext:
        """Read the files and make of them what a server needs. Raises ConfigError, which says what is wrong."""
        Certificate.read(self.certificate)
        try:
            mode = os.stat(self.key).st_mode
        except OSError as error:
            raise _unreadable("key", self.key, error.strerror or str(error)) from error
        if stat.S_IMODE(mode) & 0o007:
            raise ConfigError(
                f"The TLS key {self.key} can be read by everyone on this machine.",
                remedy=f"chmod 640 {self.key}, with the service's group as its group.",
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            why = "the key is not that of the certificate, is no PEM, or has a passphrase"
            raise _unreadable("key", self.key, why) from error
        context.verify_mode = _VERIFY[self.client_auth]
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except (ssl.SSLError, OSError) as error:
                raise _unreadable("client_ca", self.client_ca, "it holds no certificates in PEM form") from error
        return context

    def marks(self) -> tuple[object, ...]:
        """What changes when a file is replaced or written; never raises."""
        found: list[object] = []
        for path in (self.certificate, self.key, self.client_ca):
            try:
                facts = os.stat(path) if path is not None else None
            except OSError:
                facts = None
            found.append(None if facts is None else (facts.st_ino, facts.st_dev, facts.st_size, facts.st_mtime_ns))
        return tuple(found)


def _no_password() -> str:
    """OpenSSL would ask on the terminal for the passphrase of a key; a daemon has nobody to ask."""
    raise ValueError("the key has a passphrase")


def _unreadable(what: str, path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"The TLS {what} {path} cannot be used: {why}.",
        remedy=f"Look at [api.tls] {what}: a PEM file that the service's user may read.",
    )

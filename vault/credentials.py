"""Secrets that the service manager hands to the daemon: systemd's credentials (systemd.exec(5), LoadCredential=).

In the configuration ``"credential:NAME"`` stands where the path of a secret would, or for the URL of the catalogue. It
is the file NAME in ``$CREDENTIALS_DIRECTORY``; whoever is not a service of systemd's (``vaultctl``, as root) looks
where it keeps those of vaultd while that runs.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from vault.errors import ConfigError

SCHEME: Final = "credential:"
VARIABLE: Final = "CREDENTIALS_DIRECTORY"
OF_THE_SERVICE: Final = Path("/run/credentials/vaultd.service")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
_LARGEST: Final = 64 * 1024


def is_reference(text: str) -> bool:
    """Whether a setting names a credential and not a file. Its name may still be none."""
    return text.startswith(SCHEME)


def path_of(reference: str) -> Path:
    """The file of ``credential:NAME``, whether it is there or not. Raises ValueError for what is no name (the rules are
    stricter than systemd's: no leading dot, no blanks)."""
    name = reference.removeprefix(SCHEME)
    if not _NAME.fullmatch(name):
        raise ValueError("it is no name of a credential")
    return _folder() / name


def is_credential(path: Path) -> bool:
    """Whether the file is one that the service manager gave: read-only, in memory, and for this service alone."""
    return path.parent in {_folder(), OF_THE_SERVICE}


def read(reference: str) -> str:
    """The text of ``credential:NAME``, without blanks around it. Raises ConfigError (``no-credential``) where it is not
    there, cannot be read, or is no text."""
    path = path_of(reference)
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise missing(path, why or "it cannot be read") from error


def missing(path: Path, why: str) -> ConfigError:
    """What is said where a credential is not to be had."""
    return ConfigError(
        f"The credential {path.name} is not there ({path}: {why}).",
        remedy=f"systemd gives it to vaultd while that runs, where the unit says LoadCredential={path.name}:/PATH or"
        " LoadCredentialEncrypted=; for a program beside it: docs/howto/credentials.md.",
        code="no-credential",
    )


def _folder() -> Path:
    given = os.environ.get(VARIABLE, "")
    return Path(given) if given else OF_THE_SERVICE

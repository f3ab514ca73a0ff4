"""``vault-volume.json``: which volume this is, whoever mounts it wherever."""

from __future__ import annotations

import json
from uuid import UUID

from vault.clock import from_text, to_text
from vault.errors import WrongVolume
from vault.volumes.base import VolumeIdentity

IDENTITY_FILE = "vault-volume.json"
IDENTITY_LIMIT = 64 * 1024
FORMAT = "khoso-volume/1"


def identity_bytes(identity: VolumeIdentity) -> bytes:
    """The file's content, with a sentence for whoever finds the disk in thirty years."""
    document = {
        "format": FORMAT,
        "uuid": str(identity.uuid),
        "name": identity.name,
        "domain": identity.domain,
        "site": identity.site,
        "node": identity.node,
        "created": to_text(identity.created_at),
        "about": "A volume of a digital archive. ocfl/ is an OCFL 1.1 storage root (https://ocfl.io/1.1/spec/), which"
        " can be read without any program of ours. Do not change or remove anything here by hand.",
    }
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()


def parse_identity(data: bytes, where: str) -> VolumeIdentity:
    """Read the file's content; :class:`~vault.errors.WrongVolume` when it is not one of ours."""
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise WrongVolume(
                f"{where}/{IDENTITY_FILE} has the format {document['format']!r}, which this program does not know.",
                remedy="Was the volume written by a newer version? Upgrade this node, or mount the right volume.",
            )
        return VolumeIdentity(
            uuid=UUID(document["uuid"]),
            name=str(document["name"]),
            domain=str(document["domain"]),
            site=str(document["site"]),
            node=str(document["node"]),
            created_at=from_text(document["created"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WrongVolume(
            f"{where}/{IDENTITY_FILE} cannot be read as a volume's identity ({type(error).__name__}).",
            remedy="Restore that file from a backup of the volume; nothing is written there until it is right again.",
        ) from error

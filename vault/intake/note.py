"""What the node itself says of a deposit: the note beside its files, the digest that names its content, and what its
validation came to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from vault.formats.bagit import BagReport
from vault.intake.describe import note_of
from vault.intake.unpack import RESERVED, StoredFile
from vault.model import Descriptive, DigestAlgorithm, Json
from vault.signing import canonical_json
from vault.volumes import directory_check

FORMAT: Final = "khoso-deposit/1"


def content_digest_of(files: Mapping[str, StoredFile], algorithm: DigestAlgorithm) -> str:
    """The digest that names a content whatever its packing: over the sorted logical paths with their digests."""
    listed: list[Json] = [[logical, files[logical].digest] for logical in sorted(files) if logical != RESERVED]
    return directory_check.digest_of(canonical_json(listed), algorithm)


def validation_of(report: BagReport, not_taken_over: Sequence[str]) -> dict[str, Json]:
    """What the ledger is told of a bag's validation, with what of its metadata could not be taken over."""
    warnings = [*not_taken_over, *(f"{w.path}: {w.message}" if w.path else w.message for w in report.warnings)]
    return {
        "bagit": report.version,
        "encoding": report.encoding,
        "payload_files": report.payload_files,
        "payload_bytes": report.payload_bytes,
        "manifests": list(report.payload_algorithms),
        "tag_manifests": list(report.tag_algorithms),
        "warnings": list(warnings[:20]),
        "warnings_count": len(warnings) + report.more_warnings,
    }


def deposit_note(facts: Mapping[str, Json], said: Descriptive, metadata: Mapping[str, Json]) -> bytes:
    """The bytes of the note: facts of the deposit, then what was said of the package."""
    note: dict[str, Json] = {"format": FORMAT, **facts, **note_of(said), "metadata": dict(metadata)}
    return (json.dumps(note, ensure_ascii=False, indent=2) + "\n").encode()

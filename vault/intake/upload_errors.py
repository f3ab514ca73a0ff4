"""What is said of an upload that cannot be taken as it is sent."""

from __future__ import annotations

from vault.errors import Fault, Invalid


def too_long(limit: int) -> Invalid:
    """More than ``limit`` bytes came."""
    message = f"more bytes came than there shall be ({limit})"
    return Invalid(
        f"The upload was refused: {message}; nothing of this request was kept.",
        faults=[Fault("upload-too-long", message)],
        remedy="The file may have grown since the upload was created: begin a new upload for what it is now.",
        code="upload-too-long",
    )


def mismatch(algorithm: str) -> Invalid:
    """The bytes are not those of ``Upload-Checksum``."""
    message = f"the {algorithm} of the request's body is not what Upload-Checksum says"
    return Invalid(
        f"Nothing of this request was kept: {message}.",
        faults=[Fault("checksum-mismatch", message, "Upload-Checksum")],
        remedy="It was altered on its way. Send the same bytes again from the same offset.",
        code="checksum-mismatch",
    )


def bad_length(why: str) -> Invalid:
    """``Upload-Length`` contradicts what is known."""
    return Invalid(
        f"Upload-Length cannot be right: {why}.",
        faults=[Fault("bad-upload-length", why, "Upload-Length")],
        remedy="Send it once, with the number of bytes of the whole.",
        code="bad-upload-length",
    )

"""``vaultctl get``: from the node, or straight from a volume when there is no daemon."""

from __future__ import annotations

import enum
import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Annotated, Protocol

import typer

from vault.cli.options import IdentifierArgument, VersionOption, read_identifier, read_version
from vault.cli.session import Session, session_of
from vault.cli.target import Partial, Target
from vault.cli.waiting import transfer
from vault.client import Client, Download
from vault.errors import Corrupted, Interrupted, NotFound, Refused, Unreachable
from vault.formats.archive import ArchiveLimits, MemberKind
from vault.formats.tar import read_tar
from vault.formats.zip import read_zip
from vault.i18n import _

_CHUNK = 1024 * 1024
_ATTEMPTS = 5
_PAUSE = 0.5
_LONGEST_PAUSE = 10.0


class Fetch(Protocol):
    """Asks the node for what follows the first ``start`` bytes of what ``tag`` names."""

    def __call__(self, *, start: int, tag: str) -> AbstractContextManager[Download]:
        """See :meth:`vault.client.Client.content`."""


class Archive(enum.StrEnum):
    """How a whole package is packed."""

    TAR = "tar"
    ZIP = "zip"


def get(
    context: typer.Context,
    identifier: IdentifierArgument,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help=_("The file to write, or a folder to write it into."))
    ],
    version: VersionOption = "",
    file: Annotated[str, typer.Option("--file", metavar="PATH", help=_("Only this file of the package."))] = "",
    archive: Annotated[
        Archive | None,
        typer.Option("--format", help=_("All its files as tar or zip; else tar, or the one file there is.")),
    ] = None,
    from_volume: Annotated[
        str, typer.Option("--from-volume", metavar="NAME", help=_("Read the volume's folder itself; needs no daemon."))
    ] = "",
    force: Annotated[bool, typer.Option("--force", help=_("Replace a file that is there."))] = False,
) -> None:
    """Fetch a package or a file of it."""
    session = session_of(context)
    wanted, number = read_identifier(identifier), read_version(version)
    if file and archive is not None:
        raise typer.BadParameter(_("Give --file or --format, not both."))
    if from_volume:
        if archive is Archive.ZIP:
            raise typer.BadParameter(_("From a volume a package comes as a tar."))
        written = _from_volume(session, wanted, number, file, Target(output, force=force), from_volume, archive)
    else:
        written = _from_node(session, wanted, number, file, Target(output, force=force), archive)
    session.err.print(_("{path} is written, and every digest was right.").format(path=written), soft_wrap=True)


def _from_node(
    session: Session, identifier: str, number: int | None, file: str, target: Target, archive: Archive | None
) -> str:
    with session.client() as client:
        if number is None:
            # The newest, and the same one in every question that follows.
            number = client.package(identifier).head
        if not file:
            file, archive = _choose(client, identifier, number, target, archive)
        packed = archive or Archive.TAR
        target.suggest(_file_name(file) if file else f"{_file_name(identifier)}-v{number}.{packed}")
        fetch = partial(client.content, identifier, version=number, file=file, archive="" if file else str(packed))
        with target.resumed() as part:
            was_begun = part.size > 0
            while True:
                download, was_resumed = _fetch(session, part, fetch)
                try:
                    if not file:
                        _check_archive(client, identifier, number, target, packed)
                    elif was_resumed or not download.digests:
                        listed = {path: (name, digest) for path, name, digest in client.files(identifier, number)}
                        _check_file(target, listed.get(file))
                    break
                except Corrupted:
                    if not (was_begun or was_resumed):
                        raise
                # What came before the break was wrong, or is of another time: all of it once more.
                was_begun = False
                part.begin(0, "")
        return target.path


def _fetch(session: Session, part: Partial, fetch: Fetch) -> tuple[Download, bool]:
    """Fetch what is missing, going on after a break; whether anything was gone on with. Raises what the node answers,
    and Interrupted or Unreachable when it broke off again and again without giving any more."""
    failures, begun, resumed = 0, False, False
    while True:
        before = part.size
        try:
            with fetch(start=part.size, tag=part.tag) as download:
                part.begin(download.start, download.tag)
                before, begun, resumed = part.size, True, resumed or download.start > 0
                with transfer(session.err, _("Fetching"), download.size, download.start) as progress:
                    for chunk in download.chunks(progress):
                        part.write(chunk)
            return download, resumed
        except Refused as error:
            if error.code != "range-not-satisfiable" or not part.size:
                raise
            part.begin(0, "")
        except (Interrupted, Unreachable) as error:
            failures = 0 if part.size > before else failures + 1
            if not begun or failures >= _ATTEMPTS:
                raise type(error)(
                    error.message,
                    remedy=_("What came so far stays as {path}: type the same again to go on.").format(path=part.path)
                    if part.size
                    else error.remedy,
                    code=error.code,
                ) from error
            time.sleep(min(_LONGEST_PAUSE, _PAUSE * 2**failures))


def _choose(
    client: Client, identifier: str, number: int, target: Target, archive: Archive | None
) -> tuple[str, Archive | None]:
    """What is meant when no file was named: the one that a single file is, or everything."""
    if archive is not None:
        return "", archive
    package = client.package(identifier)
    version = next((one for one in package.versions if one.version == number), None)
    if version is not None and version.kind == "file":
        return next(path for path, _algorithm, _digest in client.files(identifier, number)), None
    return "", Archive.ZIP if target.path.lower().endswith(".zip") else Archive.TAR


def _from_volume(
    session: Session,
    identifier: str,
    number: int | None,
    file: str,
    target: Target,
    volume: str,
    archive: Archive | None,
) -> str:
    from vault.cli.offline import find_version, open_volume

    found = find_version(open_volume(session.settings, volume), identifier, number)
    if not file and archive is None and len(found.files) == 1:
        file = next(iter(found.files))
    if file and file not in found.files:
        raise NotFound(
            f"{identifier} v{found.number} has no file {file!r}.",
            remedy=_("Fetch it without --file: the tar shows what it holds."),
            code="no-such-file",
        )
    target.suggest(_file_name(file) if file else f"{_file_name(identifier)}-v{found.number}.tar")
    total = sum(found.size(path) for path in ([file] if file else found.files))
    with target.opened() as out, transfer(session.err, _("Fetching"), total) as progress:
        if file:
            for chunk in found.chunks(file, progress):
                out.write(chunk)
        else:
            found.write_tar(out.write, progress)
    return target.path


def _file_name(text: str) -> str:
    """The last part of a path or an identifier, as a file may be called here."""
    name = text.rstrip("/").rpartition("/")[2].replace("\0", "_")
    return name if name not in ("", ".", "..") else "package"


def _check_file(target: Target, expected: tuple[str, str] | None) -> None:
    if expected is None:
        raise Corrupted("The node sent a file that its list does not have.", code="digest-mismatch")
    with target.reopened() as written:
        _compare(lambda: written.read(_CHUNK), "", *expected)


def _check_archive(client: Client, identifier: str, number: int, target: Target, packed: Archive) -> None:
    """Read the archive back and compare every member with the package's list of files. Raises Corrupted, Invalid."""
    expected = {path: (name, digest) for path, name, digest in client.files(identifier, number)}
    limits = ArchiveLimits(max_members=10_000_000)
    with target.reopened() as written:
        members = read_tar(written, limits) if packed is Archive.TAR else read_zip(written, limits)
        for member in members:
            if member.kind is MemberKind.FILE:
                chunks = member.chunks(_CHUNK)
                found = expected.pop(member.name, None)
                if found is None:
                    raise _wrong(f"{member.name} is not in the package's list")
                _compare(lambda chunks=chunks: next(chunks, b""), member.name, *found)  # type: ignore[misc]
    if expected:
        raise _wrong(f"{len(expected)} files are missing, {min(expected)} among them")


def _compare(read: Callable[[], bytes], path: str, algorithm: str, digest: str) -> None:
    found = hashlib.new(algorithm)
    while chunk := read():
        found.update(chunk)
    if found.hexdigest() != digest:
        raise _wrong(f"{path or 'the file'} has the {algorithm} {found.hexdigest()}, not {digest}")


def _wrong(what: str) -> Corrupted:
    return Corrupted(
        f"What was fetched is not what the node has: {what}.",
        remedy=_("Nothing was kept of it; fetch it again, and verify the package (vaultctl verify --identifier)."),
        code="digest-mismatch",
    )

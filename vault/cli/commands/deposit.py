"""``vaultctl deposit``."""

from __future__ import annotations

import enum
import os
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import typer

from vault import wire
from vault.cli.commands.receipt import receipt_bytes
from vault.cli.options import JsonOption, WaitLimitOption, read_duration, read_identifier, read_version
from vault.cli.output import print_json
from vault.cli.remedies import for_the_command_line
from vault.cli.session import Session, session_of
from vault.cli.waiting import transfer, wait_for
from vault.client import Client, Deposited, DepositStatus, FileBody, FolderBody, FolderMemory, Progress
from vault.client.folder import list_folder
from vault.client.problems import error_from_problem
from vault.durable import describe_os_error, write_durably
from vault.errors import Corrupted, Invalid, NotFound, VaultError
from vault.i18n import _, n_
from vault.model import Descriptive, IngestState, Json

_ASKED_TO_WAIT = 30
_RESUMABLE_FROM_BYTES = 64 * 1024 * 1024


class Wait(enum.StrEnum):
    """How long a deposit is waited for."""

    RECEIPT = "receipt"
    POLICY = "policy"
    NONE = "none"


class Resume(enum.StrEnum):
    """Whether a deposit is sent so that it can be taken up again."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Kind(enum.StrEnum):
    """What a file is to be taken for."""

    AUTO = "auto"
    BAG = "bag"
    FILE = "file"


def deposit(
    context: typer.Context,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help=_("A file, a bag (tar, tar.gz, zip or folder), or any folder."))
    ],
    identifier: Annotated[str, typer.Option("--identifier", metavar="ID", help=_("What the package is to be called."))],
    fonds: Annotated[str, typer.Option("--fonds", help=_("The fonds that it belongs to."))] = "",
    agency: Annotated[str, typer.Option("--agency", help=_("The code of the agency that it comes from."))] = "",
    agency_name: Annotated[str, typer.Option("--agency-name", help=_("The name of that agency."))] = "",
    batch: Annotated[str, typer.Option("--batch", help=_("The open delivery that it is part of, by its id."))] = "",
    title: Annotated[str, typer.Option("--title", help=_("Its title, for people."))] = "",
    file_code: Annotated[str, typer.Option("--file-code", help=_("Its file code."))] = "",
    date_from: Annotated[
        str,
        typer.Option("--date-from", metavar="DATE", help=_("Date of its first document: 2019, 2019-05, 2019-05-31.")),
    ] = "",
    date_to: Annotated[str, typer.Option("--date-to", metavar="DATE", help=_("Date of its last document."))] = "",
    retention: Annotated[str, typer.Option("--retention", help=_("Its retention period."))] = "",
    access: Annotated[str, typer.Option("--access", help=_("Its access level."))] = "",
    priority_class: Annotated[str, typer.Option("--class", metavar="CLASS", help=_("Its class, for policies."))] = "",
    metadata: Annotated[
        list[str],
        typer.Option(
            "--metadata", metavar="NAME=VALUE", help=_("What else is to be kept with it. Several are possible.")
        ),
    ] = [],  # noqa: B006 - typer copies it
    filename: Annotated[str, typer.Option("--filename", help=_("What the file is to be called; else as it is."))] = "",
    kind: Annotated[
        Kind, typer.Option("--kind", help=_("file keeps even an archive as the file that it is."))
    ] = Kind.AUTO,
    follows: Annotated[
        str,
        typer.Option("--follows", metavar="vN", help=_("It is the version after this one; else the package is new.")),
    ] = "",
    wait: Annotated[
        Wait, typer.Option("--wait", help=_("Wait for the receipt, until the policy holds, or not at all."))
    ] = Wait.RECEIPT,
    resume: Annotated[
        Resume,
        typer.Option("--resume", help=_("Send it so that it can go on where it was cut off; auto: from 64 MiB on.")),
    ] = Resume.AUTO,
    timeout: WaitLimitOption = "",
    receipt: Annotated[
        str, typer.Option("--receipt", metavar="FILE", help=_("Write the signed receipt into this file."))
    ] = "",
    json: JsonOption = False,
) -> None:
    """Deposit one package."""
    session = session_of(context)
    wanted = read_identifier(identifier, "--identifier")
    limit = read_duration(timeout)
    if receipt and wait is Wait.NONE:
        raise typer.BadParameter(
            _("There is no receipt without waiting for it: --receipt needs --wait receipt or policy.")
        )
    if receipt:
        check_place(receipt)
    said = Descriptive(
        fonds, agency, batch, title, retention, access, priority_class or Descriptive().priority_class,
        agency_name, file_code, date_from, date_to,
    )  # fmt: skip
    more = _pairs(metadata)
    after = read_version(follows, "--follows")
    body = prepare(session, path, wanted, filename, kind)
    with session.client() as client:
        with transfer(session.err, _("Sending"), body.size) as progress:
            answer = _send(client, wanted, body, resume, kind, said, after, more, wait, progress)
        result = follow(client, wanted, answer, wait, limit)
    check_receipt(body, result)
    if receipt and result.receipt is not None:
        write_receipt(receipt, result)
    if json:
        print_json(result.as_json())
    else:
        session.out.print(_sentence(result), soft_wrap=True)
    if result.status is DepositStatus.KNOWN and (more or said != Descriptive()):
        text = _("What was said of it this time (title, --metadata, …) was not recorded: nothing new was stored.")
        session.err.print(text, soft_wrap=True)


def _send(
    client: Client,
    identifier: str,
    body: FileBody | FolderBody,
    resume: Resume,
    kind: Kind,
    said: Descriptive,
    follows: int | None,
    metadata: Mapping[str, str],
    wait: Wait,
    progress: Progress,
) -> Deposited:
    """In one request, or by tus where a break would cost much; a later run then goes on where this one was stopped."""
    taken_for = Kind.BAG if isinstance(body, FolderBody) else kind
    if resume is Resume.ALWAYS or (resume is Resume.AUTO and body.size >= _RESUMABLE_FROM_BYTES):
        return client.upload(
            identifier,
            body,
            kind=taken_for,
            descriptive=said,
            follows=follows,
            metadata=metadata,
            progress=progress,
            memory=FolderMemory.usual(),
        )
    return client.deposit(
        identifier,
        body,
        kind=taken_for,
        descriptive=said,
        follows=follows,
        wait=0 if wait is Wait.NONE else _ASKED_TO_WAIT,
        metadata=metadata,
        progress=progress,
    )


def check_place(path: str) -> None:
    """Find out before anything is sent that a receipt cannot be written there. Raises Invalid."""
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        why = _("{path} is a folder.").format(path=path)
    elif not os.path.isdir(folder):
        why = _("There is no folder {folder}.").format(folder=folder)
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = _("You may not write into {folder}.").format(folder=folder)
    else:
        return
    raise Invalid(
        _("The receipt could not be written, and nothing was sent: {why}").format(why=why),
        remedy=_("Name a file in a folder that is there and that you may write into."),
        code="no-such-folder",
    )


def write_receipt(path: str, result: Result) -> None:
    """Write the receipt of a deposit that is stored. Raises an error that says so where that cannot be done."""
    try:
        write_durably(path, receipt_bytes(result.receipt or {}))
    except VaultError as error:
        text = _("{package} v{version} is stored, but its receipt could not be written: {why}")
        command = f"vaultctl receipt show {shlex.quote(result.identifier)} --version v{result.version} -o FILE"
        raise type(error)(
            text.format(package=result.identifier, version=result.version, why=error.message),
            remedy=_("Do not deposit it again; fetch the receipt: {command}").format(command=command),
            code=error.code,
        ) from error


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if not all(name and separator for name, separator, _value in pairs):
        raise typer.BadParameter(_("--metadata needs NAME=VALUE."))
    return {name: value for name, _separator, value in pairs}


def prepare(session: Session, path: str, identifier: str, filename: str, kind: Kind) -> FileBody | FolderBody:
    """Read what is to be deposited a first time. Raises Invalid with every fault, NotFound, Unreachable."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise describe_os_error(error, f"looking at {path}") from error
    if not stat.S_ISDIR(mode):
        size = os.path.getsize(path)
        with transfer(session.err, _("Reading"), size) as progress:
            return FileBody.prepare(path, filename, progress)
    if kind is Kind.FILE:
        raise typer.BadParameter(_("A folder is deposited as a bag; --kind file is for files."))
    listing = list_folder(path)
    if listing.empty and not listing.is_bag:
        text = n_(
            "{n} empty folder is not kept: a bag holds files only.",
            "{n} empty folders are not kept: a bag holds files only.",
            len(listing.empty),
        )
        session.err.print(text.format(n=len(listing.empty)))
    with transfer(session.err, _("Reading"), listing.bytes) as progress:
        # The same folder under the same identifier is the same bag, so that it can be sent again without harm.
        info = [("External-Identifier", identifier)]
        return FolderBody.prepare(path, listing, filename=filename, bag_info=info, progress=progress)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a deposit, as far as it was waited for."""

    status: DepositStatus
    identifier: str
    version: int | None
    ingest_id: str
    receipt: Mapping[str, Json] | None
    policy_held: bool | None

    def as_json(self) -> dict[str, Json]:
        """For programs."""
        return {
            "status": self.status.value,
            "identifier": self.identifier,
            "version": self.version,
            "ingest": self.ingest_id,
            "policy_held": self.policy_held,
            "receipt": None if self.receipt is None else dict(self.receipt),
        }


def follow(client: Client, identifier: str, answer: Deposited, wait: Wait, limit: timedelta | None) -> Result:
    """Wait as long as was asked. Raises what the deposit ended with, and StillGoingOn."""
    receipt, status = answer.receipt, answer.status
    version = version_in(receipt)
    if receipt is None:
        ingest = client.ingest(answer.ingest_id)
        if wait is not Wait.NONE:
            ingest = _await_receipt(client, answer.ingest_id, limit)
            status = DepositStatus.CREATED if status is DepositStatus.PENDING else status
        receipt, version = ingest.receipt, ingest.version
    held: bool | None = None
    if wait is Wait.POLICY:
        number = version
        package = wait_for(
            lambda: client.package(identifier),
            lambda seen: _version(seen, number).policy_held,
            what=_("It is stored; its policy does not hold yet. Look with `vaultctl packages show`."),
            limit=limit,
        )
        held = _version(package, number).policy_held
    return Result(status, identifier, version, answer.ingest_id, receipt, held)


def _await_receipt(client: Client, ingest_id: str, limit: timedelta | None) -> wire.Ingest:
    ended = (IngestState.RECEIPTED, IngestState.REFUSED, IngestState.FAILED)
    found = wait_for(
        lambda: client.ingest(ingest_id),
        lambda seen: seen.state in ended,
        what=_("It is stored; the receipt comes later. Look with `vaultctl receipt show`."),
        limit=limit,
    )
    if found.state is not IngestState.RECEIPTED:
        status = 400 if found.state is IngestState.REFUSED else 500
        said = {"type": "", "title": "", "detail": "", "code": "", "status": status, **(found.problem or {})}
        raise error_from_problem(for_the_command_line(wire.Problem.model_validate(said)))
    return found


def version_in(receipt: Mapping[str, Json] | None) -> int | None:
    """The number of the version that a receipt is for."""
    text = str(receipt.get("version", "")) if receipt else ""
    return int(text[1:]) if text[:1] == "v" and text[1:].isdecimal() else None


def _version(package: wire.Package, number: int | None) -> wire.Version:
    for version in package.versions:
        if version.version == (number or package.head):
            return version
    raise NotFound(
        _("{package} has no version {number}.").format(package=package.identifier, number=number),
        code="no-such-version",
    )


def check_receipt(body: FileBody | FolderBody, result: Result) -> None:
    """Compare what the node says it received with what was sent. Raises Corrupted.

    Of a folder that was bagged on the way no digest could be sent beforehand; the receipt has it afterwards.
    """
    if result.receipt is None or result.status is not DepositStatus.CREATED:
        return
    digests = result.receipt.get("digests")
    received = digests.get("deposit") if isinstance(digests, Mapping) else None
    found = received.get("sha256") if isinstance(received, Mapping) else None
    if found is not None and body.sent_digest and found != body.sent_digest:
        raise Corrupted(
            f"The node received a body with the sha-256 {found}, and {body.sent_digest} was sent.",
            remedy=_("Something between altered it, and the bag still fits. Deposit it over the socket, and compare."),
            code="digest-mismatch",
        )


def _sentence(result: Result) -> str:
    version = f" v{result.version}" if result.version else ""
    names = {"package": f"{result.identifier}{version}", "ingest": result.ingest_id}
    if result.status is DepositStatus.KNOWN:
        return _("{package} was stored already; nothing new was made.").format(**names)
    if result.receipt is None:
        return _("{package} is stored; the receipt comes later (deposit {ingest}).").format(**names)
    if result.policy_held:
        return _("{package} is stored, the receipt is issued, and its policy holds.").format(**names)
    return _("{package} is stored, and the receipt is issued.").format(**names)

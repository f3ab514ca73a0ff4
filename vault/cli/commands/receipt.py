"""``vaultctl receipt``: shown from the node, or checked anywhere."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from vault.cli.exits import ExitCode
from vault.cli.keys import node_key_of, read_keys
from vault.cli.options import IdentifierArgument, JsonOption, VersionOption, read_identifier, read_version
from vault.cli.output import print_json
from vault.cli.render import batches as shown_batches
from vault.cli.render import ledger as shown
from vault.cli.session import Session, session_of
from vault.durable import describe_os_error, write_durably
from vault.errors import Invalid, VaultError
from vault.i18n import _
from vault.model import Json
from vault.signing import SignatureReport, verify_document

app = typer.Typer(help=_("Receipts: what the node signed for."), no_args_is_help=True, rich_markup_mode=None)

_LARGEST = 16 * 1024 * 1024


@app.command("show", help=_("The signed receipt of a package."))
def show(
    context: typer.Context,
    identifier: IdentifierArgument,
    version: VersionOption = "",
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help=_("Write it into this file."))] = "",
    json: JsonOption = False,
) -> None:
    """Show a receipt."""
    session = session_of(context)
    wanted, number = read_identifier(identifier), read_version(version)
    with session.client() as client:
        document = client.receipt(wanted, number)
    if output:
        write_durably(output, receipt_bytes(document))
    if json:
        print_json(document)
    elif not output:
        session.show(shown.receipt(document, session.speech))


def receipt_bytes(document: Mapping[str, Json]) -> bytes:
    """A receipt for a file."""
    return (json_module.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()


@app.command("verify", help=_("Check a receipt's signature, without any node. 1 if it is not valid."))
def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=_("The receipt, as JSON."))],
    key: Annotated[
        list[str],
        typer.Option(
            "--key", metavar="KEY", help=_("A public key to trust: base64, or a file with it. Several are possible.")
        ),
    ] = [],  # noqa: B006 - typer copies it
    json: JsonOption = False,
) -> None:
    """Check a receipt."""
    from vault.intake.batches import FORMAT as BATCH_FORMAT
    from vault.intake.receipts import FORMAT

    session = session_of(context)
    document = read_document(file)
    trusted = read_keys(key)
    own = False
    if not trusted:
        trusted = _own_key(session)
        own = bool(trusted)
    report = verify_document(document, trusted or None)
    known = {FORMAT: shown.receipt, BATCH_FORMAT: shown_batches.receipt}
    render = known.get(str(document.get("format"))) if isinstance(document, Mapping) else None
    is_receipt = render is not None
    valid = report.ok and is_receipt
    if json:
        answer: dict[str, Json] = {
            "valid": valid,
            "code": report.code or ("" if is_receipt else "not-a-receipt"),
            "reason": report.reason or ("" if is_receipt else "It is not a receipt."),
            "key_id": report.key_id,
            "key_trusted": bool(trusted) and report.ok,
        }
        print_json(answer)
    else:
        if isinstance(document, Mapping) and render is not None:
            session.show(render(document, session.speech))
        session.show(shown.findings(_lines(report, is_receipt=is_receipt, trusted=bool(trusted), own=own)))
    if not valid:
        raise typer.Exit(ExitCode.REFUSED)


def read_document(path: Path) -> object:
    """The JSON in a file that anyone may have made. Raises Invalid, NotFound, Unreachable."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST)
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
    try:
        # Cut short where it is too large, and then no JSON.
        document: object = json_module.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid(
            f"{path} holds no JSON: {error}.", remedy=_("Give the receipt as the node sent it."), code="not-json"
        ) from error
    return document


def _own_key(session: Session) -> list[bytes]:
    """The key of the node on this machine, if there is one that may be read."""
    try:
        settings = session.settings_if_any()
    except VaultError:
        return []
    return node_key_of(settings) if settings else []


def _lines(report: SignatureReport, *, is_receipt: bool, trusted: bool, own: bool) -> list[tuple[bool, str]]:
    lines = [(is_receipt, _("It is a receipt.") if is_receipt else _("It is not a receipt that this program knows."))]
    whole = report.ok or report.code == "unknown-key"
    lines.append(
        (whole, _("It is whole: signature and content agree (Ed25519 over RFC 8785).") if whole else report.reason)
    )
    if not whole:
        return lines
    if report.code == "unknown-key":
        lines.append(
            (False, _("It is signed by key {key}, which is none of those that are trusted.").format(key=report.key_id))
        )
    elif trusted:
        whose = _("this node's key") if own else _("a key that you gave")
        lines.append((True, _("It is signed by {whose} ({key}).").format(whose=whose, key=report.key_id)))
    else:
        text = _("It is signed by key {key}. Whose that is was not checked: give the key you trust with --key.")
        lines.append((True, text.format(key=report.key_id)))
    return lines

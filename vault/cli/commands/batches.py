"""``vaultctl batches``: deliveries as units."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from vault import wire
from vault.cli.batch_list import read_list
from vault.cli.commands.deposit import check_place
from vault.cli.commands.receipt import receipt_bytes
from vault.cli.options import JsonOption
from vault.cli.output import print_json
from vault.cli.render import batches as shown
from vault.cli.render.parts import whole
from vault.cli.session import Session, session_of
from vault.cli.text import plain
from vault.durable import write_durably
from vault.i18n import _
from vault.model import Json

app = typer.Typer(help=_("Deliveries: opened with a list, closed with a receipt."), rich_markup_mode=None)

BatchArgument = Annotated[str, typer.Argument(metavar="BATCH", help=_("The batch's id, or the beginning of it."))]

_LOOKED_THROUGH = 1000


class Show(enum.StrEnum):
    """Which packages of a batch to name."""

    ALL = "all"
    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"
    NOT_READY = "not-ready"
    ENTERED = "entered"


@app.callback(invoke_without_command=True)
def batches(
    context: typer.Context,
    only_open: Annotated[bool, typer.Option("--open", help=_("Only those that are open."))] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help=_("How many at most."))] = 100,
    json: JsonOption = False,
) -> None:
    """List batches, the newest first."""
    if context.invoked_subcommand is not None:
        return
    session = session_of(context)
    with session.client() as client:
        found = client.batches(limit=limit, state="open" if only_open else "")
    if json:
        print_json(found)
    else:
        session.show(shown.listing(found.items, session.speech))


@app.command("open", help=_("Open a batch with the depositor's list."))
def open_batch(
    context: typer.Context,
    path: Annotated[
        str,
        typer.Argument(metavar="LIST", help=_("The list as CSV (identifier, files, bytes, sha256, sha512) or JSON.")),
    ],
    registration_code: Annotated[
        str, typer.Option("--registration-code", metavar="CODE", help=_("The registration code of the delivery."))
    ] = "",
    delivery_number: Annotated[
        str, typer.Option("--delivery-number", metavar="NUMBER", help=_("Which delivery under this code it is."))
    ] = "",
    agency: Annotated[str, typer.Option("--agency", help=_("The code of the agency that delivers."))] = "",
    agency_name: Annotated[str, typer.Option("--agency-name", help=_("The name of that agency."))] = "",
    json: JsonOption = False,
) -> None:
    """Open a batch."""
    session = session_of(context)
    said = {
        "registration_code": registration_code,
        "delivery_number": delivery_number,
        "agency": agency,
        "agency_name": agency_name,
    }
    order = read_list(path, {name: text for name, text in said.items() if text})
    with session.client() as client:
        opened = client.open_batch(order)
    if json:
        print_json(opened)
    else:
        session.show(shown.batch(opened, session.speech))
        told = _("Deposit into it with: vaultctl deposit PATH --identifier ID --batch {batch}")
        session.err.print(told.format(batch=opened.id), soft_wrap=True)


@app.command("show", help=_("One batch: how far it is, and what is missing, extra or different."))
def show_batch(
    context: typer.Context,
    batch: BatchArgument,
    show: Annotated[Show | None, typer.Option("--show", help=_("Name these packages, one a line."))] = None,
    json: JsonOption = False,
) -> None:
    """Show a batch."""
    session = session_of(context)
    with session.client() as client:
        found = client.batch(_whole_id(session, batch))
        if show is not None:
            for item in client.batch_items(found.id, show.value):
                session.show(whole(item.model_dump_json() if json else plain(item.identifier)))
            return
        items = [] if json else [item for kind in _TROUBLE for item in client.batch_items(found.id, kind)]
    if json:
        print_json(found)
    else:
        session.show(shown.batch(found, session.speech, items))


_TROUBLE = (Show.NOT_READY.value, Show.MISSING.value, Show.EXTRA.value, Show.DIFFERENT.value)


@app.command("close", help=_("Close a batch and get its signed receipt. 1 if it is not as listed."))
def close_batch(
    context: typer.Context,
    batch: BatchArgument,
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help=_("Close it although it is not as listed."))
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help=_("Why that is accepted; it stands in the receipt."))] = "",
    receipt: Annotated[
        str, typer.Option("--receipt", metavar="FILE", help=_("Write the signed receipt into this file."))
    ] = "",
    json: JsonOption = False,
) -> None:
    """Close a batch."""
    session = session_of(context)
    if receipt:
        check_place(receipt)
    closing = wire.BatchClosing(accept_differences=accept_differences, reason=reason)
    with session.client() as client:
        closed = client.close_batch(_whole_id(session, batch), closing)
    document: dict[str, Json] = dict(closed.receipt or {})
    if receipt:
        write_durably(receipt, receipt_bytes(document))
    if json:
        print_json(closed)
    else:
        session.show(shown.receipt(document, session.speech))


def _whole_id(session: Session, text: str) -> str:
    """The id that begins so, where only one of the newest batches does; else the text as it is."""
    if len(text) >= 36:
        return text
    with session.client() as client:
        found = [item.id for item in client.batches(limit=_LOOKED_THROUGH).items if item.id.startswith(text.lower())]
    return found[0] if len(found) == 1 else text

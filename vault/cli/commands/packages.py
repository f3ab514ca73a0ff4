"""``vaultctl packages``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from vault import wire
from vault.cli.options import IdentifierArgument, JsonOption, VersionOption, read_identifier, read_version
from vault.cli.output import print_json
from vault.cli.render import packages as shown
from vault.cli.render.parts import whole
from vault.cli.session import Session, session_of
from vault.cli.text import plain
from vault.clock import to_text
from vault.i18n import _
from vault.model import PackageKind

app = typer.Typer(help=_("Packages: which there are, and where their copies are."), rich_markup_mode=None)

_PAGE = 500


@app.callback(invoke_without_command=True)
def packages(
    context: typer.Context,
    below_policy: Annotated[
        bool, typer.Option("--below-policy", help=_("Only those whose policy does not hold."))
    ] = False,
    fonds: Annotated[str, typer.Option("--fonds", help=_("Only those of this fonds."))] = "",
    agency: Annotated[str, typer.Option("--agency", help=_("Only those of this agency."))] = "",
    batch: Annotated[str, typer.Option("--batch", help=_("Only those of this delivery."))] = "",
    priority_class: Annotated[str, typer.Option("--class", metavar="CLASS", help=_("Only those of this class."))] = "",
    file_code: Annotated[str, typer.Option("--file-code", help=_("Only those with this file code."))] = "",
    retention: Annotated[str, typer.Option("--retention", help=_("Only those with this retention period."))] = "",
    access: Annotated[str, typer.Option("--access", help=_("Only those with this access level."))] = "",
    proved_before: Annotated[
        str, typer.Option("--proved-before", metavar="TIME", help=_("Only those last proved before then, or never."))
    ] = "",
    created_since: Annotated[
        str, typer.Option("--created-since", metavar="TIME", help=_("Only those taken in then or later."))
    ] = "",
    prefix: Annotated[str, typer.Option("--prefix", help=_("Only those whose identifier begins so."))] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help=_("How many at most."))] = 100,
    cursor: Annotated[str, typer.Option("--cursor", help=_("Where the page before ended (next_cursor)."))] = "",
    json: JsonOption = False,
) -> None:
    """List packages, in the order of their identifiers."""
    if context.invoked_subcommand is not None:
        return
    session = session_of(context)
    conditions = {
        "fonds": fonds,
        "agency": agency,
        "batch": batch,
        "class": priority_class,
        "file_code": file_code,
        "retention": retention,
        "access": access,
        "proved_before": read_moment(session, proved_before, "--proved-before"),
        "created_since": read_moment(session, created_since, "--created-since"),
        "prefix": prefix,
    }
    found = _collect(session, limit, cursor, below_policy=below_policy, **conditions)
    if json:
        print_json(found)
        return
    session.show(shown.listing(found.items, session.speech))
    if found.next_cursor:
        more = _("There are more; continue with --cursor {cursor}, or raise --limit.")
        session.err.print(more.format(cursor=found.next_cursor), soft_wrap=True)


def read_moment(session: Session, text: str, hint: str) -> str:
    """A time as the API takes it, from ``2026-08-01`` or ``2026-08-01T14:30``, in the node's zone; "" from nothing."""
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        told = _("{text} is no time; write 2026-08-01 or 2026-08-01T14:30.").format(text=repr(text))
        raise typer.BadParameter(told, param_hint=hint) from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=session.speech.zone)
    return to_text(aware)


def _collect(session: Session, limit: int, cursor: str, *, below_policy: bool, **described: str) -> wire.PackageList:
    items: list[wire.PackageSummary] = []
    following: str | None = cursor
    with session.client() as client:
        while following is not None and len(items) < limit:
            page = client.packages(
                cursor=following, limit=min(_PAGE, limit - len(items)), below_policy=below_policy, **described
            )
            items += page.items
            following = page.next_cursor
    return wire.PackageList(items=items, next_cursor=following)


@app.command("show", help=_("One package: versions, copies, when each was last proved."))
def show(context: typer.Context, identifier: IdentifierArgument, json: JsonOption = False) -> None:
    """Show one package."""
    session = session_of(context)
    wanted = read_identifier(identifier)
    with session.client() as client:
        found = client.package(wanted)
    if json:
        print_json(found)
    else:
        session.show(shown.package(found, session.speech))


@app.command("files", help=_("The files of a package, by their paths as get --file takes them."))
def files(
    context: typer.Context, identifier: IdentifierArgument, version: VersionOption = "", json: JsonOption = False
) -> None:
    """List the files of a version: one path a line, or everything as JSON."""
    session = session_of(context)
    wanted, number = read_identifier(identifier), read_version(version)
    with session.client() as client:
        pages = client.file_pages(wanted, number)
        if json:
            first = next(pages)
            items = [*first.items, *(file for page in pages for file in page.items)]
            print_json(first.model_copy(update={"items": items, "next_cursor": None}))
            return
        kind = ""
        for page in pages:
            kind = page.kind
            for file in page.items:
                session.show(whole(plain(file.path)))
    if kind == PackageKind.BAG:
        session.err.print(_("It is a bag: what was deposited lies under data/."))

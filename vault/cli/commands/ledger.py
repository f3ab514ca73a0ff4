"""``vaultctl ledger``: the whole chain checked, with the daemon dead if need be, and the end of it signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from vault.cli.exits import ExitCode
from vault.cli.keys import node_key_of, read_keys
from vault.cli.options import JsonOption
from vault.cli.output import print_json
from vault.cli.render import ledger as shown
from vault.cli.session import Session, session_of
from vault.cli.waiting import counting
from vault.clock import from_text
from vault.i18n import _, n_
from vault.model import Json

if TYPE_CHECKING:
    # The catalogue takes long to load, and nearly no command needs it.
    from vault.ledger import ChainReport, Checkpoint

app = typer.Typer(
    help=_("The ledger: everything that ever happened, as a chain."), no_args_is_help=True, rich_markup_mode=None
)

KeyOption = Annotated[
    list[str],
    typer.Option(
        "--key", metavar="KEY", help=_("A public key to trust: base64, or a file with it. Several are possible.")
    ),
]


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """What a check of the ledger found. ``missed``: places whose checkpoints could not be read. ``superseded``: so many
    checkpoints are of events that were lost before the catalogue was rebuilt, as the node stated then."""

    report: ChainReport
    checkpoints: int
    superseded: int
    bad: tuple[tuple[str, str], ...]
    missed: tuple[str, ...]
    trusted: bool

    @property
    def ok(self) -> bool:
        """Whether chain and checkpoints all hold."""
        return self.report.ok and not self.bad

    def as_json(self) -> dict[str, Json]:
        """For programs."""
        return {
            "ok": self.ok,
            "events": self.report.count,
            "head_hash": self.report.head_hash,
            "first_bad_seq": self.report.first_bad_seq,
            "reason": self.report.reason,
            "checkpoints": self.checkpoints,
            "checkpoints_met": self.report.proved,
            "checkpoints_superseded": self.superseded,
            "checkpoints_bad": [{"where": where, "reason": reason} for where, reason in self.bad],
            "not_read": list(self.missed),
            "key_trusted": self.trusted,
        }


def check_ledger(session: Session, keys: list[str]) -> LedgerCheck:
    """Check the whole chain against every checkpoint that can be found."""
    from vault.cli.offline import kept_checkpoints, open_catalogue
    from vault.ledger import verify, verify_checkpoint
    from vault.recovery.found_checkpoints import statements

    settings = session.settings
    trusted = read_keys(keys) or node_key_of(settings)
    kept, missed = kept_checkpoints(settings)
    good: list[Checkpoint] = []
    bad: list[tuple[str, str]] = []
    with open_catalogue(settings) as catalogue, counting(session.err, _("Checking the ledger")) as progress:
        rebuilt = statements(catalogue, trusted)
        believed = [*trusted, *(key for one in rebuilt for key in one.keys)]
        for kept_one in kept:
            found = verify_checkpoint(kept_one.document, believed or None)
            if found.checkpoint is None:
                bad.append((kept_one.where, found.reason))
            else:
                good.append(found.checkpoint)
        valid = [one for one in good if not any(superseded.covers(one) for superseded in rebuilt)]
        report = verify(catalogue, valid, progress)
    return LedgerCheck(report, len(kept), len(good) - len(valid), tuple(bad), tuple(missed), bool(trusted))


@app.command("verify", help=_("Check every event, without the daemon; names the first bad one. 5 if there is one."))
def verify_ledger(context: typer.Context, key: KeyOption = [], json: JsonOption = False) -> None:  # noqa: B006 - typer copies it
    """Check the ledger."""
    session = session_of(context)
    found = check_ledger(session, key)
    if json:
        print_json(found.as_json())
    else:
        session.show(shown.findings(_lines(found)))
        for place in found.missed:
            session.err.print(_("Its checkpoints were not read: {reason}").format(reason=place), soft_wrap=True)
        if not found.trusted:
            session.err.print(_("No key was at hand to tell whose the checkpoints are; give it with --key."))
    if not found.ok:
        raise typer.Exit(ExitCode.UNSOUND)


def _lines(found: LedgerCheck) -> list[tuple[bool, str]]:
    report = found.report
    count = n_("{n} event holds.", "{n} events hold.", report.count).format(n=report.count)
    lines = [(report.ok, count if report.ok else f"{count} {report.reason}")]
    if not report.ok:
        lines.append((False, _("First bad event: {seq}").format(seq=report.first_bad_seq)))
    met = n_("{n} checkpoint agrees with it.", "{n} checkpoints agree with it.", report.proved)
    lines.append((True, met.format(n=report.proved)))
    if found.superseded:
        lost = n_(
            "{n} checkpoint is of events that were lost before the catalogue was rebuilt.",
            "{n} checkpoints are of events that were lost before the catalogue was rebuilt.",
            found.superseded,
        )
        lines.append((True, lost.format(n=found.superseded)))
    lines += [(False, f"{where}: {reason}") for where, reason in found.bad]
    lines.append((report.ok, _("The last that holds has the hash {hash}").format(hash=report.head_hash)))
    return lines


@app.command("checkpoint", help=_("Sign the end of the ledger now, and keep that on every volume."))
def checkpoint(context: typer.Context, json: JsonOption = False) -> None:
    """Have a checkpoint made."""
    session = session_of(context)
    with session.client() as client:
        document = client.checkpoint()
    if json:
        print_json(document)
        return
    text = _("Signed: event {seq}, {time}, hash {hash}")
    when = session.speech.moment(from_text(str(document["time"])), seconds=True)
    session.out.print(text.format(seq=document["seq"], time=when, hash=document["hash"]), soft_wrap=True)

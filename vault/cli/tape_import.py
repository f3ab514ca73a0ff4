"""Following an import of a cartridge: the order is given in a thread, and how far it is, is asked beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread

from vault import wire_tapes as wire
from vault.cli.session import Session
from vault.cli.waiting import INTERVAL_SECONDS, tape_read
from vault.client import Client, tapes
from vault.errors import Conflict, NotFound, VaultError
from vault.i18n import _


def imported(session: Session, barcode: str) -> wire.TapeImport:
    """Import a cartridge and show how far it is; one that goes on already is waited for. Ctrl-C leaves it going on in
    the node. Raises what the order raises."""
    with session.client() as client, tape_read(session.err, _("Importing")) as tell:
        while True:
            ordered = _begun(session, barcode)
            while not _ended(ordered):
                with contextlib.suppress(VaultError):  # the order itself tells what is wrong
                    _show(client, barcode, tell)
            try:
                return ordered.result()
            except Conflict as error:
                if error.code != "import-running":
                    raise
            # Somebody began it before: when it has ended, what it entered is known, and the order is soon done.
            while _show(client, barcode, tell):
                with contextlib.suppress(TimeoutError):
                    Future[None]().result(INTERVAL_SECONDS)


def _begun(session: Session, barcode: str) -> Future[wire.TapeImport]:
    """By a connection of its own, in a thread that holds up nobody's end."""
    future: Future[wire.TapeImport] = Future()

    def work() -> None:
        try:
            with session.client() as client:
                future.set_result(tapes.adopt(client, barcode))
        except VaultError as error:
            future.set_exception(error)

    Thread(target=work, name="import", daemon=True).start()
    return future


def _ended(ordered: Future[wire.TapeImport]) -> bool:
    with contextlib.suppress(TimeoutError, VaultError):
        ordered.result(INTERVAL_SECONDS)
    return ordered.done()


def _show(client: Client, barcode: str, tell: Callable[[wire.TapeReading | None], None]) -> bool:
    """Tell how far it is; whether one goes on."""
    try:
        tell(tapes.import_progress(client, barcode))
    except NotFound:
        return False
    return True

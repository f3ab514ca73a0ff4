"""vaultd: the process around a node. It reads the configuration, opens the doors, and stops in order when asked.

Exit status: 0 stopped as asked; 1 something failed that another start may cure; 78 (EX_CONFIG of sysexits.h) the
configuration cannot work, so that systemd does not try again and again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path

import structlog
import uvloop

from monitoring.collector import Collector
from monitoring.devices import Heard
from monitoring.exporter import EVERY, Exporter
from vault import __version__, logs
from vault.api.app import create_app
from vault.api.door import Door
from vault.api.parts import NodeParts
from vault.api.server import Server
from vault.config import Settings, check_machine, check_state, find_config, load_settings
from vault.custody import proof
from vault.custody.backups import SCHEDULE as BACKUP_SCHEDULE
from vault.errors import ConfigError, VaultError
from vault.node import Node
from vault.notify import Beat, Notifier, RoundTrip, Watchdog, keep_beating

log = structlog.get_logger(__name__)

EXIT_FAILED = 1
EXIT_CONFIG = 78

STALLED_AFTER = timedelta(minutes=10)
"""A running task that has read and written nothing for so long is shown as stalled."""


LOG_PATIENCE = timedelta(seconds=5)
"""So long an end waits for the last lines of the log."""

SWITCH_SECONDS = 0.001
"""So long a thread that computes keeps the interpreter from one that waits for it; Python's own is five times that. A
request that reads the catalogue waits for it a dozen times."""


def main() -> None:
    """The command ``vaultd``."""
    sys.setswitchinterval(SWITCH_SECONDS)
    status = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # A thread that hangs in the read of a dead server would keep the interpreter from ending.
    os._exit(status)


def run(arguments: list[str]) -> int:
    """Run until a signal asks to stop; return the exit status."""
    parser = argparse.ArgumentParser(prog="vaultd", description="The storage node of a digital archive.")
    parser.add_argument("--config", type=Path, help="the configuration (default: $VAULT_CONFIG, /etc/vault/vault.toml)")
    parser.add_argument("--check", action="store_true", help="check the configuration and exit")
    parser.add_argument(
        "--new-catalogue", action="store_true", help="begin with an empty catalogue although the node was used before"
    )
    parser.add_argument("--version", action="version", version=f"vaultd {__version__}")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(find_config(options.config))
        if options.check:
            print(  # noqa: T201
                f"vaultd: {settings.source.file} is in order: {len(settings.volumes)} volumes,"
                f" {len(settings.policies)} policies."
            )
            return 0
        written = logs.configure(settings.log, behind=True)
        logs.catch_dying_threads()
        try:
            return _serve(settings, new_catalogue=options.new_catalogue)
        finally:
            if written is not None:
                written.drain(LOG_PATIENCE)
    except ConfigError as error:
        print(f"vaultd: {error}", file=sys.stderr)  # noqa: T201 - for whoever typed it, and for the journal
        return EXIT_CONFIG
    except VaultError as error:
        print(f"vaultd: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_FAILED


def _serve(settings: Settings, *, new_catalogue: bool) -> int:
    notifier = Notifier.from_environment()
    node = Node(settings, new_catalogue=new_catalogue)
    try:
        # In a thread: it asks the volumes' file systems, and a server that is gone may not answer for minutes.
        threading.Thread(target=_say_what_is_wrong, args=(settings,), name="check-machine", daemon=True).start()
        node.start()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_doors(node, notifier))
    except BaseException:
        node.abandon()
        raise
    notifier.stopping("stopping the work on the volumes")
    ended = node.stop()
    log.info("stopped", all_work_ended=ended)
    return 0


def _say_what_is_wrong(settings: Settings) -> None:
    for problem in [*check_state(settings), *check_machine(settings)]:
        log.warning("configuration-and-machine", problem=str(problem))


async def _doors(node: Node, notifier: Notifier) -> None:
    """Serve until SIGTERM or SIGINT."""
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    loop_beat = Beat()
    door = Door(node.settings.api.tls.files)
    exporter = _exporter(node, door)
    server = Server(create_app(_parts(node, exporter)), node.settings, door=door, on_stopping=node.close_doors)
    loop.add_signal_handler(signal.SIGHUP, server.ask_to_renew)
    beating = asyncio.create_task(keep_beating(loop_beat))
    await asyncio.to_thread(exporter.warm)
    watchdog = Watchdog.from_environment(
        notifier,
        {
            "event loop": loop_beat.age,
            "dispatcher": node.dispatcher.age,
            "catalogue": RoundTrip(node.ask_catalogue, "watchdog-catalogue").age,
        },
    )
    serving = asyncio.create_task(server.serve())
    started = asyncio.create_task(server.started())
    done, _ = await asyncio.wait({serving, started}, return_when=asyncio.FIRST_COMPLETED)
    if serving in done:
        serving.result()
        raise VaultError("The server ended before it began.", remedy="Look at the lines above in the log.")
    if watchdog is not None:
        watchdog.start()
    node.clock.every(EVERY, "metrics", exporter.refresh, recorded=False)
    notifier.ready(f"serving on {server.address} and {node.settings.api.socket}")
    log.info("serving", address=server.address, socket=str(node.settings.api.socket))
    stopping = asyncio.create_task(asked_to_stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if watchdog is not None:
        watchdog.stop()
    notifier.stopping("closing the doors")
    await server.stop()
    await serving
    beating.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beating


def _heard(node: Node) -> Heard:
    hearing, footings = node.health.hearing, node.health.footings
    volumes = {name: [disk.key for disk in footing.disks] for name, footing in footings.items()}
    seen = node.devices
    on_arrays = {name: footing.stack.arrays for name, footing in footings.items()}
    return Heard(
        hearing.taken_at,
        hearing.fresh,
        volumes,
        seen.present,
        seen.counted,
        seen.overflows,
        node.health.arrays,
        on_arrays,
        node.health.shares,
        hearing.expected,
    )


def _exporter(node: Node, door: Door) -> Exporter:
    custody, health = node.settings.custody, node.settings.health
    return Exporter(
        Collector(
            node.catalogue,
            node.telemetry,
            configured={volume.name: volume.reserve for volume in node.settings.volumes},
            probe_valid=max(timedelta(minutes=5), 4 * custody.probe_interval),
            intervals={
                "plan": custody.planner_interval,
                "receipts": custody.planner_interval,
                "checkpoint": custody.checkpoint_interval,
                proof.SCHEDULE: proof.EVERY,
                BACKUP_SCHEDULE: custody.backup_interval,
                "health": health.interval,
            },
            self_tests={"short": health.short_test, "long": health.long_test},
            certificate=lambda: door.expires,
            devices=lambda: _heard(node),
            devices_valid=health.stale_after,
            stalled=lambda: len(node.dispatcher.stalled(STALLED_AFTER)),
            libraries=node.tape_desk.libraries,
            tape_life={pool.name: pool.convert_after for pool in node.settings.pools},
        )
    )


def _parts(node: Node, exporter: Exporter) -> NodeParts:
    return NodeParts(
        settings=node.settings,
        catalogue=node.catalogue,
        custodian=node.custodian,
        intake=node.intake,
        batches=node.batches,
        receipts=node.receipts,
        bell=node.bell,
        backups=node.backups,
        uploads=node.uploads,
        dispatcher=node.dispatcher,
        watch=node.watch,
        health=node.health,
        key=node.key,
        metrics=exporter.render,
        clock=node.catalogue.clock,
        recaller=node.recaller,
        tapes=node.tape_desk,
        tape_import=node.tape_import,
        shelf=node.shelf,
    )

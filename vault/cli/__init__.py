"""``vaultctl``, the sysadmin's hand on the node.

``run`` turns errors into sentences and exit codes, ``app`` joins the commands, ``commands/`` has a module for each
group of them, ``render/`` turns data into what is shown and makes no calls, ``doctor/`` looks at this machine. Nothing
here decides anything about packages or copies: that is asked of the daemon, over :mod:`vault.client`. What also works
with the daemon dead (doctor, ledger verify, catalog backup, get --from-volume, receipt verify) only ever reads.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``vaultctl`` and return its exit code; see :class:`vault.cli.exits.ExitCode`."""
    from vault.cli.run import run

    return run(arguments)

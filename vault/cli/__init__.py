"""``vaultctl``, the sysadmin's hand on the node.

``run`` turns errors into sentences and exit codes, ``app`` joins the commands, ``commands/`` has a module for each
group of them, ``render/`` turns data into what is shown and makes no calls, ``doctor/`` looks at this machine. Nothing
here decides anything about packages or copies: that is asked of the daemon, over :mod:`vault.client`. What also works
with the daemon dead (doctor, ledger verify, catalog backup, get --from-volume, receipt verify) only ever reads.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vault import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``vaultctl`` and return its exit code; see :class:`vault.cli.exits.ExitCode`."""
    if (sys.argv[1:] if arguments is None else list(arguments)) == ["--version"]:
        # Asked by scripts and at every start of a service; it is worth not loading a parser for it.
        sys.stdout.write(f"vaultctl {__version__}\n")
        return 0
    from vault.cli.run import run

    return run(arguments)

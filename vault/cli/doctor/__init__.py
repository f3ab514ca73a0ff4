"""What is wrong with this machine or its configuration, and the fix. It works with the daemon dead and only reads.

``finding`` is what a check returns; ``machine``, ``node`` and ``volumes`` hold the checks, each of which looks at one
thing and never raises for what it finds there.
"""

from vault.cli.doctor.examination import examine
from vault.cli.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "examine"]

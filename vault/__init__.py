"""The domain of the storage node, and the daemon that runs it.

Here live packages, versions, copies, volumes and all that happens to them. What a device is (a disk, a mount, a
tape drive) lives in :mod:`hardware`; what a monitoring system sees lives in :mod:`monitoring`. Imports go one way
only: ``api, cli, daemon -> intake, custody, reports -> volumes, ledger, catalog -> formats, model``.
"""

__version__ = "0.1.0"

"""The configuration: ``vault.toml``, read once, checked whole, and handed on as typed facts that cannot change.

``settings`` holds the keys with their types and defaults, ``locate`` finds the line of a key in the text, ``load``
reads a file and names everything that is wrong with it, ``rules`` holds what several keys must agree on, and
``machine`` compares the settings with the machine. Nothing here opens a volume, a socket or a database, and
nothing here writes.
"""

from vault.config.fields import Address
from vault.config.load import examine, examine_text, find_config, load_settings, parse_settings
from vault.config.machine import check_machine, check_state
from vault.config.problem import Problem
from vault.config.settings import (
    ApiSettings,
    CallbackSettings,
    CatalogSettings,
    CustodySettings,
    HealthSettings,
    IntakeSettings,
    LibrarySettings,
    LogSettings,
    NodeSettings,
    PoolSettings,
    RecallSettings,
    Settings,
    VolumeSettings,
    policy_fingerprint,
)

__all__ = [
    "Address",
    "ApiSettings",
    "CallbackSettings",
    "CatalogSettings",
    "CustodySettings",
    "HealthSettings",
    "IntakeSettings",
    "LibrarySettings",
    "LogSettings",
    "NodeSettings",
    "PoolSettings",
    "Problem",
    "RecallSettings",
    "Settings",
    "VolumeSettings",
    "check_machine",
    "check_state",
    "examine",
    "examine_text",
    "find_config",
    "load_settings",
    "parse_settings",
    "policy_fingerprint",
]

"""What the folder of a virtual cartridge holds beside its blocks, and how its files are called.

The layout is described in :mod:`hardware.ltfs.virtual`.
"""

from __future__ import annotations

import os
import re
from typing import Final

from hardware.ltfs import safexml

CONFIG: Final = "filedebug_tc_conf.xml"
DEFAULT_CAPACITY_MB: Final = 3072

_NAME = re.compile(r"([01])_(0|[1-9][0-9]{0,17})_([RFE])", re.ASCII)


def parse_block_name(name: str) -> tuple[int, int, str] | None:
    """Partition, block number and kind (R, F or E) that a file name stands for; None where it stands for no block."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), int(match[2]), match[3]) if match else None


def fsync_folder(path: str | os.PathLike[str]) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _ConfigHandler:
    def __init__(self) -> None:
        self.leaves: dict[str, str] = {}
        self._text = ""

    def start(self, _name: str, _attributes: dict[str, str]) -> None:
        self._text = ""

    def end(self, name: str) -> None:
        self.leaves[name[:64]] = self._text

    def text(self, data: str) -> None:
        self._text += data


def read_capacity(config: bytes) -> int:
    """The capacity in MB that a cartridge's description gives. Raises ``Malformed``."""
    # The reference takes 0 for its default.
    return safexml.parse_integer(_leaves(config).get("capacity_mb", "0")) or DEFAULT_CAPACITY_MB


def read_protection(config: bytes) -> bool:
    """Whether a cartridge's description sets its write-protect tab. Raises ``Malformed``."""
    return _leaves(config).get("emulate_readonly", "").strip().lower() == "true"


def _leaves(config: bytes) -> dict[str, str]:
    handler = _ConfigHandler()
    parser = safexml.Parser(handler, CONFIG, safexml.Limits(size=65536, depth=8, text=4096, token=4096))
    parser.feed(config)
    parser.close()
    return handler.leaves


def make_config(capacity_mb: int, *, protected: bool = False) -> bytes:
    """The description of an LTO-5 cartridge of this capacity; ``protected``: with its write-protect tab set."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "<filedebug_cartridge_config>\n"
        "    <dummy_io>false</dummy_io>\n"
        f"    <emulate_readonly>{'true' if protected else 'false'}</emulate_readonly>\n"
        f"    <capacity_mb>{capacity_mb}</capacity_mb>\n"
        "    <cart_type>L5</cart_type>\n"
        "    <density_code>58</density_code>\n"
        "    <delay_mode>None</delay_mode>\n"
        "    <wraps>40</wraps>\n"
        "    <eot_to_bot_sec>12</eot_to_bot_sec>\n"
        "    <change_direction_us>2000000</change_direction_us>\n"
        "    <change_track_us>10000</change_track_us>\n"
        "    <threading_sec>0</threading_sec>\n"
        "</filedebug_cartridge_config>\n"
    ).encode()

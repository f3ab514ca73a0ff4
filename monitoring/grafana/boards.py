"""All boards, and their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from monitoring.grafana import deposits, disks, fixity, overview, tapes
from monitoring.grafana.model import Board

FOLDER: Final = Path(__file__).parent / "dashboards"
BOARDS: Final[tuple[Board, ...]] = (overview.BOARD, fixity.BOARD, disks.BOARD, tapes.BOARD, deposits.BOARD)


def text(board: Board) -> str:
    """The file of a board."""
    return json.dumps(board.json(), ensure_ascii=False, indent=1) + "\n"


def write() -> None:
    """Write all files anew."""
    for board in BOARDS:
        (FOLDER / f"khoso-{board.file}.json").write_text(text(board), encoding="utf-8")

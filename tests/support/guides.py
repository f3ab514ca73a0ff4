"""What a how-to guide tells people to type: the fenced blocks of docs/howto."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
_BLOCK = re.compile(r"(?m)(?:^( *)<!-- not run: ([^\n]+) -->\n)?^( *)```(sh|toml)\n(.*?)^ *```$", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block: ``sh`` is typed, ``toml`` is added to the configuration; ``skipped`` says why it is not."""

    kind: str
    text: str
    skipped: str


def blocks(name: str) -> list[Block]:
    """The blocks of a guide, in their order."""
    found = _BLOCK.finditer((HOWTO / f"{name}.md").read_text("utf-8"))
    return [Block(match[4], textwrap.dedent(match[5]), match[2] or "") for match in found]

"""What the package tells people, made from docs/reference: manual pages, and the configuration with every key."""

from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

from manpage import manual

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
_WIDTH = 110

VAULTD = """\
# vaultd

`vaultd` is the storage node of a digital archive: it takes deposits over HTTP, keeps their copies on volumes and tapes
as the policies say, reads them back, and repairs what is damaged. systemd starts it (`vaultd.service`); `vaultctl`
speaks to it.

## OPTIONS

| | |
|---|---|
| `--config` FILE | The configuration; else the one that VAULT_CONFIG names, or /etc/vault/vault.toml. |
| `--check` | Check the configuration and end. |
| `--new-catalogue` | Begin with an empty catalogue although the node was used before. |
| `--version` | Print the version and end. |

## SIGNALS

| | |
|---|---|
| SIGTERM, SIGINT | End in order: running work is stopped where it can be taken up again. |
| SIGHUP | Read the certificate of the API again. |

## EXIT STATUS

| | |
|---|---|
| 0 | It was asked to stop. |
| 1 | Something failed that another start may cure. systemd tries again. |
| 78 | The configuration cannot work; the lines on standard error say where and why. systemd does not try again. |

## FILES

| | |
|---|---|
| /etc/vault/vault.toml | The configuration, `vault.toml(5)`. |
| /var/lib/vault | The catalogue, the node's key, checkpoints and backups. |
| /run/vault/vault.sock | The socket that vaultctl speaks to, for members of the group vault. |
"""


def manuals(version: str) -> dict[str, str]:
    """Every manual page by its file's name."""
    cli = (REFERENCE / "cli.md").read_text("utf-8")
    config = (REFERENCE / "config.md").read_text("utf-8")
    return {
        "vaultd.8": manual(
            "vaultd", 8, "storage node of a digital archive", VAULTD, version=version,
            see_also="vaultctl(1), vault.toml(5), systemd(1)",
        ),
        "vaultctl.1": manual(
            "vaultctl", 1, "operate a storage node of a digital archive", cli, version=version,
            see_also="vaultd(8), vault.toml(5)",
        ),
        "vault.toml.5": manual(
            "vault.toml", 5, "configuration of vaultd", config, version=version, see_also="vaultd(8), vaultctl(1)"
        ),
    }  # fmt: skip


def configuration() -> str:
    """``vault.toml`` with every key, its meaning and its default (or, without one, an example), all as comments."""
    text = (REFERENCE / "config.md").read_text("utf-8")
    example = tomllib.loads(_between(text, "```toml\n", "```"))
    head = (
        "# The configuration of vaultd; see vault.toml(5). `vaultctl init` asks a little and writes it for you.\n"
        "# Every key stands here with its default, or with an example where it has none (it must be given then).\n"
        "# Take the # away from the keys that you want otherwise, and from the [table] above them.\n"
    )
    return head + "".join(_section(name, body, example) for name, body in _sections(text))


def _sections(text: str) -> Iterator[tuple[str, str]]:
    found = re.split(r"(?m)^#{2,3} `(\[.+\])`$", text)
    yield from zip(found[1::2], found[2::2], strict=True)


def _section(name: str, body: str, example: dict[str, object]) -> str:
    about = body.partition("\n|")[0].strip()
    rows = re.findall(r"(?m)^\| `([^`]+)` \| (.+?) \| (.+) \|$", body)
    value: object = example
    for part in name.strip("[]").split("."):
        value = value[part] if isinstance(value, dict) else None  # type: ignore[index]
        value = value[0] if isinstance(value, list) else value
    given = value if isinstance(value, dict) else {}
    outer = {key.partition(".")[0] for key, _, _ in rows if "." in key}
    made = f"\n{_comment(about)}" if about else "\n"
    made += f"#{name}\n"
    for key, default, meaning in rows:
        if key in outer or f"{name.strip('[]')}.{key}" in _tables():
            continue
        shown = default.strip("`") if default != "—" else _toml(_at(given, key))
        made += f"{_comment(meaning)}#{key} = {shown}\n"
    return made


def _tables() -> frozenset[str]:
    """Keys that are tables with a section of their own."""
    text = (REFERENCE / "config.md").read_text("utf-8")
    return frozenset(name.strip("[]") for name, _ in _sections(text))


def _at(given: dict[str, object], key: str) -> object:
    value: object = given
    for part in key.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    return value


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _comment(text: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "")
    paragraphs = [" ".join(part.split()) for part in plain.split("\n\n") if part.strip() and "```" not in part]
    lines = [line for part in paragraphs for line in textwrap.wrap(part, _WIDTH)]
    return "".join(f"# {line}\n" for line in lines)


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]

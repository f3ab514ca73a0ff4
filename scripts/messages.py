"""Keeps the translations in step with the code, and compiles them. Needs nothing but the standard library.

scripts/messages.py           compile every .po, and list what is not translated or no longer used
scripts/messages.py --check   only look; exit 1 if anything is wrong, or a .mo is not what its .po says
"""

from __future__ import annotations

import ast
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "vault" / "locale"
DOMAIN = "khoso"
_CALLS = {"_": 1, "N_": 1, "n_": 2}
_FIELD = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True)
class Message:
    """One message: what it says for one, and for several ("" where it has no plural)."""

    singular: str
    plural: str = ""

    @property
    def key(self) -> str:
        """Its key in a ``.mo``."""
        return f"{self.singular}\0{self.plural}" if self.plural else self.singular


@dataclass(frozen=True)
class Translation:
    """One entry of a ``.po``."""

    message: Message
    texts: tuple[str, ...]
    fuzzy: bool


def used_messages(folder: Path) -> dict[Message, str]:
    """Every message in the code below ``folder``, with the place where it was first found.

    Raises ValueError for a call whose message is not a plain text: it could never be translated.
    """
    found: dict[Message, str] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
                count = _CALLS[node.func.id]
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                texts = [argument.value for argument in node.args[:count] if isinstance(argument, ast.Constant)]
                words = [text for text in texts if isinstance(text, str)]
                if not words and all(isinstance(argument, ast.Name) for argument in node.args[:count]):
                    continue  # handed on: its text stands elsewhere, within N_()
                if len(words) != count:
                    raise ValueError(f"{where}: {node.func.id}() needs {count} plain text")
                found.setdefault(Message(*words), where)
    return found


def read_po(path: Path) -> list[Translation]:
    """The entries of a ``.po``, its header (an empty message) included. Raises ValueError with the line."""
    entries: list[Translation] = []
    fields: dict[str, str] = {}
    fuzzy, current = False, ""

    def finish() -> None:
        nonlocal fuzzy, current
        if "msgid" in fields:
            texts = tuple(text for name, text in fields.items() if name.startswith("msgstr"))
            entries.append(Translation(Message(fields["msgid"], fields.get("msgid_plural", "")), texts, fuzzy))
        fields.clear()
        fuzzy, current = False, ""

    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = raw.strip()
        if line.startswith("#"):
            if current.startswith("msgstr"):
                finish()
            fuzzy = fuzzy or (line.startswith("#,") and "fuzzy" in line)
            continue
        match = re.fullmatch(r'(?:(msgid|msgid_plural|msgstr(?:\[\d\])?)\s+)?(".*")', line)
        if not line:
            finish()
        elif match is None or (not match[1] and not current):
            raise ValueError(f"{path}:{number}: it is not a line of a .po: {line}")
        else:
            if match[1] == "msgid" and current:
                finish()
            current = match[1] or current
            fields[current] = fields.get(current, "") + str(ast.literal_eval(match[2]))
    finish()
    return entries


def faults(used: dict[Message, str], entries: list[Translation]) -> Iterator[str]:
    """What is wrong with a translation: messages without one, doubtful ones, and placeholders that differ."""
    known: dict[Message, Translation] = {}
    for entry in entries:
        if entry.message in known:
            yield f"it is there twice: {entry.message.singular!r}"
        known[entry.message] = entry
    for message, where in used.items():
        translation = known.get(message)
        if translation is None or not translation.texts or not all(translation.texts):
            yield f"{where}: not translated: {message.singular!r}"
        elif translation.fuzzy:
            yield f"{where}: its translation is marked fuzzy: {message.singular!r}"
        else:
            wanted = sorted(_FIELD.findall(message.plural or message.singular))
            for text in translation.texts:
                if sorted(_FIELD.findall(text)) != wanted:
                    yield f"{where}: the placeholders of the translation differ: {message.singular!r}"
    for entry in entries:
        if entry.message.singular and entry.message not in used and not entry.message.singular.isspace():
            yield f"no longer used: {entry.message.singular!r}"


def to_mo(entries: list[Translation]) -> bytes:
    """The ``.mo`` of these entries (GNU gettext manual, "The Format of GNU MO Files"), little-endian, no hash table."""
    pairs = sorted(
        (entry.message.key.encode(), "\0".join(entry.texts).encode())
        for entry in entries
        if all(entry.texts) and not entry.fuzzy
    )
    keys_at, texts_at = 28, 28 + 8 * len(pairs)
    data_at = 28 + 16 * len(pairs)
    tables: list[bytes] = []
    data = b""
    for column in (0, 1):
        for pair in pairs:
            tables.append(struct.pack("<II", len(pair[column]), data_at + len(data)))
            data += pair[column] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), keys_at, texts_at, 0, data_at)
    return head + b"".join(tables) + data


def main() -> int:
    """Compile or check; the exit code is for the shell."""
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        print(__doc__)
        return 2
    used = used_messages(ROOT / "vault")
    wrong = 0
    for po in sorted(LOCALE.glob(f"*/LC_MESSAGES/{DOMAIN}.po")):
        entries = read_po(po)
        for fault in faults(used, entries):
            print(f"{po.parent.parent.name}: {fault}")
            wrong += 1
        mo, data = po.with_suffix(".mo"), to_mo(entries)
        if check:
            if not mo.is_file() or mo.read_bytes() != data:
                print(f"{mo.relative_to(ROOT)} is not what its .po says; run scripts/messages.py")
                wrong += 1
        else:
            mo.write_bytes(data)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

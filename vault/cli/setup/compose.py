"""The answers as ``vault.toml``, and the file written where there is none."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

from vault.cli.setup.answers import Answers, LibraryAnswer, VolumeAnswer
from vault.config import Problem, Settings, check_machine, examine_text
from vault.config.problem import toml_value
from vault.durable import write_durably
from vault.errors import ConfigError, Conflict
from vault.i18n import _


def compose(answers: Answers, path: Path) -> tuple[str, Settings]:
    """The text of a configuration, and the settings that it comes to. Raises ConfigError with what cannot work, on this
    machine or at all."""
    text = "\n".join(_lines(answers)) + "\n"
    settings, wrong = examine_text(text, path)
    if settings is None:
        raise ConfigError(
            _("This makes no configuration; nothing was written:") + _listed(wrong),
            remedy=_("Correct the option, or the answer, and run vaultctl init again."),
        )
    problems = check_machine(settings)
    if problems:
        raise ConfigError(
            _("These volumes cannot work on this machine; nothing was written:") + _listed(problems),
            remedy=_("Correct that and run vaultctl init again; mount=no is for a folder of this machine's own disk."),
        )
    return text, settings


def _listed(problems: list[Problem]) -> str:
    """By key alone: the line is of a file that is not there."""
    return "".join(f"\n{one.key}: {one.value}: {one.what}; {one.remedy}" for one in problems)


def is_configured(path: Path) -> bool:
    """Whether there is a configuration: a file that says anything. One with nothing but comments is none yet."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return False
    except UnicodeDecodeError:
        return True
    try:
        return bool(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return True


def place(text: str, path: Path, group: int | None) -> None:
    """Write the configuration, for root to change and the members of ``group`` to read. What stood there (comments
    alone) follows behind it. Raises Conflict when there is a configuration."""
    if is_configured(path):
        raise Conflict(
            _("{path} is there already; it is never overwritten.").format(path=path),
            remedy=_("Change it by hand, or move it away."),
            code="occupied",
        )
    before = path.read_text("utf-8-sig") if path.exists() else ""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_durably(path, (text + (f"\n{before}" if before.strip() else "")).encode(), 0o640)
    if group is not None and os.geteuid() == 0:
        os.chown(path, 0, group)


def _lines(answers: Answers) -> Iterator[str]:
    yield "# Written by `vaultctl init`. All keys and their defaults: vault.toml(5), docs/reference/config.md"
    yield from ("", "[node]", f"name = {toml_value(answers.name)}", f"language = {toml_value(answers.language)}")
    if answers.state is not None:
        yield f"state = {_text(str(answers.state))}"
    if answers.accept_shared_devices:
        yield "accept_shared_devices = true   # for a demonstration or a test: one failure can take all copies"
    if answers.listen or answers.socket is not None:
        yield from ("", "[api]")
    if answers.listen:
        yield f"listen = {_text(answers.listen)}"
    if answers.socket is not None:
        yield f"socket = {_text(str(answers.socket))}"
    for volume in answers.volumes:
        yield from _volume(volume)
    for library in answers.libraries:
        yield from _library(library)
    yield from ("", "[[policy]]", 'name = "default"')
    yield f"disk = {answers.disk}                # good copies on disk volumes, each in its own failure domain"
    if answers.tape:
        yield f"tape = {answers.tape}                # good copies on tape, each in a backup set of its own"
    yield f"receipt_after = {answers.disk}       # good copies before the depositor gets a receipt"


def _volume(volume: VolumeAnswer) -> Iterator[str]:
    yield from ("", "[[volume]]", f"name = {toml_value(volume.name)}", 'kind = "directory"')
    yield f"path = {_text(volume.path)}"
    if volume.mount is False:
        yield "mount = false"
    yield f"domain = {toml_value(volume.domain)}   # what fails together"
    yield f"site = {toml_value(volume.site)}   # what burns together"


def _library(library: LibraryAnswer) -> Iterator[str]:
    yield from ("", "[[library]]", f"name = {toml_value(library.name)}", 'kind = "scsi"')
    if library.changer != "auto":
        yield f"changer = {_text(library.changer)}"
    if library.drives:
        yield "drives = [" + ", ".join(_text(serial) for serial in library.drives) + "]"


def _text(value: str) -> str:
    """A basic string of TOML, whole however long it is."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'

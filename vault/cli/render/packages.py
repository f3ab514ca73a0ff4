"""Packages, their versions and copies; deposits."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from vault import wire
from vault.cli.render.parts import facts, state, table
from vault.cli.text import NONE, Speech, plain, word
from vault.i18n import _, n_


def listing(found: Iterable[wire.PackageSummary], say: Speech) -> RenderableType:
    """Packages, a line each."""
    made = table(
        _("Package"), _("version"), _("policy"), _("sets"), _("last proved"), _("fonds"), _("agency"), _("batch"),
        _("title"), _("since"),
    )  # fmt: skip
    for package in found:
        said = package.descriptive
        made.add_row(
            plain(package.identifier),
            f"v{package.head}",
            held(held=package.policy_held),
            _sets(package, say),
            say.moment(package.last_proved_at),
            plain(said.fonds),
            plain(said.agency),
            plain(said.batch),
            Text(plain(said.title)),
            say.moment(package.created_at),
        )
    return made if made.row_count else Text(_("There is no such package."))


def _sets(found: wire.Kept, say: Speech) -> str:
    return f"{say.number(found.sets.complete)}/{say.number(found.sets.wanted)}" if found.sets.wanted else NONE


def held(*, held: bool) -> Text:
    """Whether a policy holds, in a word."""
    return Text(_("held"), style="green") if held else Text(_("NOT held"), style="bold red")


def package(found: wire.Package, say: Speech) -> RenderableType:
    """Everything about one package: what it is called, its versions, and where each of their copies is."""
    said = found.descriptive
    rows: list[tuple[str, str | Text]] = [
        (_("Package"), found.identifier),
        (_("policy"), held(held=found.policy_held)),
        (_("accepted"), say.moment(found.accepted_at)),
        (_("sets"), f"{_sets(found, say)} ({', '.join(found.sets.domains)})" if found.sets.domains else NONE),
        (_("last proved"), say.moment(found.last_proved_at)),
        (_("title"), Text(plain(said.title))),
        (_("fonds"), said.fonds),
        (_("agency"), " ".join(part for part in (said.agency, said.agency_name) if part)),
        (_("batch"), said.batch),
        (_("file code"), said.file_code),
        (_("dates"), " – ".join(part for part in (said.date_from, said.date_to) if part)),
        (_("retention"), said.retention),
        (_("access"), said.access),
        (_("class"), said.priority_class),
        (_("events"), say.number(found.events_count)),
        (_("since"), say.moment(found.created_at)),
    ]
    parts: list[RenderableType] = [facts(rows)]
    for version in reversed(found.versions):
        parts += [Text(""), _version(version, say)]
    return Group(*parts)


def _version(found: wire.Version, say: Speech) -> RenderableType:
    head = Text(f"v{found.version}  ", style="bold")
    head.append_text(held(held=found.policy_held))
    files = n_("{n} file", "{n} files", found.files).format(n=say.number(found.files))
    head.append(
        f"  {word(found.kind)}, {files}, {say.size(found.bytes)}, {say.moment(found.created_at)}", style="default"
    )
    if not found.policy_held:
        lacking = [
            text.format(n=say.number(count))
            for text, count in ((_("{n} on disk"), found.missing.disk), (_("{n} on tape"), found.missing.tape))
            if count
        ]
        head.append("  " + _("missing: {copies}").format(copies=", ".join(lacking) or NONE), style="red")
    made = table(_("copy on"), _("state"), _("last proved"), _("next check"), _("reason"))
    for copy in found.copies:
        made.add_row(
            plain(copy.volume),
            state(copy.state),
            say.moment(copy.proved_at),
            say.moment(copy.due_at),
            Text(plain(copy.reason)),
        )
    digests = [(name, digest) for name, digest in sorted(found.deposit_digests.items())]
    below = facts(
        [
            (_("under the policy"), found.policy),
            (_("content"), f"{found.algorithm}:{found.content_digest}"),
            *((_("deposit"), f"{name}:{digest}") for name, digest in digests),
            (_("receipt"), _("is issued") if found.receipt else _("not yet")),
        ]
    )
    return Group(head, made, below)

"""The node: status, volumes, tasks, verifications, evidence, tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from vault import wire
from vault.cli.render.ledger import Finding, findings_of
from vault.cli.render.parts import copies, facts, state, table
from vault.cli.text import NONE, Speech, plain, word
from vault.i18n import _, n_
from vault.model import Condition, TaskKind, TaskState, VolumeMode
from vault.units import format_duration

_SEVERITY_STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}


def severity_word(severity: str) -> str:
    """What the severity of an alert is called."""
    return {"critical": _("CRITICAL"), "warning": _("WARNING"), "info": _("NOTE")}.get(severity, severity)


def status(found: wire.Status, say: Speech) -> RenderableType:
    """The node on one screen: whether the policy holds, what a person should look at, volumes, work."""
    parts: list[RenderableType] = [
        Text(f"{found.node}   khoso {found.version}   {say.moment(found.time)}", style="bold"),
        _policy(found, say),
    ]
    if found.backlog is not None:
        parts.append(Text(_left(found.backlog, say)))
    parts += [_alert(alert) for alert in found.alerts] or [Text(_("No alerts."), style="green")]
    parts.append(volumes(found.volumes, say) if found.volumes else Text(_("There is no volume yet.")))
    if found.running:
        parts.append(tasks(found.running, say, found.time, title=_("Running")))
    parts.append(_waiting(found, say))
    parts.append(_schedules(found.schedules, say, found.time))
    parts.append(
        Text(
            n_("Ledger: {count} event. Key: {key}", "Ledger: {count} events. Key: {key}", found.ledger.seq).format(
                count=say.number(found.ledger.seq), key=found.key_id
            ),
            style="dim",
        )
    )
    return Group(*parts)


def can_store(found: wire.Status) -> bool:
    """Whether the node holds anything, or at least could: a policy that holds of nothing, and nowhere, is none."""
    return bool(found.packages) or any(
        one.condition is Condition.ONLINE and one.mode is VolumeMode.ACTIVE and one.configured for one in found.volumes
    )


def _policy(found: wire.Status, say: Speech) -> Text:
    packages = n_("{n} package", "{n} packages", found.packages).format(n=say.number(found.packages))
    if not can_store(found):
        return Text(_("Policy: nothing is stored, and there is no volume that could be written to."), style="bold red")
    if found.policy_held:
        return Text(_("Policy: held for every version ({packages})").format(packages=packages), style="bold green")
    below = sum(found.below_policy.values())
    classes = ", ".join(f"{plain(name)}: {say.number(count)}" for name, count in sorted(found.below_policy.items()))
    text = n_(
        "Policy: NOT held. {n} version is below it ({classes}); {packages}",
        "Policy: NOT held. {n} versions are below it ({classes}); {packages}",
        below,
    )
    return Text(text.format(n=say.number(below), classes=classes or NONE, packages=packages), style="bold red")


def _alert(alert: wire.Alert) -> RenderableType:
    subject = f" {plain(alert.subject)}" if alert.subject else ""
    line = Text(f"{severity_word(alert.severity)}{subject}: ", style=_SEVERITY_STYLES.get(alert.severity, ""))
    line.append(plain(alert.message), style="default")
    if alert.remedy:
        line.append("\n    → " + plain(alert.remedy), style="default")
    return line


def _waiting(found: wire.Status, say: Speech) -> Text:
    waiting = {kind: states.get(TaskState.READY, 0) for kind, states in found.tasks.items()}
    listed = ", ".join(f"{_task_word(kind)} {say.number(count)}" for kind, count in sorted(waiting.items()) if count)
    return Text(_("Waiting work: {work}").format(work=listed or _("none")))


def _task_word(kind: str) -> str:
    known = next((one for one in TaskKind if one.value == kind), None)
    return plain(kind) if known is None else word(known)


def _schedules(found: Iterable[wire.Schedule], say: Speech, now: datetime) -> RenderableType:
    made = table(_("Regular work"), _("last success"), _("ago"), _("last error"))
    for schedule in found:
        made.add_row(
            plain(schedule.kind),
            say.moment(schedule.last_success),
            say.since(schedule.last_success, now),
            Text(plain(schedule.last_error), style="red"),
        )
    return made if made.row_count else Text("")


def volumes(found: Iterable[wire.Volume], say: Speech) -> RenderableType:
    """All volumes, a line each."""
    made = table(
        _("Volume"), _("condition"), _("mode"), _("health"), _("domain"), _("site"), _("size"), _("free"), _("copies"),
        _("oldest proof"), right=(6, 7),
    )  # fmt: skip
    for volume in found:
        made.add_row(
            plain(volume.name),
            state(volume.condition),
            state(volume.mode) if volume.configured else Text(_("not in the configuration"), style="yellow"),
            state(volume.health),
            plain(volume.domain),
            plain(volume.site),
            say.size(volume.size_bytes),
            say.size(volume.free_bytes),
            copies(volume.copies, say),
            say.moment(volume.oldest_proof_at),
        )
    return made


def _left(found: wire.Backlog, say: Speech) -> str:
    versions = n_("{n} version", "{n} versions", found.versions).format(n=say.number(found.versions))
    if not found.versions:
        return _("Nothing is left to copy.")
    if found.seconds is None:
        text = _("To be copied: {versions}, about {size}; how long that takes is not known yet.")
        return text.format(versions=versions, size=say.size(found.bytes))
    text = _("To be copied: {versions}, about {size}, in about {time}.")
    time = format_duration(timedelta(seconds=found.seconds), say.language)
    return text.format(versions=versions, size=say.size(found.bytes), time=time)


def volume(found: wire.Volume, say: Speech) -> RenderableType:
    """All that is known of one volume."""
    used = None
    if found.size_bytes is not None and found.free_bytes is not None:
        used = say.percent(found.size_bytes - found.free_bytes, found.size_bytes)
    condition = state(found.condition)
    if found.condition_reason:
        condition.append(f": {plain(found.condition_reason)}", style="default")
    health = state(found.health)
    if found.health_reason:
        health.append(f": {plain(found.health_reason)}", style="default")
    rows: list[tuple[str, str | Text]] = [
        (_("Volume"), found.name),
        (_("condition"), condition),
        (_("mode"), state(found.mode)),
        *([(_("evacuation"), _left(found.evacuation, say))] if found.evacuation else []),
        (_("health"), health),
        (_("configured"), _("yes") if found.configured else _("no")),
        (_("kind"), f"{found.kind}, {found.medium}"),
        (_("domain"), found.domain),
        (_("site"), found.site),
        (_("UUID"), str(found.uuid) if found.uuid else _("never initialised")),
        (_("size"), say.size(found.size_bytes)),
        (_("free"), say.size(found.free_bytes)),
        (_("used"), used or NONE),
        (_("copies"), copies(found.copies, say)),
        (_("oldest proof"), say.moment(found.oldest_proof_at)),
        (_("last seen"), say.moment(found.probed_at)),
        (_("added"), say.moment(found.added_at)),
    ]
    return facts(rows)


def mode_meaning(mode: VolumeMode) -> str:
    """What will happen to a volume in this mode, in a sentence."""
    return {
        VolumeMode.ACTIVE: _("New copies are written to it."),
        VolumeMode.READ_ONLY: _("No new copies are written to it; its copies count and are checked."),
        VolumeMode.EVACUATING: _("Its copies are made anew elsewhere; until then they count."),
        VolumeMode.RETIRED: _("Nothing on it counts any more."),
    }[mode]


def tasks(found: Iterable[wire.Task], say: Speech, now: datetime, title: str = "") -> RenderableType:
    """Pieces of work, a line each."""
    made = table(
        _("Task"), _("what"), _("state"), _("package"), _("volumes"), _("progress"), _("how long"), _("note"),
        right=(0, 5), title=title,
    )  # fmt: skip
    for task in found:
        shown_state = state(task.state)
        if task.stalled:
            shown_state.append(" " + _("(stalled)"), style="bold red")
        package = plain(task.identifier) + (f" v{task.version}" if task.version else "")
        began = task.started_at or task.created_at
        made.add_row(
            str(task.id),
            word(task.kind),
            shown_state,
            package,
            ", ".join(task.volumes),
            say.percent(task.done_bytes, task.total_bytes) if task.state is TaskState.RUNNING else "",
            say.since(task.finished_at or began, now),
            Text(plain(task.message)),
        )
    return made if made.row_count else Text(_("There is nothing to do."))


def verification_scope(found: wire.Verification, say: Speech) -> str:
    """What an order to verify is about."""
    scope = plain(found.volume or found.identifier or found.fonds) or _("everything")
    if not found.sample:
        return scope
    text = n_("{n} package at random of {scope}", "{n} packages at random of {scope}", found.sample)
    return text.format(n=say.number(found.sample), scope=scope)


def verification(found: wire.Verification, say: Speech) -> RenderableType:
    """How far an ordered verification is, or how it ended."""
    bad = Text(say.number(found.bad), style="bold red" if found.bad else "green")
    return facts(
        [
            (_("Verification"), found.id),
            (_("of"), verification_scope(found, say)),
            (_("state"), state(found.state)),
            (_("ordered"), f"{say.moment(found.requested_at)}, {plain(found.agent)}"),
            (_("ended"), say.moment(found.finished_at)),
            (_("checked"), f"{say.number(found.checked)} / {say.number(found.total)}"),
            (_("good"), say.number(found.good)),
            (_("bad"), bad),
            (_("not reached"), say.number(found.skipped)),
        ]
    )


def bad_copies(found: Iterable[wire.Event], say: Speech) -> RenderableType:
    """Copies that a check found not to be what they must be, and which files it was."""
    made = table(_("package"), _("volume"), _("checked"), _("found"), _("path"))
    for event in found:
        said = [one for one in findings_of(event.detail) if one.path]
        for one in said or [Finding("", str(event.detail.get("reason") or ""))]:
            made.add_row(
                f"{plain(event.identifier)} v{event.version}",
                plain(event.volume),
                say.moment(event.time),
                Text(plain(one.what)),
                plain(one.path),
            )
    return made


def not_reached(found: Iterable[wire.Volume]) -> RenderableType:
    """Volumes that cannot be read now, and why."""
    made = table(_("Volume"), _("condition"), _("reason"))
    for one in found:
        made.add_row(plain(one.name), state(one.condition), Text(plain(one.condition_reason)))
    return made


def verifications(found: Iterable[wire.Verification], say: Speech) -> RenderableType:
    """Ordered verifications, a line each."""
    made = table(
        _("Verification"), _("of"), _("state"), _("ordered"), _("checked"), _("bad"), _("not reached"), right=(4, 5, 6)
    )
    for one in found:
        made.add_row(
            one.id,
            verification_scope(one, say),
            state(one.state),
            say.moment(one.requested_at),
            f"{say.number(one.checked)} / {say.number(one.total)}",
            Text(say.number(one.bad), style="bold red" if one.bad else ""),
            say.number(one.skipped),
        )
    return made if made.row_count else Text(_("No verification was ever ordered."))


def evidence(found: Iterable[wire.Evidence], say: Speech) -> RenderableType:
    """Damaged bytes that are kept, each with what was found wrong."""
    made = table(
        _("Evidence"), _("package"), _("volume"), _("found"), _("kept"), _("released"), _("event"), _("path"),
        right=(0, 6),
    )  # fmt: skip
    for one in found:
        made.add_row(
            str(one.id),
            f"{plain(one.identifier)} v{one.version}",
            plain(one.volume),
            Text(plain(one.found)),
            say.moment(one.kept_at),
            say.moment(one.released_at),
            str(one.event_seq),
            plain(one.path),
        )
    return made if made.row_count else Text(_("No evidence is being kept."))


def one_evidence(found: wire.Evidence, say: Speech) -> RenderableType:
    """All that is known of one piece of evidence, for whoever decides about it."""
    return facts(
        [
            (_("Evidence"), str(found.id)),
            (_("package"), f"{found.identifier} v{found.version}"),
            (_("volume"), found.volume),
            (_("path"), found.path),
            (_("found"), Text(plain(found.found) or NONE)),
            (_("kept"), say.moment(found.kept_at)),
        ]
    )


def tokens(found: Iterable[wire.Token], say: Speech) -> RenderableType:
    """Credentials, a line each."""
    made = table(_("Token"), _("scopes"), _("limits"), _("created"), _("expires"), _("last used"))
    for token in found:
        made.add_row(
            plain(token.name),
            ", ".join(sorted(token.scopes)),
            plain(", ".join(_narrowed(token))) or NONE,
            say.moment(token.created_at),
            say.moment(token.expires_at) if token.expires_at else _("never"),
            say.moment(token.last_used_at) if token.last_used_at else _("never"),
        )
    return made if made.row_count else Text(_("There is no token."))


def _narrowed(token: wire.Token) -> Iterator[str]:
    """What a token may not, as the options of ``token create`` say it."""
    if token.agency:
        yield f"agency={token.agency}"
    if token.prefix:
        yield f"prefix={token.prefix}"
    yield from (f"network={network}" for network in token.networks)
    for name, value in token.limits.model_dump(exclude_none=True).items():
        yield f"{name.replace('_', '-')}={value}"

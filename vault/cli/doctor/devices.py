"""Disks and arrays, from the kernel and the helper's own reports: also with the daemon dead. What changed over days
only the daemon knows."""

from __future__ import annotations

from datetime import timedelta

from hardware.array_tools import Problem
from hardware.arrays import Array, ArrayState
from hardware.arrays import arrays as all_arrays
from hardware.errors import HardwareError, NotFound
from hardware.smart import report, schedule
from hardware.smart.facts import DiskFacts, Reading, TestKind
from hardware.smart.reasons import Judgement, Reason, Verdict
from hardware.smart.verdict import judge
from vault import wire
from vault.cli.doctor.finding import Finding, Level
from vault.cli.render.reasons import sentence
from vault.clock import utcnow
from vault.config import HealthSettings
from vault.health.arrays import Listener
from vault.i18n import _, n_


def disks(settings: HealthSettings) -> list[Finding]:
    """How the disks are, the worst first."""
    area = _("disks")
    try:
        found = report.read(settings.report)
    except NotFound:
        if not settings.report_expected and settings.report.parent.is_dir():
            remedy = _("Look again in five minutes: vaultctl doctor")
            return [Finding(Level.NOTE, area, _("The disks are being asked for the first time."), remedy)]
        remedy = _("Install and start the helper, which may ask them: docs/howto/install.md")
        level = Level.BAD if settings.report_expected else Level.NOTE
        return [Finding(level, area, _("Nobody asks the disks how they are."), remedy)]
    except HardwareError as error:
        return [Finding(Level.BAD, area, error.message, error.remedy)]
    if report.age(found, utcnow()) > settings.stale_after:
        what = _("The last report on the disks is of {moment} UTC.").format(moment=f"{found.taken_at:%d/%m/%Y %H:%M}")
        remedy = _("See why the helper does not run: systemctl status vault-smart.timer vault-smart")
        return [Finding(Level.BAD, area, what, remedy)]
    judged = sorted(((judge(facts), facts) for facts in found.disks), key=lambda pair: -pair[0].verdict.rank)
    findings = [one for judgement, facts in judged if (one := _finding(judgement, facts)) is not None]
    findings += [one for judgement, facts in judged for one in _untested(judgement, facts, settings)]
    if not found.disks:
        remedy = _("In a virtual machine there may be none; else see: journalctl -u vault-smart, smartctl --scan")
        return [Finding(Level.NOTE, area, _("The helper found no disk that it could ask."), remedy)]
    asleep = sum(facts.reading is Reading.ASLEEP for facts in found.disks)
    count = len(judged) - asleep
    if not findings and count:
        what = n_("{n} disk was asked; nothing is amiss.", "{n} disks were asked; nothing is amiss.", count)
        findings.append(Finding(Level.OK, area, what.format(n=count)))
    if asleep:
        what = n_("{n} disk sleeps and was not asked.", "{n} disks sleep and were not asked.", asleep)
        remedy = _("What they last told: vaultctl disks")
        findings.append(Finding(Level.OK if count else Level.NOTE, area, what.format(n=asleep), remedy))
    return findings


def arrays(settings: HealthSettings) -> list[Finding]:
    """How the arrays are; nothing where there is none."""
    listener = Listener(settings.report, settings.stale_after, all_arrays)
    seen = listener.arrays(utcnow())
    found = [_array(array) for array in seen]
    for program, problem in sorted(listener.problems.items()):
        what = {
            Problem.ABSENT: _("There is no {program}, which tells how arrays are."),
            Problem.HUNG: _("{program}, which tells how arrays are, did not answer."),
            Problem.FAILED: _("{program}, which tells how arrays are, failed."),
        }[problem]
        remedy = _("Type {program} status as root, and see what it says.")
        found.append(Finding(Level.NOTE, _("arrays"), what.format(program=program), remedy.format(program=program)))
    return found


def _array(array: Array) -> Finding:
    area = _("array {name}").format(name=array.name)
    kind = f"{array.kind} {array.level}".strip()
    missing = f" ({array.missing})" if array.missing else ""
    if array.state is ArrayState.FAILED:
        remedy = _("Bring its disks back before anything else: cables, power, the kernel log (dmesg).")
        return Finding(Level.BAD, area, _("{kind}: it has failed.").format(kind=kind), remedy)
    if array.state is ArrayState.DEGRADED:
        what = _("{kind}: it lacks members{number}; the next disk that fails takes everything.")
        remedy = _("Replace the disk that it lacks, by its serial number (vaultctl disks), and let it rebuild.")
        return Finding(Level.BAD, area, what.format(kind=kind, number=missing), remedy)
    if array.state is ArrayState.REBUILDING:
        what = _("{kind}: it is being rebuilt and has no full redundancy yet.")
        return Finding(Level.NOTE, area, what.format(kind=kind), _("Wait; touch no other disk of it."))
    if array.state is ArrayState.UNKNOWN:
        remedy = _("Only root is told: start the helper, systemctl enable --now vault-smart.timer")
        return Finding(Level.NOTE, area, _("{kind}: how it is is not known.").format(kind=kind), remedy)
    if array.errors or array.mismatches:
        what = _("{kind}: it has counted {n} errors or places that differ.")
        remedy = _("Verify the volumes on it: vaultctl verify --volume NAME; then repair the array.")
        return Finding(Level.BAD, area, what.format(kind=kind, n=array.errors or array.mismatches), remedy)
    return Finding(Level.OK, area, _("{kind}: it is well.").format(kind=kind))


def _finding(judgement: Judgement, facts: DiskFacts) -> Finding | None:
    if judgement.verdict is Verdict.HEALTHY or facts.reading is Reading.ASLEEP:
        return None
    area = facts.identity.key or facts.device
    said = " ".join(_said(one) for one in judgement.reasons if one.verdict is not Verdict.HEALTHY)
    what = f"{facts.identity.model} ({facts.device}): {said}"
    if judgement.verdict is Verdict.UNKNOWN:
        where = report.place_arguments(facts.device)
        level = Level.BAD if facts.reading is Reading.HUNG else Level.NOTE
        return Finding(level, area, what, _("Ask it yourself: smartctl -x {device}").format(device=where))
    if judgement.verdict is Verdict.WATCH:
        return Finding(
            Level.NOTE, area, what, _("Look at it again in some days (vaultctl disks); have a spare at hand.")
        )
    remedy = _("Replace it, in an array; else evacuate the volumes on it: vaultctl volumes evacuate NAME")
    return Finding(Level.BAD, area, what, remedy)


def _untested(judgement: Judgement, facts: DiskFacts, settings: HealthSettings) -> list[Finding]:
    """The self-tests with which a disk is overdue, by its own log. One that is failing is spared."""
    wanted = schedule.Schedule(settings.short_test, settings.long_test)
    if judgement.verdict.rank >= Verdict.FAILING.rank:
        return []
    what = {
        TestKind.LONG: _("{disk}: it has run for {n} days without a long self-test."),
        TestKind.SHORT: _("{disk}: it has run for {n} days without a short self-test."),
    }
    remedy = _("See why: journalctl -u vault-smart -g self-test; or begin one: smartctl -t {kind} {device}")
    return [
        Finding(
            Level.NOTE,
            facts.identity.key,
            said.format(disk=f"{facts.identity.model} ({facts.device})", n=hours // 24),
            remedy.format(kind=kind, device=report.place_arguments(facts.device)),
        )
        for kind, said in what.items()
        if (hours := schedule.since(facts, kind)) is not None and wanted.is_late(kind, timedelta(hours=hours))
    ]


def _said(reason: Reason) -> str:
    row = {"code": reason.code, "verdict": reason.verdict.value, "text": reason.text, "values": dict(reason.values)}
    return sentence(wire.DiskReason.model_validate(row))

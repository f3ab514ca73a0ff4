"""The disks, from the helper's own report: also with the daemon dead. What changed over days only the daemon knows."""

from __future__ import annotations

from hardware.errors import HardwareError, NotFound
from hardware.smart import report
from hardware.smart.facts import DiskFacts, Reading
from hardware.smart.reasons import Judgement, Reason, Verdict
from hardware.smart.verdict import judge
from vault import wire
from vault.cli.doctor.finding import Finding, Level
from vault.cli.render.reasons import sentence
from vault.clock import utcnow
from vault.config import HealthSettings
from vault.i18n import _, n_


def disks(settings: HealthSettings) -> list[Finding]:
    """How the disks are, the worst first."""
    area = _("disks")
    try:
        found = report.read(settings.report)
    except NotFound:
        remedy = _("Install and start the helper, which may ask them: docs/howto/install.md")
        return [Finding(Level.NOTE, area, _("Nobody asks the disks how they are."), remedy)]
    except HardwareError as error:
        return [Finding(Level.BAD, area, error.message, error.remedy)]
    if report.age(found, utcnow()) > settings.stale_after:
        what = _("The last report on the disks is of {moment} UTC.").format(moment=f"{found.taken_at:%d/%m/%Y %H:%M}")
        remedy = _("See why the helper does not run: systemctl status vault-smart.timer vault-smart")
        return [Finding(Level.BAD, area, what, remedy)]
    judged = sorted(((judge(facts), facts) for facts in found.disks), key=lambda pair: -pair[0].verdict.rank)
    findings = [one for judgement, facts in judged if (one := _finding(judgement, facts)) is not None]
    if not findings:
        count = len(judged)
        what = n_("{n} disk was asked; nothing is amiss.", "{n} disks were asked; nothing is amiss.", count)
        findings.append(Finding(Level.OK, area, what.format(n=count)))
    return findings


def _finding(judgement: Judgement, facts: DiskFacts) -> Finding | None:
    if judgement.verdict is Verdict.HEALTHY or facts.reading is Reading.ASLEEP:
        return None
    area = facts.identity.key or facts.device
    said = " ".join(_said(one) for one in judgement.reasons if one.verdict is not Verdict.HEALTHY)
    what = f"{facts.identity.model} ({facts.device}): {said}"
    if judgement.verdict is Verdict.UNKNOWN:
        level = Level.BAD if facts.reading is Reading.HUNG else Level.NOTE
        return Finding(level, area, what, _("Ask it yourself: smartctl -x {device}").format(device=facts.device))
    if judgement.verdict is Verdict.WATCH:
        return Finding(
            Level.NOTE, area, what, _("Look at it again in some days (vaultctl disks); have a spare at hand.")
        )
    remedy = _("Replace it, in an array; else evacuate the volumes on it: vaultctl volumes evacuate NAME")
    return Finding(Level.BAD, area, what, remedy)


def _said(reason: Reason) -> str:
    row = {"code": reason.code, "verdict": reason.verdict.value, "text": reason.text, "values": dict(reason.values)}
    return sentence(wire.DiskReason.model_validate(row))

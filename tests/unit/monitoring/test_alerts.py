"""The alert rules: understood by Prometheus, each tested with promtool, each leading to what to do."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from monitoring.metrics import METRICS
from tests.support.tools import require

REPO = Path(__file__).parents[3]
ALERTS = REPO / "monitoring/alerts"
RULES = sorted(ALERTS.glob("*.rules.yml"))
TESTS = [path.with_name(path.name.replace(".rules.", ".test.")) for path in RULES]
RUNBOOK = REPO / "docs/runbook.md"
IN_VIETNAMESE = REPO / "docs/runbook.vi.md"
OTHERS_METRICS = {"up", "process_start_time_seconds"}


def text_of(files):
    return "".join(path.read_text() for path in files)


def alerts():
    """Name to text of each rule."""
    parts = []
    for rules in RULES:
        parts += re.split(r"^      - alert: ", rules.read_text(), flags=re.MULTILINE)[1:]
    return {part.split("\n", 1)[0]: part for part in parts}


def anchors():
    """The sections of the runbook, as they are linked to."""
    titles = re.findall(r"^## (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-"): title for title in titles}


def promtool(*arguments):
    program = require("promtool", "prometheus")
    return subprocess.run([program, *arguments], capture_output=True, text=True, cwd=ALERTS, timeout=100, check=False)


def test_prometheus_understands_the_rules():
    checked = promtool("check", "rules", *(rules.name for rules in RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    counts = re.findall(r"SUCCESS: (\d+) rules found", checked.stdout)
    assert sum(map(int, counts)) == len(alerts()), "two alerts have one name"


def test_every_alert_fires_when_it_should_and_only_then():
    tested = promtool("test", "rules", *(tests.name for tests in TESTS))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_has_a_test_in_which_it_fires():
    fired = set(re.findall(r'labels: ALERTS\{alertname="(\w+)", alertstate="firing"', text_of(TESTS)))
    assert fired == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_every_alert_speaks_both_languages_and_leads_to_the_runbook(name):
    text = alerts()[name]
    assert re.search(r"^ +severity: (critical|warning|none)$", text, re.MULTILINE)
    for annotation in ("summary", "description", "summary_vi", "description_vi"):
        assert re.search(rf"^ +{annotation}: \S", text, re.MULTILINE), annotation
    vietnamese = "".join(re.findall(r"^ +\w+_vi: .*(?:\n {12}.*)*", text, re.MULTILINE))
    assert re.search(r"[ăâđêôơưạảấầẩẫậắằặếềểễệịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", vietnamese)
    (link,) = re.findall(r"^ +runbook_url: docs/runbook\.md#(\S+)$", text, re.MULTILINE)
    assert link in anchors()
    section = RUNBOOK.read_text().split(f"## {anchors()[link]}\n", 1)[1].split("\n## ", 1)[0]
    assert name in section, "the section says which alerts lead to it"
    assert re.findall(r"^ +runbook_url_vi: docs/runbook\.vi\.md#(\S+)$", text, re.MULTILINE) == [link]


def test_every_section_of_the_runbook_is_led_to():
    led_to = set(re.findall(r"docs/runbook\.md#(\S+)", text_of(RULES)))
    assert led_to == set(anchors())


def test_the_runbook_in_vietnamese_has_the_same_sections_and_in_each_the_same_alerts_and_commands():
    parts = re.split(r'(?m)^<a id="(\S+)"></a>\n\n## .+\n', IN_VIETNAMESE.read_text())
    vietnamese = dict(zip(parts[1::2], parts[2::2], strict=True))
    english = dict(zip(anchors(), re.split(r"(?m)^## .+\n", RUNBOOK.read_text())[1:], strict=True))
    assert list(vietnamese) == list(english)
    assert len(re.findall(r"(?m)^## ", IN_VIETNAMESE.read_text())) == len(english)
    for anchor, section in english.items():
        assert told(vietnamese[anchor]) == told(section), anchor


def told(section):
    """The alerts of a section, what it says to type, in whatever order, how many steps it has, and where it leads."""
    code = Counter(" ".join(said.split()) for said in re.findall(r"`([^`]+)`", section))
    alerts_named = set(re.findall(r"\bVault[A-Z]\w+", section))
    leads = Counter(re.findall(r"\]\(([^)#]*)", section.replace(".vi.md", ".md")))
    return code, alerts_named, len(re.findall(r"(?m)^\d+\. ", section)), leads


def test_rules_ask_for_nothing_that_is_not_exported():
    """A misspelt metric makes an alert that never fires, and no tool complains."""
    known = {metric.name: set(metric.labels) for metric in METRICS}
    for name, text in alerts().items():
        expression = text.split("expr:", 1)[1].split("labels:", 1)[0].split("for:", 1)[0]
        used = set(re.findall(r"\b((?:vault|process)_\w+|up)\b", expression))
        assert used <= set(known) | OTHERS_METRICS, name
        assert used or expression.strip() == "vector(1)", name
        for metric, matchers in re.findall(r"\b(vault_\w+)\{([^}]*)\}", expression):
            labels = set(re.findall(r"(\w+)=~?\"", matchers))
            assert labels <= known[metric] | {"job", "instance"}, name

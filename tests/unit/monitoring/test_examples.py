"""The examples of configurations for Prometheus and Alertmanager: understood by both, and about alerts that exist."""

import json
import re
import subprocess
import tempfile

import pytest

from tests.support.tools import require
from tests.unit.monitoring.test_alerts import REPO, alerts

MANAGER = REPO / "monitoring/alertmanager"
EXAMPLE = MANAGER / "alertmanager.example.yml"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def amtool(*arguments):
    return run(require("amtool", "prometheus-alertmanager"), *arguments)


def test_prometheus_understands_its_example_and_finds_the_rules():
    out = run(
        require("promtool", "prometheus"), "check", "config", REPO / "monitoring/prometheus/prometheus.example.yml"
    )
    assert sum(map(int, re.findall(r"SUCCESS: (\d+) rules found", out))) == len(alerts())


def test_alertmanager_understands_its_example():
    assert "SUCCESS" in amtool("check-config", str(EXAMPLE))


@pytest.mark.parametrize(
    ("severity", "name", "receiver"),
    [
        ("none", "VaultWatchdog", "dead-mans-switch"),
        ("critical", "VaultVolumeOffline", "pages"),
        ("warning", "VaultDiskWatch", "warnings"),
    ],
)
def test_each_severity_reaches_those_that_it_is_meant_for(severity, name, receiver):
    out = amtool(
        "config",
        "routes",
        "test",
        f"--config.file={EXAMPLE}",
        f"severity={severity}",
        f"alertname={name}",
        "instance=a",
    )
    assert out.strip() == receiver


def test_every_alert_has_a_way_out():
    """An alert with a severity that no route has would reach the warnings, whatever it is."""
    severities = {re.search(r"severity: (\w+)", text)[1] for text in alerts().values()}
    text = EXAMPLE.read_text()
    assert all(f'severity="{one}"' in text for one in severities - {"none"})
    assert [name for name, text in alerts().items() if "severity: none" in text] == ["VaultWatchdog"]


def test_what_inhibits_and_is_inhibited_exists():
    known = set(alerts())
    patterns = re.findall(r'alertname(=~|=|!~)"([^"]+)"', EXAMPLE.read_text())
    assert len(patterns) > 10
    for operator, pattern in patterns:
        if operator == "=":
            assert pattern in known
        for branch in _branches(pattern):
            assert any(re.fullmatch(branch, name) for name in known), f"no alert is called {branch}"


def _branches(pattern):
    """The alternatives of a pattern: ``VaultVolume(A|B)|C`` is VaultVolumeA, VaultVolumeB and C."""
    for part in re.findall(r"(?:[^|(]|\([^)]*\))+", pattern):
        found = re.fullmatch(r"(\w*)\(([^)]*)\)(\w*)", part)
        if found:
            yield from (found[1] + inner + found[3] for inner in found[2].split("|"))
        else:
            yield part


def test_the_message_says_what_is_wrong_and_where_to_read_on():
    alert = {
        "status": "firing",
        "labels": {"alertname": "VaultVolumeOffline", "severity": "critical", "volume": "nas-a"},
        "annotations": {
            "summary": "Volume nas-a is off-line",
            "summary_vi": "Ổ lưu trữ nas-a không truy cập được",
            "description": "It has not answered.",
            "description_vi": "Ổ không trả lời.",
            "runbook_url": "docs/runbook.md#a-volume-is-off-line",
            "runbook_url_vi": "docs/runbook.vi.md#a-volume-is-off-line",
        },
        "startsAt": "2026-11-22T10:40:42Z",
    }
    data = {"status": "firing", "receiver": "pages", "alerts": [alert, {**alert, "status": "resolved"}]}
    folder = MANAGER / "khoso.tmpl"
    render = ("template", "render", f"--template.glob={folder}")

    def rendered(tmp, name):
        return amtool(*render, f"--template.data={tmp}", "--template.text", f'{{{{ template "{name}" . }}}}')

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(data, file)
        file.flush()
        subject = rendered(file.name, "khoso.subject").strip()
        assert subject == "[khoso FIRING 1] Ổ lưu trữ nas-a không truy cập được (+1)"
        text = rendered(file.name, "khoso.text")
        for said in alert["annotations"].values():
            assert said in text
        assert "RESOLVED" in text

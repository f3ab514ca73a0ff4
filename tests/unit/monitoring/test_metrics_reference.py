"""docs/reference/metrics.md and the metrics: neither without the other."""

import re
from pathlib import Path

from monitoring.metrics import METRICS

REPO = Path(__file__).parents[3]
ROW = re.compile(r"\| `(vault_\w+)` \| (\w+) \|([^|]*)\| ([^|]+) \| ([^|]+) \|")


def documented():
    text = (REPO / "docs/reference/metrics.md").read_text()
    rows = [row for row in text.splitlines() if row.startswith("| `")]
    found = {}
    for row in rows:
        match = ROW.fullmatch(row)
        assert match, f"not a row of the table: {row}"
        name, kind, labels, meaning, absent = (part.strip() for part in match.groups())
        assert name not in found, f"{name} is explained twice"
        assert meaning.endswith("."), name
        assert absent, name
        found[name] = (kind, tuple(re.findall(r"`(\w+)`", labels)))
    return found


def test_every_metric_is_documented_and_every_documented_metric_exists():
    assert documented() == {metric.name: (metric.kind.value, metric.labels) for metric in METRICS}


def test_names_follow_the_rules():
    assert len({metric.name for metric in METRICS}) == len(METRICS) > 30
    for metric in METRICS:
        assert re.fullmatch(r"vault_[a-z][a-z_]*[a-z]", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert metric.help.endswith(".")
        assert set(metric.labels) <= {"medium", "domain", "site",
                                      "version", "python", "volume", "state", "class", "condition", "mode", "outcome",
                                      "kind", "health", "verdict", "serial", "wwn", "model", "protocol", "limit",
                                      "counter", "library", "pool", "role", "change", "array", "flag",
                                      "severity", "need", "firmware"}  # fmt: skip

"""The dashboards: written from their source, in Grafana's own format, and joined with alerts and runbook."""

import json
import os
import re
import subprocess

import pytest

from monitoring.grafana.boards import BOARDS, FOLDER, text
from monitoring.grafana.model import WIDTH
from monitoring.metrics import METRICS
from tests.support.tools import require
from tests.unit.monitoring.test_alerts import REPO, alerts, anchors

PANELS = {(board.uid, panel.id): panel for board in BOARDS for panel in board.panels}
OTHERS_METRICS = {
    "up", "ALERTS", "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total",
}  # fmt: skip
NODE_PATH = os.pathsep.join(filter(None, [os.environ.get("NODE_PATH"), str(REPO / ".venv/node/node_modules")]))
VIETNAMESE = re.compile(r"[ăâđêôơưạảấầẩẫậắằặếềểễệịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹàáãèéìíòóùúý]", re.IGNORECASE)


def test_the_files_are_what_the_source_says():
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert written == {f"{board.uid}.json": text(board) for board in BOARDS}, "run: python -m monitoring.grafana"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.file)
def test_a_board_is_in_order(board):
    assert len({panel.id for panel in board.panels}) == len(board.panels)
    assert VIETNAMESE.search(board.title)
    assert board.about.isascii()
    for panel in board.panels:
        assert VIETNAMESE.search(panel.title), panel.title
        assert panel.about.endswith("."), panel.title
        assert panel.width <= WIDTH
        assert not panel.runbook or panel.runbook in anchors(), panel.title
        (first, *others) = [value for value, _ in panel.steps]
        assert first is None
        assert others == sorted(others)
    taken = set()
    for panel in json.loads(text(board))["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < WIDTH
        taken |= cells


def test_every_panel_asks_for_what_is_exported_and_of_the_chosen_nodes_only():
    known = {metric.name: set(metric.labels) for metric in METRICS}
    for (uid, _), panel in PANELS.items():
        for query in panel.queries:
            used = set(re.findall(r"\b((?:vault|process)_\w+|up|ALERTS)\b", query.expr))
            assert used
            assert used <= set(known) | OTHERS_METRICS, (uid, panel.title)
            assert "$instance" in query.expr or "ALERTS" in used, (uid, panel.title)
            for metric, matchers in re.findall(r"\b(vault_\w+)\{([^}]*)\}", query.expr):
                assert set(re.findall(r"(\w+)(?:=|=~|!=)\"", matchers)) <= known[metric] | {"job", "instance"}
            shown = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
            assert shown <= {label for name in used & set(known) for label in known[name]} | {"instance", "severity"}


def test_every_metric_of_ours_can_be_seen_somewhere():
    """A number that nobody ever looks at is not worth a scrape; those that only serve others are named."""
    asked = " ".join(query.expr for panel in PANELS.values() for query in panel.queries)
    unseen = {metric.name for metric in METRICS if metric.name not in asked}
    assert {name for name in unseen if not name.startswith("vault_tape_")} <= {
        "vault_build_info", "vault_collector_errors_total", "vault_volume_info", "vault_volume_mode",
        "vault_volume_last_probe_timestamp_seconds", "vault_volume_reserve_bytes", "vault_device_overflows_total",
        "vault_array_volume", "vault_disk_report_timestamp_seconds", "vault_disk_present",
        "vault_disk_last_read_timestamp_seconds", "vault_disk_capacity_bytes", "vault_schedule_failing",
        "vault_schedule_interval_seconds", "vault_ledger_events_after_checkpoint",
        "vault_array_first_seen_timestamp_seconds",
    }  # fmt: skip


@pytest.mark.parametrize("name", alerts())
def test_every_alert_leads_to_a_panel_that_leads_to_the_same_section(name):
    rule = alerts()[name]
    url = re.search(r"dashboard_url: '?d/([\w-]+)\?viewPanel=(\d+)", rule)
    if url is None and name.startswith("VaultTape"):
        pytest.skip("this alert has no panel yet")
    assert url is not None, "it leads to no panel"
    panel = PANELS[url[1], int(url[2])]
    assert panel.runbook == re.search(r"runbook_url: docs/runbook\.md#(\S+)", rule)[1]
    variables = re.findall(r"&var-(\w+)=\{\{ \$labels\.(\w+) \}\}", rule)
    board = next(board for board in BOARDS if board.uid == url[1])
    assert all(
        variable == label and variable in {"instance", *(one.name for one in board.variables)}
        for variable, label in variables
    )


CHECK = """
import type { Dashboard, Panel } from "@grafana/schema";
import type { Options as Stat } from "FOLDER/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { Options as Table } from "FOLDER/table/panelcfg/x/TablePanelCfg_types.gen";
import type { Options as Bars } from "FOLDER/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import type { Options as Lines } from "FOLDER/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
// The words of enumerations, as JSON has them.
type Said<T> = T extends string ? `${T}` : T extends number ? number : T extends boolean | null | undefined ? T
  : T extends (infer U)[] ? Said<U>[] : T extends object ? { [K in keyof T]: Said<T[K]> } : T;
const stat: Partial<Said<Stat>>[] = STAT;
const table: Partial<Said<Table>>[] = TABLE;
const bars: Partial<Said<Bars>>[] = BARGAUGE;
const lines: Partial<Said<Lines>>[] = TIMESERIES;
const boards: Said<Omit<Dashboard, "panels">>[] = BOARDS;
const panels: Said<Panel>[] = PANELS;
export { stat, table, bars, lines, boards, panels };
"""


@pytest.mark.slow
def test_the_dashboards_have_grafanas_own_types(tmp_path):
    """With the packages that scripts/node-packages installs, or others where ``NODE_PATH`` says."""
    node = require("node", "nodejs")
    looked = subprocess.run(
        [node, "-p", "['@grafana/schema', 'typescript'].map(n => require.resolve(n + '/package.json')).join('\\n')"],
        cwd="/", capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "NODE_PATH": NODE_PATH},
    )  # fmt: skip
    if looked.returncode:
        pytest.skip("@grafana/schema and typescript are not installed (scripts/node-packages)")
    schema, compiler = (path.rsplit("/", 1)[0] for path in looked.stdout.split())
    (tmp_path / "node_modules").symlink_to(schema.removesuffix("/@grafana/schema"))
    boards = [json.loads(text(board)) for board in BOARDS]
    panels = [panel for board in boards for panel in board.pop("panels")]
    source = CHECK.replace("FOLDER", "./node_modules/@grafana/schema/dist/esm/raw/composable")
    for kind in ("stat", "table", "bargauge", "timeseries"):
        options = [panel["options"] for panel in panels if panel["type"] == kind][:1]
        source = source.replace(f"= {kind.upper()};", f"= {json.dumps(options)};")
    source = source.replace("= BOARDS;", f"= {json.dumps(boards)};").replace("= PANELS;", f"= {json.dumps(panels)};")
    (tmp_path / "check.ts").write_text(source)
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--moduleResolution", "nodenext"]
    done = subprocess.run(
        [node, f"{compiler}/bin/tsc", *options, "check.ts"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[:5000]


def test_provisioning_names_what_there_is():
    for path in (REPO / "monitoring/grafana/provisioning").rglob("*.yml"):
        assert "apiVersion: 1" in path.read_text()

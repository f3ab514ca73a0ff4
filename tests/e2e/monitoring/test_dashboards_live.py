"""Every question of every panel, asked of a real Prometheus that scrapes a node like the one of the demo."""

import re
from datetime import timedelta

import pytest

from hardware.arrays import Array, ArrayState
from hardware.blocks import Block
from hardware.smart import report
from hardware.smart.facts import Reading
from hardware.smart.parse import identity
from hardware.smart.second import Second
from hardware.stack import Kind, Layer, Stack
from monitoring.grafana.boards import BOARDS
from tests.support.drives import ata, nvme
from tests.support.faults import flip
from tests.support.nodes import bag, eventually, tar_of
from tests.support.prometheus import Prometheus, WatchedBench
from tests.support.tapes import TapeBench
from vault.clock import utcnow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ASKED = [(board, panel, query) for board in BOARDS for panel in board.panels for query in panel.queries]


class DemoBench(WatchedBench, TapeBench):
    """Two volumes and a tape library, as the demo has them."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boards")
    bench = DemoBench(folder, extra=f'[health]\nreport = "{folder}/disks.json"\ninterval = "1s"')
    bench.start()
    try:
        watch = bench.running.health
        watch._stack = stack
        watch._array_listener.look = lambda: [Array("md0", "md", "raid1", ArrayState.CHECKING, 0, 0, 0, 0.5)]
        documents = [ata(serial_number="a", wwn={}), nvme() | {"serial_number": "b"}]
        entries = [
            report.Entry("/dev/sdx", "sat", identity(d["serial_number"], "", "M"), Reading.READ, d, Second())
            for d in documents
        ]
        report.write(folder, entries, utcnow() - timedelta(minutes=1))
        live_a_little(bench)
        bench.open_door()
        started = None
        try:
            started = Prometheus(folder / "prometheus", [bench.target])
            eventually(lambda: started.query('count_over_time(vault_packages{job="khoso"}[30s]) > 3'), 60)
            yield started
        finally:
            if started is not None:
                started.stop()
            bench.shut_door()
    finally:
        bench.stop()


def stack(path):
    serial = path.rsplit("/", 1)[1]
    disk = Block("sda", serial, "", "ST16000NM001G", 10**13, rotational=True)
    return Stack(path, None, (Layer(Kind.MD, "md0", "", 0), Layer(Kind.DISK, "sda", serial, 1)), (disk,))


def live_a_little(bench):
    """Deposits, one damage that is found and repaired, a proof of the ledger: what the demo does."""
    for number in range(3):
        files = bag({"tờ 1.pdf": bytes([number]) * 5000})
        bench.deposit(f"hồ sơ {number}", tar_of(files), files)
    bench.settle()
    bench.wait_for_tape("hồ sơ 2")
    flip(bench.object_path("a", "hồ sơ 1") / "v1/content/data/tờ 1.pdf")
    bench.verify()
    bench.settle()
    bench.running.keep_checkpoint()
    bench.running.proof.look()
    bench.running.health.look()


def asked(expression):
    """As Grafana asks it: with its variables filled in."""
    for name, value in (("$__rate_interval", "10s"), ("$instance", ".*"), ("$volume", ".*"), ("$serial", ".*")):
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


@pytest.mark.parametrize(
    ("board", "panel", "query"),
    ASKED,
    ids=[f"{board.file}-{panel.id}-{place}" for place, (board, panel, _) in enumerate(ASKED)],
)
def test_a_panel_has_an_answer(prometheus, board, panel, query):
    answer = prometheus.query(asked(query.expr))
    if not answer and panel.may_be_empty:
        return
    assert answer, f"{panel.title}: {query.expr}"
    for label in re.findall(r"\{\{(\w+)\}\}", query.legend):
        assert all(label in one["metric"] for one in answer), f"{panel.title} names its lines by {label}"


def test_what_may_be_empty_is_not_all(prometheus):
    """A list of exceptions that grows is a board that nobody checked."""
    empty = {(board.file, panel.id) for board, panel, query in ASKED if not prometheus.query(asked(query.expr))}
    assert len(empty) <= len(ASKED) // 5, empty


def test_the_choices_at_the_head_of_a_board_offer_something(prometheus):
    for board in BOARDS:
        for variable in board.variables:
            answer = prometheus.query(f'count by ({variable.label}) ({variable.metric}{{job="khoso"}})')
            assert [one for one in answer if one["metric"].get(variable.label)], (board.file, variable.name)

"""It is told weeks before that a volume cannot be read back in time."""

from datetime import timedelta

from tests.support.nodes import Bench
from vault.catalog import facts
from vault.custody import forecast

POLICY = '[[policy]]\nname = "default"\ndisk = 2\nreceipt_after = 1\nfixity = { disk = "7d" }'
HALF_AN_HOUR = '[[fixity.window]]\nfrom = "01:00"\nto = "01:30"\nrate = "1000"'


def looked(bench: Bench):
    forecast.look(bench.running.custodian)
    with bench.running.catalogue.read() as tx:
        return forecast.read(tx)


def test_hours_caps_and_speed_decide_what_a_whole_pass_takes(tmp_path):
    bench = Bench(tmp_path, policies=POLICY)
    with bench:
        bench.deposit("A-1", bytes(50_000_000))
        bench.settle()
        assert looked(bench) == {}, "nobody has measured anything yet"
        bench.running.custodian.pacing.note_speed("a", 50_000_000, 0.5)
        found = looked(bench)
        assert set(found) == {"a"}
        assert found["a"].held > 50_000_000
        assert found["a"].holds
        assert found["a"].whole_pass < timedelta(seconds=5)
        assert found["a"].interval == timedelta(days=7)
    bench.settings = bench.configured(policies=POLICY, extra=HALF_AN_HOUR)
    with bench:
        # Another process knows the speed still, and half an hour a day at a kilobyte a second is not enough.
        found = looked(bench)
        assert not found["a"].holds
        assert timedelta(days=27) < found["a"].whole_pass < timedelta(days=29)


def test_a_fact_of_another_time_is_no_forecast(tmp_path):
    with Bench(tmp_path) as bench:
        with bench.running.catalogue.write() as tx:
            facts.put(tx, "fixity-forecast", ["nonsense"])
        assert looked(bench) == {}

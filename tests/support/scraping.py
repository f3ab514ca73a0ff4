"""What /metrics says, as Prometheus would read it."""

from prometheus_client.parser import text_string_to_metric_families as parse

from monitoring.collector import Collector, Exporter
from vault.telemetry import Telemetry


class Scraper:
    """Scrapes as Prometheus would, and answers for single samples; None where there is none."""

    def __init__(self, catalogue, telemetry=None, **options):
        self.exporter = Exporter(Collector(catalogue, telemetry or Telemetry(), **options))
        self.families = {}

    def scrape(self):
        body, content_type = self.exporter.render("text/plain;version=0.0.4")
        assert content_type.startswith("text/plain; version=0.0.4")
        self.families = {family.name: family for family in parse(body.decode())}
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }
        return self

    def get(self, name, **labels):
        return self.samples.get((name, frozenset(labels.items())))

    def of(self, name):
        return {tuple(sorted(labels)): value for (found, labels), value in self.samples.items() if found == name}

"""What /metrics says, as Prometheus would read it."""

import time

from prometheus_client.parser import text_string_to_metric_families as parse

from monitoring.collector import Collector
from monitoring.exporter import Exporter
from vault.telemetry import Telemetry


class Scraper:
    """Scrapes as Prometheus would, and answers for single samples; None where there is none. A scrape has what is read
    for it, however long that takes, unless ``prompt`` says otherwise."""

    def __init__(self, catalogue, telemetry=None, *, prompt=60, valid=60, patience=60, clock=time.monotonic, **options):
        collector = Collector(catalogue, telemetry or Telemetry(), **options)
        self.exporter = Exporter(collector, prompt=prompt, valid=valid, patience=patience, clock=clock)
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


def exported(scraper):
    """The names of what is exported of ours."""
    return {sample for sample, _ in scraper.samples if sample.startswith("vault_")}

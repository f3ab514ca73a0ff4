"""What ``/metrics`` answers: samples in Prometheus' formats, at once, however the catalogue does.

A scrape must never hang with the catalogue that it reports on, nor take longer the more the archive holds. So the
catalogue is read, and what is much is rendered, in a thread beside it (:mod:`monitoring.latest`), also while nobody
asks; a scrape has what was read for it, or what was read some seconds ago, with the time of that. What did not come
back in time is told as ``vault_collector_up 0``, with everything that is then unknown left out.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector as Families

from monitoring import metrics
from monitoring.collector import Collector, Reading
from monitoring.latest import Latest
from monitoring.samples import Samples

log = structlog.get_logger(__name__)

PROMPT_SECONDS: Final = 0.05
"""So long a scrape waits for what is read for it while something else can be shown."""

VALID_SECONDS: Final = 30.0
"""So long what was read is shown while nothing newer is there. Then the catalogue does not answer."""

PATIENCE_SECONDS: Final = 5.0
"""How long a scrape waits for the catalogue. Prometheus gives up on a scrape after 10 s, unless told otherwise."""

WARM_SECONDS: Final = 3.0
"""So long the doors stay shut for the first reading."""

EVERY: Final = timedelta(seconds=10)
"""So often the catalogue is read while nobody asks."""

_END: Final = b"# EOF\n"
"""The end of an answer in OpenMetrics; in Prometheus' text format there is none."""

_OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0"
_MOST_FORMATS: Final = 8
"""So many formats are prepared. Who asks names the version, and may name any."""

_Encoder = Callable[[Families], bytes]


class Exporter:
    """Renders what a collector reads and knows, and what is known of the process (``process_*``)."""

    def __init__(
        self,
        collector: Collector,
        *,
        prompt: float = PROMPT_SECONDS,
        valid: float = VALID_SECONDS,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._collector = collector
        self._errors = 0
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)
        self._steady = _Rendered()
        self._latest = Latest(self._read, prompt=prompt, valid=valid, patience=patience, clock=clock)

    def refresh(self) -> None:
        """Have the catalogue read, and wait for nothing."""
        self._latest.begin()

    def warm(self) -> None:
        """Read for the first time, which takes longest, before somebody asks; wait for it a little."""
        with contextlib.suppress(Exception):  # the first scrape tells of it
            self._latest.begin().result(WARM_SECONDS)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the body for a request with this ``Accept`` header ("" for none), and its Content-Type: OpenMetrics
        where that is asked for, else Prometheus' text format. Takes up to the exporter's patience; call it in a
        thread that may block."""
        encoder, content_type = choose_encoder(accept)
        reading = self._reading()
        samples = self._collector.known()
        samples.add(metrics.COLLECTOR_UP, reading is not None)
        samples.add(metrics.COLLECTOR_ERRORS, self._errors)
        if reading is not None:
            samples.values.update(reading.samples.values)
        parts = [encoder(_Fixed(samples)).removesuffix(_END)]
        if reading is not None:
            parts += self._steady.of(content_type, encoder, reading.steady)
        body = encoder(self._process)
        return b"".join((*parts, body)), content_type

    def _reading(self) -> Reading | None:
        try:
            return self._latest.get()
        except Exception as error:  # noqa: BLE001 - whatever it is, the scrape tells of it and shows what else is known
            self._errors += 1
            log.error("scrape-without-catalogue", reason=f"{type(error).__name__}: {error}")
            return None

    def _read(self) -> Reading:
        reading = self._collector.read()
        self._steady.prepare(reading.steady)
        return reading


class _Rendered:
    """What is much and seldom changes, rendered when it did, in the formats that are asked for."""

    def __init__(self) -> None:
        self._encoders: dict[str, _Encoder] = {}
        """Of the formats that were asked for; before that, of those that may be."""
        self._asked = False
        self._known: dict[tuple[str, int], tuple[Samples, bytes]] = {}
        for accept in ("", _OPENMETRICS):
            encoder, content_type = choose_encoder(accept)
            self._encoders[content_type] = encoder

    def prepare(self, steady: tuple[Samples, ...]) -> None:
        """Render these where they are not, before somebody asks."""
        for content_type, encoder in list(self._encoders.items()):
            self._of(content_type, encoder, steady)

    def of(self, content_type: str, encoder: _Encoder, steady: tuple[Samples, ...]) -> list[bytes]:
        """These, rendered; anew only those that are other objects than the time before."""
        if not self._asked:
            self._asked, self._encoders = True, {}
            self._known = {key: known for key, known in self._known.items() if key[0] == content_type}
        if len(self._encoders) < _MOST_FORMATS:
            self._encoders.setdefault(content_type, encoder)
        return self._of(content_type, encoder, steady)

    def _of(self, content_type: str, encoder: _Encoder, steady: tuple[Samples, ...]) -> list[bytes]:
        parts = []
        for place, samples in enumerate(steady):
            known, rendered = self._known.get((content_type, place), (None, b""))
            if known is not samples:
                rendered = encoder(_Fixed(samples)).removesuffix(_END)
                if content_type in self._encoders:
                    self._known[content_type, place] = samples, rendered
            parts.append(rendered)
        return parts


class _Fixed(Families):
    """Yields samples that were made before."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Family]:
        """Yield them."""
        yield from self._samples.families()

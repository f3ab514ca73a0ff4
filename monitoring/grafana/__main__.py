"""Write the dashboards: ``python -m monitoring.grafana``."""

from __future__ import annotations

from monitoring.grafana.boards import write

write()

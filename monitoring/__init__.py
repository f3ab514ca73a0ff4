"""What Prometheus, Grafana and Alertmanager see: the collector, the alert rules and the dashboards.

It reads the catalogue and the hardware and never changes either.
"""

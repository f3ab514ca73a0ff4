"""What every test has: Hypothesis without a stopwatch, for a busy machine is no defect."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("khoso", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("khoso")

"""What every test has: Hypothesis without a stopwatch, for a busy machine is no defect; and a Ctrl-C that counts."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("khoso", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("khoso")

# A shell starts what it puts into the background with Ctrl-C ignored, and every program of a test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

"""Trying again, a bounded number of times, where a device says that it will soon be ready."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from hardware.errors import MediumChanged
from hardware.tape.errors import DoorOpen, NotReady

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to try, and how many seconds to wait in between. ``wait`` is what waits."""

    attempts: int = 10
    interval: float = 3.0
    wait: Callable[[float], None] = field(default=time.sleep, repr=False)

    def keep_trying(self, act: Callable[[], T]) -> T:
        """What ``act`` returns, as soon as it is not stopped by a unit attention or by a device that is not ready.

        ``act`` is called anew each time and must look anew at what is there. An open door is not waited for. Raises
        ``NotReady`` when patience is at its end.
        """
        for attempt in range(1, self.attempts + 1):
            try:
                return act()
            except DoorOpen:
                raise
            except MediumChanged as error:
                # A changer reports by it that a door was closed or that it was reset: it has done nothing.
                if attempt == self.attempts:
                    raise NotReady(
                        f"It reported a change at each of {attempt} attempts ({error.message}).", remedy=error.remedy
                    ) from error
            except NotReady:
                if attempt == self.attempts:
                    raise
                self.wait(self.interval)
        raise NotReady("It was not asked at all, as no attempt is allowed.")

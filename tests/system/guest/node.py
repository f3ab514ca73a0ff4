"""A node in a guest, asked over its API from outside."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.nodes import eventually
from tests.system.guest.machine import Guest


class Node:
    """What a test asks of a node that was set up in a guest (``vaultctl init``)."""

    def __init__(self, machine: Guest) -> None:
        """Make a token for everything that a test asks, and wait until the node serves."""
        self.machine = machine
        scopes = " ".join(f"--scope {scope}" for scope in ("deposit", "read", "operate", "audit"))
        token = machine.shell(f"vaultctl token create operator {scopes} 2>/dev/null").split()[-1]
        self.client = httpx.Client(base_url=machine.address, headers={"Authorization": f"Bearer {token}"}, timeout=300)
        eventually(self.ready, 120, self.journal, every=1)

    def ready(self) -> bool:
        """Whether it serves."""
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, address: str) -> Any:
        """What is at an address below ``/v1``."""
        answer = self.client.get(f"/v1/{address}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def order(self, address: str, **what: object) -> Any:
        """Order something that is done; what it came to."""
        answer = self.client.post(f"/v1/{address}", json=what or None)
        assert answer.is_success, (address, answer.text, self.journal())
        return answer.json() if answer.content else None

    def refused(self, address: str, **what: object) -> tuple[str, str]:
        """Order something that is not done: the code of the problem, and all that it says."""
        answer = self.client.post(f"/v1/{address}", json=what or None)
        assert answer.is_error, (address, answer.text)
        return answer.json()["code"], answer.text

    def deposit(self, identifier: str, body: bytes) -> Any:
        """A deposit that gets its receipt."""
        answer = self.client.put(f"/v1/packages/{identifier}", content=body, headers={"Prefer": "wait=120"})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def alerts(self) -> dict[str, list[str]]:
        """What the status tells a person to look at, by code."""
        found: dict[str, list[str]] = {}
        for alert in self.get("status")["alerts"]:
            found.setdefault(alert["code"], []).append(f"{alert['subject']}: {alert['message']} {alert['remedy']}")
        return found

    def metric(self, *parts: str) -> list[float]:
        """The values of the series whose line holds all of these."""
        lines = [line for line in self.client.get("/metrics").text.splitlines() if not line.startswith("#")]
        return [float(line.split()[-1]) for line in lines if all(part in line for part in parts)]

    def journal(self) -> str:
        """What the service wrote last, and what it says of itself."""
        return self.machine.shell(
            "journalctl -u vaultd -b --no-pager -o cat | tail -n 60; curl -sS -m 20 http://127.0.0.1:8420/readyz",
            code=None,
        )

"""A real Prometheus and a real Alertmanager, on loopback, with a rhythm for tests; and a node that they watch."""

from __future__ import annotations

import asyncio
import dataclasses
import http.server
import json
import re
import socket
import subprocess
import threading
import types
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

import uvloop

from tests.support.nodes import Bench, eventually
from tests.support.tools import require
from vault import daemon
from vault.api.app import create_app
from vault.api.door import Door
from vault.api.server import Server

REPO = Path(__file__).parents[2]
ALERTS = REPO / "monitoring/alerts"
WINDOW = 8
"""Seconds for every range and offset in a rule, which are hours and days in earnest."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def hurried(rules: str) -> str:
    """The same rules with a rhythm for tests: what has to last for minutes lasts two seconds."""
    rules = re.sub(r"\bfor: \w+", "for: 2s", rules)
    rules = re.sub(r"\[\w+\]", f"[{WINDOW}s]", rules)
    rules = re.sub(r"\boffset \w+", f"offset {WINDOW}s", rules)
    return re.sub(r"\b600\b", "8", rules)


class WatchedBench(Bench):
    """A node with the door that Prometheus comes to, which can be shut and opened again at the same address."""

    def __init__(self, folder: Path, *arguments, **options) -> None:
        self.port = free_port()
        super().__init__(folder, *arguments, **options)
        self._server: Server | None = None
        self._thread = threading.Thread()

    def configured(self, *arguments, domains: Mapping[str, str] = types.MappingProxyType({}), **options):
        """As the bench's, with failure domains for those volumes that have others than one of their own."""
        found = super().configured(*arguments, **options)
        listen = dataclasses.replace(found.api.listen, host="127.0.0.1", port=self.port)
        return dataclasses.replace(
            found,
            api=found.api.model_copy(update={"listen": listen}),
            volumes=tuple(
                volume.model_copy(update={"domain": domains.get(volume.name, volume.domain)})
                for volume in found.volumes
            ),
        )

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def open_door(self) -> None:
        """Serve as the daemon does, with the exporter that the daemon makes."""
        node = self.running
        door = Door(node.settings.api.tls.files)
        begun = threading.Event()
        app = create_app(daemon._parts(node, daemon._exporter(node, door)))
        server = Server(app, node.settings, door=door, on_started=begun.set)
        server.bind()

        def serve() -> None:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                self._loop = runner.get_loop()
                runner.run(server.serve())

        self._server, self._thread = server, threading.Thread(target=serve, name="door")
        self._thread.start()
        assert begun.wait(10)

    def renew_certificate(self) -> None:
        """As SIGHUP does."""
        assert self._server is not None
        self._loop.call_soon_threadsafe(self._server.ask_to_renew)

    def shut_door(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.ask_to_stop()
            self._thread.join(30)
            assert not self._thread.is_alive()

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://{self.target}/metrics", timeout=20) as answer:
            return answer.read().decode()


class _Program:
    """A server of others: started in its folder, asked until it is ready, ended by its own process id."""

    def __init__(self, program: str, folder: Path, ready: str, *options: str) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, f"--web.listen-address=127.0.0.1:{self.port}", *options],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(lambda: self._answers(ready), 30, self._log.read_text)

    def _answers(self, path: str) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            with urllib.request.urlopen(self.base + path, timeout=5):
                return True
        except OSError:
            return False

    def get(self, path: str, **query: str):
        url = f"{self.base}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)


class Alertmanager(_Program):
    """An Alertmanager with the example's own routes and inhibition; who would get mail is a list here."""

    def __init__(self, folder: Path, example: Path) -> None:
        folder.mkdir()
        self.told: list[tuple[str, dict]] = []
        """Each notification: who got it, and what it said."""
        told = self.told

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told.append((self.path.strip("/"), json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self._receiving = threading.Thread(target=self._receiver.serve_forever, name="receiver")
        self._receiving.start()
        text = example.read_text().split("\nreceivers:\n", 1)[0]
        names = sorted(set(re.findall(r"receiver: (\S+)", text)))
        text = re.sub(r"group_wait: \w+", "group_wait: 2s", text)
        text = re.sub(r"group_interval: \w+", "group_interval: 1s", text)
        text = re.sub(r"repeat_interval: 5m", "repeat_interval: 2s", text)
        text = re.sub(r"active_time_intervals: .*", "", text)
        text = re.sub(r"resolve_timeout: .*", "resolve_timeout: 5s", text)
        text = text.replace("- khoso.tmpl", f"- {example.parent}/khoso.tmpl")
        address = f"http://127.0.0.1:{self._receiver.server_port}"
        text += "\nreceivers:\n" + "".join(
            f'  - name: {name}\n    webhook_configs: [{{url: "{address}/{name}", send_resolved: true}}]\n'
            for name in names
        )
        (folder / "alertmanager.yml").write_text(text)
        program = require("prometheus-alertmanager", "prometheus-alertmanager")
        super().__init__(
            program,
            folder,
            "/-/ready",
            "--config.file=alertmanager.yml",
            "--storage.path=data",
            "--cluster.listen-address=",
        )

    def names(self, receiver: str, status: str = "firing") -> list[set[str]]:
        """The names of the alerts in each notification to ``receiver``."""
        return [
            {alert["labels"]["alertname"] for alert in body["alerts"] if alert["status"] == status}
            for to, body in list(self.told)
            if to == receiver
        ]

    def stop(self) -> None:
        super().stop()
        self._receiver.shutdown()
        self._receiver.server_close()
        self._receiving.join()


class Prometheus(_Program):
    """A Prometheus that scrapes ``targets`` each second, with our rules in a hurry."""

    def __init__(
        self,
        folder: Path,
        targets: Iterable[str],
        alertmanager: Alertmanager | None = None,
        *,
        rules: bool = True,
        authority: Path | None = None,
        every: str = "1s",
    ) -> None:
        """``authority`` signed the certificates of the targets, which then are asked over TLS; ``every`` is how often
        they are scraped, and how long they may take."""
        folder.mkdir()
        for path in ALERTS.glob("*.rules.yml") if rules else ():
            (folder / path.name).write_text(hurried(path.read_text()))
        tls = {} if authority is None else {"scheme": "https", "tls_config": {"ca_file": str(authority)}}
        config: dict[str, object] = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": "500ms"},
            "rule_files": ["*.rules.yml"],
            "scrape_configs": [{"job_name": "khoso", "static_configs": [{"targets": list(targets)}]} | tls],
        }
        if alertmanager is not None:
            address = alertmanager.base.removeprefix("http://")
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]}
        # JSON is YAML.
        (folder / "prometheus.yml").write_text(json.dumps(config))
        program = require("prometheus", "prometheus")
        super().__init__(
            program,
            folder,
            "/-/ready",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--rules.alert.resend-delay=1s",
        )

    def query(self, expression: str) -> list[dict]:
        answer = self.get("/api/v1/query", query=expression)
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """What fires now: labels by name."""
        found: dict[str, list[dict[str, str]]] = {}
        for alert in self.get("/api/v1/alerts")["data"]["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found

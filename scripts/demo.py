"""make demo: a real node under ./demo, from the first deposit to a repaired copy. Exit 0 only if every step held.

It talks to the node as others would: HTTP for the deposits, vaultctl for the sysadmin's part. The damage is done behind
the node's back, to the file on the volume.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import demo_tape
import httpx
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from demo_samples import Sample, samples

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "demo"
BIN = ROOT / ".venv" / "bin"
VOLUMES = ("nas-a", "nas-b")
PORT = 8420

console = Console(highlight=False)


class DemoFailedError(Exception):
    """A step did not hold."""


def main() -> int:
    """Run the demo; 0 if every step held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep-running", action="store_true", help="leave the node running until Ctrl-C")
    options = parser.parse_args()
    began = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # However it is ended, also from a script that ignores Ctrl-C: the node ends with it.
        signal.signal(number, signal.default_int_handler)
    demo = Demo()
    try:
        demo.tell_the_story()
        demo.summary(time.monotonic() - began)
        if options.keep_running:
            demo.wait_for_ctrl_c()
    except (DemoFailedError, httpx.HTTPError, subprocess.SubprocessError) as error:
        console.print(f"\n[bold red]The demo failed:[/] {error}")
        console.print(f"The node's log is {demo.log_path}; its last lines:")
        console.print("".join(demo.log_path.read_text().splitlines(keepends=True)[-15:]), markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 130
    finally:
        demo.stop()
    return 0


class Demo:
    """One node, and the steps of its story."""

    Failed = DemoFailedError

    def __init__(self) -> None:
        if DEMO.exists():
            _refuse_if_running()
            shutil.rmtree(DEMO)
        for volume in VOLUMES:
            (DEMO / volume).mkdir(parents=True)
        self.log_path = DEMO / "vaultd.log"
        self.config = DEMO / "vault.toml"
        self.socket = _short_socket_path()
        self.port = _free_port()
        self.config.write_text(_configuration(self.port, self.socket), encoding="utf-8")
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.token = ""
        self.receipts: dict[str, dict[str, object]] = {}
        self.done: list[tuple[str, str]] = []
        self.damaged = Path()

    # --- the story

    def tell_the_story(self) -> None:
        """Every step, in order; each raises DemoFailedError when it does not hold."""
        console.print(
            Panel(
                "A node of a digital archive: two volumes that do not fail together, and a tape library.\n"
                "[dim]Một nút của Kho lưu trữ số: hai ổ lưu trữ không hỏng cùng nhau và một thư viện băng từ.[/]",
                title="khoso",
                expand=False,
            )
        )
        self.start_node()
        packages = samples()
        for sample in packages:
            self.deposit(sample)
        self.deposit_again(packages[0])
        self.step("policy", "the policy holds: two good copies of each on disk, one on tape", self.policy_holds)
        demo_tape.show_tape(self)
        self.flip_a_byte()
        self.verify()
        self.step("repaired", "the damaged copy is repaired from the other one", self.repaired)
        self.show_evidence()
        self.show_events()
        self.fetch_back(packages[0])
        demo_tape.recall(self, DEMO, VOLUMES, packages[1])
        demo_tape.damage(self, DEMO, self.damaged.read_bytes())
        self.check_ledger()

    def start_node(self) -> None:
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(  # the node runs beside us until stop()
                [BIN / "vaultd", "--config", self.config], stdout=log, stderr=log, cwd=ROOT, start_new_session=True
            )
        self.step(
            "started", f"vaultd serves on {self.url}", lambda: httpx.get(f"{self.url}/healthz").status_code == 200
        )
        for volume in VOLUMES:
            self.vaultctl("volumes", "init", volume)
        self.step("volumes", "two volumes are initialised and on-line", self._volumes_online)
        made = json.loads(self.vaultctl("token", "create", "demo", "--scope", "deposit", "--scope", "read",
                                        "--scope", "operate", "--json"))  # fmt: skip
        self.token = made["token"]
        demo_tape.make_cartridges(self)

    def deposit(self, sample: Sample) -> None:
        digest = base64.b64encode(hashlib.sha256(sample.body).digest()).decode()
        answer = httpx.put(
            f"{self.url}/v1/packages/{quote(sample.identifier, safe='')}",
            params={"filename": sample.filename, "fonds": sample.fonds, "title": sample.title},
            headers={**self.authorised(), "Repr-Digest": f"sha-256=:{digest}:", "Prefer": "wait=60"},
            content=sample.body,
            timeout=90,
        )
        if answer.status_code != 201:
            raise DemoFailedError(f"the deposit of {sample.identifier} answered {answer.status_code}: {answer.text}")
        receipt = answer.json()
        self.receipts[sample.identifier] = receipt
        path = DEMO / "receipts" / f"{sample.filename}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(receipt, ensure_ascii=False, indent=2), encoding="utf-8")
        self.vaultctl("receipt", "verify", str(path))
        self.say(
            "deposited", f"{sample.identifier} ({sample.filename}): signed receipt, {len(receipt['copies'])} copies"
        )

    def deposit_again(self, sample: Sample) -> None:
        answer = httpx.put(
            f"{self.url}/v1/packages/{quote(sample.identifier, safe='')}",
            params={"filename": sample.filename},
            headers=self.authorised(),
            content=sample.body,
            timeout=90,
        )
        if answer.status_code != 200 or answer.json() != self.receipts[sample.identifier]:
            raise DemoFailedError(f"a retry answered {answer.status_code} or another receipt")
        self.say("retried", "the same deposit again: the first receipt, and nothing new is stored")

    def flip_a_byte(self) -> None:
        stored = sorted((DEMO / VOLUMES[0] / "ocfl").rglob("*.pdf"), key=lambda path: path.stat().st_size)
        if not stored:
            raise DemoFailedError("no stored PDF was found on the first volume")
        self.damaged = stored[-1]
        self.damaged.chmod(0o644)
        with self.damaged.open("r+b") as file:
            middle = self.damaged.stat().st_size // 2
            file.seek(middle)
            byte = file.read(1)[0]
            file.seek(middle)
            file.write(bytes([byte ^ 0x10]))
            file.flush()
            os.fsync(file.fileno())
        self.say("damaged", f"one bit of one byte flipped behind the node's back, in {self.damaged.name}")

    def verify(self) -> None:
        result = subprocess.run(
            [BIN / "vaultctl", "--config", self.config, "verify", "--all", "--wait", "--json"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        outcome = json.loads(result.stdout)
        if result.returncode != 5 or outcome["bad"] != 1 or outcome["checked"] != outcome["total"]:
            raise DemoFailedError(f"the verification did not find the one damage: {result.stdout}{result.stderr}")
        self.say("found", f"{outcome['checked']} copies read back from the medium: {outcome['bad']} is damaged")

    def show_evidence(self) -> None:
        kept = json.loads(self.vaultctl("evidence", "--json"))["items"]
        if len(kept) != 1:
            raise DemoFailedError(f"one piece of evidence was expected, and there are {len(kept)}")
        folder = DEMO / kept[0]["volume"] / kept[0]["path"]
        bad = next(folder.rglob(self.damaged.name))
        if bad.read_bytes() == self.damaged.read_bytes():
            raise DemoFailedError("the evidence is not the damaged file")
        self.say("evidence", f"the damaged bytes are kept in {folder.relative_to(ROOT)}")

    def show_events(self) -> None:
        events = [json.loads(line) for line in self.vaultctl("events", "--json").splitlines()]
        story = [e for e in events if e["type"] in ("fixity-check", "evidence-kept", "recovery")
                 and (e["outcome"] == "failure" or e["type"] != "fixity-check")]  # fmt: skip
        table = Table("no.", "event", "outcome", "package", "volume", "what", box=None, header_style="dim")
        for event in story:
            detail = event["detail"]
            findings = detail.get("findings") or [{}]
            what = f"{findings[0].get('kind', '')} {findings[0].get('path', '')}".strip() or str(
                detail.get("found", "")
            )
            colour = "red" if event["outcome"] == "failure" else "green"
            table.add_row(str(event["seq"]), event["type"], f"[{colour}]{event['outcome']}[/]", event["identifier"],
                          event["volume"], what)  # fmt: skip
        if [e["type"] for e in story] != ["fixity-check", "evidence-kept", "recovery"]:
            raise DemoFailedError(f"the events do not tell the story: {[e['type'] for e in story]}")
        console.print(table)
        self.say("events", f"{max(e['seq'] for e in events)} events in the ledger tell all of it")

    def fetch_back(self, sample: Sample) -> None:
        listed = json.loads(self.vaultctl("packages", "show", sample.identifier, "--json"))
        out = DEMO / "fetched.tar"
        self.vaultctl("get", sample.identifier, "--format", "tar", "-o", str(out))
        self.say("fetched", f"{listed['identifier']} v{listed['head']} fetched back, every digest checked")

    def check_ledger(self) -> None:
        self.vaultctl("ledger", "checkpoint")
        self.vaultctl("ledger", "verify")
        self.say("ledger", "the chain of events holds from end to end, with a signed checkpoint on each volume")

    # --- what it is made of

    def policy_holds(self) -> bool:
        status = self._get("/v1/status")
        return bool(status["policy_held"]) and status["packages"] == len(self.receipts)

    def repaired(self) -> bool:
        intact = next((DEMO / VOLUMES[1] / "ocfl").rglob(self.damaged.name), None)
        return self.policy_holds() and intact is not None and intact.read_bytes() == self.damaged.read_bytes()

    def _volumes_online(self) -> bool:
        listed = json.loads(self.vaultctl("volumes", "--json"))["items"]
        return [volume["condition"] for volume in listed] == ["online", "online"]

    def _get(self, path: str) -> dict[str, object]:
        answer = httpx.get(f"{self.url}{path}", headers=self.authorised(), timeout=30)
        answer.raise_for_status()
        found: dict[str, object] = answer.json()
        return found

    def authorised(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def command(self) -> list[str]:
        """vaultctl with this node's configuration."""
        return [str(BIN / "vaultctl"), "--config", str(self.config)]

    def vaultctl(self, *arguments: str) -> str:
        """Run vaultctl as the sysadmin would, and give what it printed."""
        result = subprocess.run(
            [BIN / "vaultctl", "--config", self.config, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if result.returncode != 0:
            raise DemoFailedError(f"vaultctl {' '.join(arguments)}: exit {result.returncode}\n{result.stderr}")
        return result.stdout

    def step(self, name: str, sentence: str, holds: Callable[[], bool]) -> None:
        """Wait until it holds, for at most a minute."""
        until = time.monotonic() + 60
        while True:
            if self.process is not None and self.process.poll() is not None:
                raise DemoFailedError(f"vaultd ended with status {self.process.returncode}")
            try:
                if holds():
                    break
            except (httpx.TransportError, OSError):
                pass  # not yet serving, or the file is just being replaced
            if time.monotonic() > until:
                raise DemoFailedError(f"after a minute it does not hold that {sentence}")
            time.sleep(0.1)
        self.say(name, sentence)

    def say(self, name: str, sentence: str) -> None:
        self.done.append((name, sentence))
        console.print(f"[green]✓[/] {sentence}", soft_wrap=True)

    def summary(self, seconds: float) -> None:
        """What a person wants to see at the end."""
        status = self._get("/v1/status")
        lines = [
            f"[bold]All {len(self.done)} steps held[/] in {seconds:.1f} s. [dim]Tất cả các bước đều đạt.[/]",
            f"{status['packages']} packages, each with two good copies on disk and one on tape; policy held:"
            f" [bold green]{'yes' if status['policy_held'] else 'NO'}[/]",
            "",
            f"what you can do   {self.url}/docs",
            f"what is measured  {self.url}/metrics",
            f"stored, readable  {DEMO / 'nas-a' / 'ocfl'}",
            f"tapes, readable   {DEMO / 'library'}",
            f"receipts          {DEMO / 'receipts'}",
            f"try               {BIN / 'vaultctl'} --config {self.config} status",
            "[dim](the links answer while the node runs: make run)[/]",
        ]
        console.print(Panel("\n".join(lines), title="summary · tóm tắt", expand=False))

    def wait_for_ctrl_c(self) -> None:
        """Leave the node running."""
        console.print("The node is running. Ctrl-C stops it.")
        if self.process is not None:
            self.process.wait()
            raise DemoFailedError(f"vaultd ended with status {self.process.returncode}")

    def stop(self) -> None:
        """Stop the node in order; kill it if it will not."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


def _configuration(port: int, socket_path: Path) -> str:
    volumes = "".join(
        f"""
[[volume]]
name = "{name}"
kind = "directory"
path = "{DEMO / name}"
mount = false                    # an ordinary folder, for the demo
domain = "{name}"                # what fails together; here we pretend that they do not
site = "kho-chinh"
reserve = "10 MB"
"""
        for name in VOLUMES
    )
    return f"""# The demo's node. On a real one, volumes are mounts of their own on devices of their own.
[node]
name = "demo"
state = "{DEMO / "state"}"
accept_shared_devices = true     # both volumes are on this machine's disk
[api]
listen = "127.0.0.1:{port}"
socket = "{socket_path}"
[custody]
planner_interval = "5s"
probe_interval = "2s"
{volumes}
[[library]]
name = "practice"
kind = "virtual"                 # a folder that plays a tape library: one drive, six cartridges
path = "{DEMO / "library"}"
drives = 1
slots = 8
mount_after_age = "0s"           # a real library waits until a mount is worth it
inventory_interval = "10s"
[[policy]]
name = "default"
disk = 2
tape = 1
receipt_after = 2
fixity = {{ disk = "90d", tape = "365d" }}
"""


def _refuse_if_running() -> None:
    lock = DEMO / "state" / "vaultd.lock"
    if lock.exists():
        import fcntl

        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                sys.exit("The node under ./demo is running. Stop it (Ctrl-C where `make run` runs), then try again.")


def _short_socket_path() -> Path:
    """Beside the rest, unless the checkout lies too deep for a Unix socket (108 bytes, unix(7))."""
    wanted = DEMO / "vault.sock"
    if len(os.fsencode(wanted)) < 100:
        return wanted
    return Path(tempfile.mkdtemp(prefix="khoso-demo-")) / "vault.sock"


def _free_port() -> int:
    """The usual port if nobody has it, else any that is free."""
    for port in (PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailedError("no free port on the loopback interface")


if __name__ == "__main__":
    sys.exit(main())

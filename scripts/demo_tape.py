"""The demo's part about tape: a cartridge takes the third copy, gives it back, is damaged, and another replaces it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from vault.formats.ocfl import object_id, object_path

if TYPE_CHECKING:
    from demo import Demo
    from demo_samples import Sample

BARCODES = tuple(f"VLT00{number}L8" for number in range(1, 7))


def make_cartridges(demo: Demo) -> None:
    """Six blank cartridges, as a person would put them into a library."""
    for barcode in BARCODES:
        made = httpx.post(
            f"{demo.url}/v1/libraries/practice/cartridges",
            json={"barcode": barcode, "capacity_bytes": 256 * 2**20},
            headers=demo.authorised(),
            timeout=60,
        )
        if made.status_code != 201:
            raise demo.Failed(f"no cartridge {barcode}: {made.text}")
    demo.say("library", f"a virtual tape library: one drive, cartridges {BARCODES[0]} to {BARCODES[-1]}")


def show_tape(demo: Demo) -> None:
    """The policy holds, so every package has a copy that was read back from tape."""
    listed = _tapes(demo)
    proved = sum(tape["copies"].get("good", 0) for tape in listed)
    if proved != len(demo.receipts):
        raise demo.Failed(f"{len(demo.receipts)} packages, and {proved} good copies on tape")
    used = [tape["barcode"] for tape in listed if tape["copies"]]
    demo.say("tape", f"{proved} copies on {', '.join(used)}, each read back from a fresh mount")


def recall(demo: Demo, folder: Path, volumes: tuple[str, ...], sample: Sample) -> None:
    """Take both disk copies away behind the node's back, and fetch the package all the same."""
    for volume in volumes:
        shutil.rmtree(folder / volume / "ocfl" / object_path(object_id(sample.identifier)))
    demo.say("taken", f"both disk copies of {sample.identifier} were taken away behind the node's back")
    address = f"{demo.url}/v1/content/{quote(sample.identifier, safe='')}"
    answers: list[int] = []

    def comes_back() -> bool:
        answer = httpx.get(address, params={"format": "tar"}, headers=demo.authorised(), timeout=60)
        answers.append(answer.status_code)
        return answer.status_code == 200 and len(answer.content) > len(sample.body) // 2

    demo.step(
        "recalled", f"{sample.identifier} comes back from tape: first 202 and a recall, then its bytes", comes_back
    )
    if 202 not in answers:
        raise demo.Failed(f"no recall was begun: {answers}")
    demo.step("made anew", "its disk copies are made anew from what the tape gave", demo.policy_holds)


def damage(demo: Demo, folder: Path, content: bytes) -> None:
    """Flip a bit on a cartridge; its copies are made anew on another one."""
    middle = content[len(content) // 2 :][:64]
    records = ((tape, path) for tape in BARCODES for path in sorted((folder / "library" / tape).glob("1_*_R")))
    barcode, record = next((tape, path) for tape, path in records if middle in path.read_bytes())
    data = bytearray(record.read_bytes())
    data[data.index(middle)] ^= 0x10
    record.chmod(0o644)
    record.write_bytes(data)
    os.sync()
    found = subprocess.run(
        [*demo.command, "verify", "--volume", barcode, "--wait", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if found.returncode != 5 or json.loads(found.stdout)["bad"] != 1:
        raise demo.Failed(f"the damage on {barcode} was not found: {found.stdout}{found.stderr}")
    demo.say("tape damaged", f"one bit flipped on {barcode}, and found by reading the tape")
    demo.step("another", "its damaged copy is made anew on another cartridge", demo.policy_holds)
    suspect = [tape["barcode"] for tape in _tapes(demo) if tape["state"] == "suspect"]
    if suspect != [barcode]:
        raise demo.Failed(f"{barcode} should be suspect, and {suspect} is")
    demo.say("suspect", f"{barcode} is kept as it is, and no longer written to")


def _tapes(demo: Demo) -> list[dict[str, Any]]:
    answer = httpx.get(f"{demo.url}/v1/tapes", headers=demo.authorised(), timeout=30)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["items"]
    return found

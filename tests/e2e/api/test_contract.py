"""schemathesis over the whole OpenAPI document, with a token that may do everything: no 5xx, no undocumented status,
and answers that are what the document says.

The short form is a part of the suite. ``KHOSO_CONTRACT_CASES=100`` asks for so many cases of each operation in the
phases that make them up, which are thousands in all; ``KHOSO_CONTRACT_SEED`` for a seed of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.serving import Running, eventually, served

REPO = Path(__file__).parents[3]
CASES = int(os.environ.get("KHOSO_CONTRACT_CASES", "4"))
SEED = os.environ.get("KHOSO_CONTRACT_SEED", "20261122")
ALL = ("deposit", "read", "operate", "approve", "audit")

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "unsupported_method", "allow_header_conformance", "ignored_auth",
)  # fmt: skip
"""Not those that hold the schema to say everything that is refused, or that all it allows is taken: an identifier in
Unicode's normal form, or a batch that is not closed yet, has no words in a schema."""


def known(running: Running) -> dict[str, str]:
    with running.client(*ALL) as client:
        assert client.put("/v1/packages/hồ sơ/1", content=b"contract").status_code in (201, 202)
        eventually(lambda: client.get("/v1/receipts/hồ sơ/1").status_code == 200)
        ingest = client.get("/v1/packages/hồ sơ/1").json()["versions"][0]["ingest_id"]
        listed = {"identifier": "hồ sơ/2", "files": 1, "bytes": 8}
        order = {"registration_code": "C-1", "delivery_number": "1", "agency": "H49", "agency_name": "A",
                 "items": [listed]}  # fmt: skip
        batch = client.post("/v1/batches", json=order)
        assert batch.status_code == 201, batch.text
    return {"identifier": "hồ sơ/1", "ingest_id": ingest, "batch_id": batch.json()["id"], "token": "-".join(ALL)}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_answer_is_one_of_the_contract(tmp_path: Path) -> None:
    intake = "max_concurrent = 50\nmax_concurrent_per_token = 50\nmax_uploads_per_token = 10000\nmax_uploads = 10000"
    with served(tmp_path, api='wait = "1s"\nwait_max = "2s"', intake=intake) as running:
        # The first asking builds it; the program below waits ten seconds for it and no longer.
        assert httpx.get(f"{running.base}/openapi.json", timeout=120).status_code == 200
        environment = {
            **os.environ,
            "KHOSO_KNOWN": json.dumps(known(running)),
            "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks",
            "PYTHONPATH": str(REPO),
        }
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "run", f"{running.base}/openapi.json",
            "-H", f"Authorization: Bearer {running.tokens['+'.join(ALL)]}",
            "--checks", ",".join(CHECKS), "--max-examples", str(CASES), "--seed", SEED,
            "--continue-on-failure", "--no-color", "--warnings", "off", "--suppress-health-check", "all",
        ]  # fmt: skip
        run = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=3500, check=False
        )
    cases = re.search(r"([0-9]+) generated", run.stdout)
    assert cases is not None, run.stdout + run.stderr
    print(f"schemathesis: {cases[1]} cases")
    assert run.returncode == 0, run.stdout + run.stderr
    assert int(cases[1]) > 500

"""A cartridge is a volume: it is evacuated and retired as one, by its barcode."""

import httpx

from tests.support.nodes import eventually
from tests.support.patience import PATIENCE
from tests.support.prometheus import WatchedBench
from tests.support.serving import make_token
from tests.support.tapes import TapeBench

TWO = ("VLT001L8", "VLT002L8")


class TapeNode(WatchedBench, TapeBench):
    """A node with a tape library and a door."""


def test_a_cartridge_is_evacuated_to_another_and_retired(tmp_path):
    with TapeNode(tmp_path, TWO) as bench:
        bench.deposit("Đ-1", b"content", filename="tệp")
        first = bench.wait_for_tape("Đ-1")
        (other,) = set(TWO) - {first}
        bench.open_door()
        headers = {"Authorization": f"Bearer {make_token(bench.running, 'operate')}"}
        with httpx.Client(
            base_url=f"http://{bench.target}", headers=headers, timeout=30 * PATIENCE, trust_env=False
        ) as client:
            answer = client.post(f"/v1/volumes/{first}/mode", json={"mode": "evacuating"})
            assert answer.status_code == 200, answer.text
            assert (answer.json()["name"], answer.json()["medium"]) == (first, "tape")
            eventually(lambda: other in bench.good_tapes("Đ-1"), 60, bench.tape_problem)
            bench.settle()
            assert client.post(f"/v1/volumes/{first}/mode", json={"mode": "retired"}).status_code == 200
            assert client.get(f"/v1/volumes/{first}").json()["mode"] == "retired"
            assert client.get("/v1/volumes/VLT009L8").json()["code"] == "no-such-volume"
        bench.shut_door()

"""A log that nobody takes: journald hangs on a disk, or the reader of a pipe is stopped."""

import os
import subprocess
import sys

from tests.support.daemon import Node
from tests.support.nodes import eventually
from tests.support.patience import PATIENCE


def test_the_node_goes_on_while_nobody_takes_its_log_and_then_tells_all(tmp_path):
    node = Node.make(tmp_path)
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as read:
        program = "from vault.daemon import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", program, "--config", str(node.config)], stdout=writing, stderr=writing
        )
        os.close(writing)
        try:
            eventually(node.answers, 60 * PATIENCE)
            with node.client() as client:
                for _ in range(1500):
                    client.status()
            process.terminate()
            told = read.read()
            assert process.wait(60 * PATIENCE) == 0
        finally:
            process.kill()
    assert told.count("route=/v1/status") >= 1500
    assert "stopped" in told.splitlines()[-1]

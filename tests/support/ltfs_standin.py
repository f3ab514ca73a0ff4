"""A program that speaks as the LTFS tools do, and misbehaves as it is told; for what the real ones do only rarely.

Called as mkltfs, ltfs or ltfsck. The environment variable STANDIN is a JSON object: by tool a list of steps, each
``["say", LINE]``, ``["exit", CODE]``, ``["signal", NAME]``, ``["hang"]``, ``["deaf"]`` (also to SIGTERM),
``["mount"]`` (a file system in memory in place of the tape), ``["until-unmounted"]``, ``["child"]`` (leave one behind
that keeps the pipe open) or ``["flood", N]``. The file STANDIN_LOG gets a line for each call.
"""

import json
import os
import select
import signal
import subprocess
import sys


def mounted(point):
    with open("/proc/self/mountinfo") as table:
        return any(line.split()[4] == point for line in table)


def main():
    tool = os.path.basename(sys.argv[0])
    with open(os.environ["STANDIN_LOG"], "a") as log:
        print(json.dumps([tool, *sys.argv[1:]]), file=log)
    point = sys.argv[-1]
    for step, *what in json.loads(os.environ["STANDIN"]).get(tool, []):
        if step == "say":
            print(f"1d5e {what[0]}", file=sys.stderr, flush=True)
        elif step == "flood":
            for number in range(what[0]):
                print(f"1d5e LTFS11336I line {number} " + "x" * 200, file=sys.stderr)
        elif step == "exit":
            sys.exit(what[0])
        elif step == "signal":
            os.kill(os.getpid(), signal.Signals[what[0]])
        elif step == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif step == "hang":
            signal.pause()
        elif step == "child":
            subprocess.Popen(["sleep", "60"])
        elif step == "mount":
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "standin", point], check=True)
        elif step == "until-unmounted":
            with open("/proc/self/mountinfo") as table:
                changes = select.poll()
                changes.register(table, select.POLLPRI | select.POLLERR)
                while mounted(point):
                    changes.poll(1000)


main()

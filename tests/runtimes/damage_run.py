"""Runs commands one after the other and says how each ended; the process that `damage.py` starts, on the standard
library alone. A process's peak of memory is never below that of what it was forked from, so this one has to be small.

Reads a list of jobs from the file named first, writes one line of JSON for each.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time

# Whatever asks for more is stopped before it takes the machine down, and is seen to have failed.
MOST_ADDRESS_SPACE = 4 << 30


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESS_SPACE, MOST_ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(command, seconds):
    """Exit code (negative: a signal; None: stopped after `seconds`), what was said, seconds, peak of memory in KiB."""
    with tempfile.TemporaryFile() as said:
        begin = time.monotonic()
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, preexec_fn=limited
        )
        pause = 0.001
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - begin > seconds:
                child.kill()
                _, status, usage = os.wait4(child.pid, 0)
                status = None
                break
            time.sleep(pause)
            pause = min(pause * 1.5, 0.02)
        child.returncode = 0  # It has been waited for.
        code = None if status is None else os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read(20000).decode(errors="replace")
        return code, text, time.monotonic() - begin, usage.ru_maxrss


def main():
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    for job in jobs:
        code, said, seconds, peak = run(job["command"], job["seconds"])
        print(json.dumps({"number": job["number"], "code": code, "said": said, "seconds": seconds, "peak": peak}))


main()

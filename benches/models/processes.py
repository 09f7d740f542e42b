"""Whole processes: what they cost, and the converters that are compared."""

import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds of wall and processor time, and the largest resident memory in bytes."""

    wall: float
    cpu: float
    peak: int

    def __add__(self, other):
        return Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.peak, other.peak))


class Failed(Exception):
    """A converter did not do its work; the text is its last complaint."""


def peak_memory(pid):
    # The kernel's maxrss of a child counts the parent's memory at the fork, so the high-water mark is read instead.
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s*(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0


def run(command, memory=8 * GIB, seconds=900):
    """Runs a command to its end, or until it takes more memory or time than allowed."""
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        child = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        peak, killed = 0, None
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, peak_memory(child.pid))
            wall = time.perf_counter() - start
            if killed is None and (peak > memory or wall > seconds):
                killed = f"over {memory / GIB:g} GiB" if peak > memory else f"over {seconds} s"
                child.send_signal(signal.SIGKILL)
            time.sleep(0.005)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines()
    if killed:
        raise Failed(killed)
    if child.returncode not in (0, 1) or (child.returncode == 1 and not missed_threshold(said)):
        raise Failed(complaint(said) or f"exit code {child.returncode}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak)


def missed_threshold(said):
    return any("missed" in line for line in said)


def complaint(said):
    """The line that says what went wrong: the one that begins with an error, else the last one."""
    errors = [line for line in said if re.match(r"\s*(error|[\w.]*(Error|Exception|Fail\w*))\b", line)]
    line = (errors or said or [""])[-1].strip()
    return re.sub(r"\s+", " ", line.replace("|", "/"))[:200]


class Tare:
    """The command that is measured."""

    def __init__(self, binary, work):
        self.binary, self.work = binary, work

    def policy(self, case, model, calibration, test, extra=""):
        """A policy that calibrates on all calibration samples and validates on some of the test samples."""
        path = self.work / f"{case.name}.yaml"
        path.write_text(
            f"version: 1\nmodel: {model}\ndata:\n  calibration: {{ path: {calibration}, samples: 1000 }}\n"
            f"  validation: {{ path: {test}, samples: 20 }}\n{extra}"
        )
        return path

    def quantize(self, policy, output, *flags):
        return run([self.binary, "quantize", "-q", "--no-default-limits", "-c", policy, "-o", output, *flags])

    def calibrate(self, policy, statistics):
        return run([self.binary, "calibrate", "-q", "-c", policy, "-o", statistics])


class Engine:
    """The engine that validation runs models in, behind the example `run`."""

    def __init__(self, binary):
        self.binary = binary

    def outputs(self, model, inputs, outputs):
        run([self.binary, model, inputs, outputs])


class OnnxRuntime:
    """ONNX Runtime's quantizer, by the script that lies with the models."""

    def __init__(self, shared, count):
        self.script, self.count = shared / "tools/ort_quantize.py", count

    def prepare(self, model, output):
        return run([sys.executable, self.script, model, output, "--method", "prep"])

    def quantize(self, model, output, method, calibration):
        options = ["--method", method, "--calib", calibration, "-n", self.count]
        return run([sys.executable, self.script, model, output, *options])

"""Models, policies, pictures and arrays with bytes flipped, overwritten, cut off, taken out or put in, at a thousand
places each. Whatever comes of it is an error of one line and nothing written, or a valid result: never a panic, a hang,
or memory beyond ten times the damaged file.

Most damage to a format with checksums ends at the checksum, and most damage to a message at its end. So half of the PNG
pictures and of the archives get new checksums, and as many models again get a field that is well formed and wrong.
"""

import collections
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import onnxruntime as ort
from common import TARE, Suite
from damage_kinds import KINDS, Bench, Harm, no_harm

HERE = Path(__file__).resolve().parent
# Another one damages other places.
SEED = int(os.environ.get("SEED", "5"))
PROCESSES = 2
TIMEOUT_SECONDS = 20
# Memory that a damaged file of B bytes may cost beyond what the undamaged one does: 10 B, and what varies from run to
# run.
TIMES_THE_FILE = 10
ALLOWANCE_KIB = 8 << 10


class Job:
    """A damaged file and the command that reads it."""

    def __init__(self, number, folder, bench, group, name, data, command):
        self.number, self.group, self.folder = number, group, folder
        self.file = folder / name
        self.file.parent.mkdir(parents=True)
        self.file.write_bytes(data)
        self.size = len(data)
        self.out = folder / "out" / "written"
        self.out.parent.mkdir()
        if "pictures/" in name:
            shutil.copy(bench.pictures / "0.png", self.file.parent / "0.png")
        places = {"FILE": self.file, "FOLDER": self.file.parent, "OUT": self.out}
        self.command = [str(places.get(part, part)) for part in command]
        # What tells which damage it was from the undamaged file of the same command.
        self.baseline = (group, command[0])

    def describe(self):
        return {"number": self.number, "command": [TARE, *self.command], "seconds": TIMEOUT_SECONDS}


def run_all(jobs, folder):
    """The results by number; several processes side by side."""
    running = []
    for part in range(PROCESSES):
        listing = folder / f"jobs{part}.json"
        listing.write_text(json.dumps([job.describe() for job in jobs[part::PROCESSES]]))
        with (folder / f"results{part}").open("w") as out:
            command = [sys.executable, "-S", "-E", str(HERE / "damage_run.py"), str(listing)]
            running.append(subprocess.Popen(command, stdout=out))
    codes = [child.wait() for child in running]
    results = {}
    for part in range(PROCESSES):
        for line in (folder / f"results{part}").read_text().splitlines():
            result = json.loads(line)
            results[result["number"]] = result
    if any(codes) or len(results) != len(jobs):
        raise RuntimeError(f"{len(results)} results of {len(jobs)} jobs; exit codes {codes}")
    return results


def problems(job, result, peak):
    """What is wrong with how a command ended; `peak` is the memory that the undamaged file takes, in KiB."""
    said, code = result["said"], result["code"]
    lines = [line for line in said.splitlines() if line.strip()]
    if code is None:
        yield f"not finished after {TIMEOUT_SECONDS} s"
    elif code not in (0, 1, 2):
        yield f"ended with {code}: {said.strip()[-300:]}"
    if "tare itself failed" in said or "thread '" in said or "RUST_BACKTRACE" in said:
        yield f"panicked: {said.strip()[-300:]}"
    elif code == 2 and (not lines or [line for line in lines if line.startswith("error: ")] != lines[-1:]):
        yield f"not one line that starts with error: {said.strip()[-300:]}"
    elif code == 2 and job.file.name == "model.onnx":
        # The samples may be what no longer fits.
        named = any(name in said for name in ("model.onnx", "data.npz"))
        if not named:
            yield f"the error names no file: {said.strip()[-300:]}"
    left = sorted(path.name for path in job.out.parent.iterdir())
    if code == 2 and left:
        yield f"an error, and yet {left} was written"
    if code in (0, 1) and left not in ([], ["written"]):
        yield f"wrote {left}"
    allowed = peak + TIMES_THE_FILE * job.size // 1024 + ALLOWANCE_KIB
    if result["peak"] > allowed:
        yield f"{result['peak']} KiB of memory, {allowed} expected for a file of {job.size} bytes"
    if code == 0 and job.command[0] == "quantize":
        yield from invalid(job)


def loads(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # Its exceptions have no common class.
        return " ".join(str(error).split())[:200]
    return None


def invalid(job):
    """A written model has to load, unless its float model does not either."""
    if not job.out.exists():
        yield "no error and no model"
        return
    refused = loads(job.out)
    source = job.command[1]
    if refused and not loads(source):
        yield f"ONNX Runtime loads the float model, but not what was written: {refused}"


def made(bench, folder, harm, only=None):
    """The jobs of all kinds. `only` the first of each group with each command where it is given."""
    jobs, seen = [], set()
    for kind in KINDS:
        for group, name, data, command in kind(bench, harm):
            if only is None or (group, command[0]) not in seen:
                seen.add((group, command[0]))
                jobs.append(Job(len(jobs), folder / str(len(jobs)), bench, group, name, data, command))
    return jobs


def undamaged(case, bench):
    """What memory each command takes when nothing is damaged, in KiB. It has to succeed, or the rest tests nothing."""
    jobs = made(bench, case.folder, no_harm, only=True)
    results = run_all(jobs, case.folder)
    peaks = {}
    for job in jobs:
        result = results[job.number]
        case.expect(result["code"] == 0, f"{job.group}: exit code {result['code']}: {result['said'].strip()}")
        for problem in problems(job, result, result["peak"]):
            case.expect(False, f"{job.group}: {problem}")
        peaks[job.baseline] = result["peak"]
    case.note(f"{max(peaks.values(), default=0) >> 10} MiB at most")
    return peaks


def reason(result):
    """The message of an error without what differs from file to file."""
    text = re.sub(r"\S*/\S*", "", result["said"].strip())
    return re.sub(r"\d[\d.]*", "_", re.sub(r'"[^"]*"', '"…"', text))[:90]


def main():
    suite = Suite()
    begin = time.monotonic()
    bench = Bench(suite.folder / "bench")
    with suite.case("undamaged") as case:
        peaks = undamaged(case, bench)
    jobs = [job for job in made(bench, suite.folder / "jobs", Harm(SEED)) if suite.chosen(job.group)]
    results = run_all(jobs, suite.folder)
    tally = collections.defaultdict(collections.Counter)
    for job in jobs:
        result = results[job.number]
        found = list(problems(job, result, peaks[job.baseline]))
        tally[job.group]["error" if result["code"] == 2 else "valid"] += 1
        if found:
            print(f"FAIL {job.group} {job.number}: tare {' '.join(job.command)}")
            for problem in found:
                print("     " + problem.replace("\n", "\n     "), flush=True)
        suite.failed += bool(found)
        suite.passed += not found
    for group, outcomes in tally.items():
        slowest = max(results[job.number]["seconds"] for job in jobs if job.group == group)
        print(f"     {group}: {outcomes['error']} errors, {outcomes['valid']} valid, slowest {slowest:.1f} s")
    if os.environ.get("REASONS"):
        reasons = collections.Counter(reason(results[job.number]) for job in jobs if results[job.number]["code"] == 2)
        for text, count in reasons.most_common():
            print(f"     {count:5} {text}")
    print(f"     {time.monotonic() - begin:.0f} s")
    suite.finish()


main()

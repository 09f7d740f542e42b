"""Every model of the onnx package's backend tests through `tare plan` and `tare quantize`; and every node test on
floats between two layers, quantized with the test's inputs and held against the float model in ONNX Runtime.

A model either passes, or is refused: exit code 2 and one line that says why. It fails if the converter panics or ends
in another way, if ONNX Runtime does not load what was written at one of its four optimization levels, or if the numbers
are further from the float model's than `node_bound.py` works out, or the report's SQNR is not what ONNX Runtime shows.
"""

import collections
import concurrent.futures
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
import traceback

import node_bound as bound
import node_models
import numpy as np
import onnx
from common import TARE, Case, Suite, report_outputs, sqnr
from onnx import numpy_helper

PROCESSES = 2
# Refusals pass, so that a converter that refuses everything would; of the full set so many have to come through, of
# those with layers around them so many outputs have to be held against the bound.
LEAST_CONVERTED = 1250
LEAST_COMPARED = 900
TIMEOUT_SECONDS = 60
# What the report says of the loss, and what ONNX Runtime shows, as in generated.py; but these tensors are small, and
# one number on the other side of a rounding edge is much of their error. It may be this share of what the bound allows.
AGREEMENT_DB = 0.3
CHANCE_DB = 60.0
CHANCE_SHARE = 0.25


class Refused(Exception):
    """The converter said no, and why."""


def converter(case, *arguments):
    """Runs the converter. Raises Refused when it ends with 2 and a single line. What numbers beyond all use lose is no failure, and
    neither is it where one model makes NaN of them."""
    command = [TARE, *map(str, arguments), *(["--no-default-limits"] if arguments[0] == "quantize" else [])]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        case.expect(False, f"tare {arguments[0]}: not finished after {TIMEOUT_SECONDS} s")
        raise Refused("timeout") from None
    said = done.stderr.decode(errors="replace")
    lines = [line for line in said.splitlines() if line.strip()]
    # The engine's own panics become errors, which say that it cannot run the model; they count as refusals.
    clean = "RUST_BACKTRACE" not in said and "tare itself failed" not in said and "thread '" not in said
    case.expect(clean, f"tare {arguments[0]} panicked: {said.strip()[-600:]}")
    if done.returncode == 0 or done.returncode == 1 and not lines and arguments[0] == "quantize":
        return
    case.expect(done.returncode == 2, f"tare {arguments[0]}: exit code {done.returncode}: {said.strip()[-600:]}")
    one = len(lines) == 1 and lines[0].startswith("error: ")
    case.expect(one or not clean, f"tare {arguments[0]}: not one line that starts with error: {said.strip()[-600:]}")
    raise Refused(lines[-1] if lines else "")


def grouped(reason, folder):
    """A reason without what differs from model to model."""
    reason = reason.replace(str(folder), "").removeprefix("error: ")
    reason = re.sub(r'"[^"]*"', '"…"', re.sub(r"^/?[\w./+-]+\.(onnx|pb): ", "", reason))
    reason = re.sub(r"#\d+ |(?<=Node )\S+|\[[^]]*\]|-?\b\d[\d.,e+-]*\b", "_", reason)
    return reason[:110]


def save(entry, folder):
    """Model and test data as files; None for the data where there are none."""
    model = entry.path or folder / "model.onnx"
    if not entry.path:
        model.write_bytes(entry.model.SerializeToString())
    if entry.inputs is None:
        return model, None
    data = folder / "test_data_set_0"
    data.mkdir()
    for number, value in enumerate(node_models.external_inputs(entry.model.graph)):
        tensor = numpy_helper.from_array(entry.inputs[value.name], value.name)
        (data / f"input_{number}.pb").write_bytes(tensor.SerializeToString())
    return model, data


def check(entry, folder):
    """One model. Gives its name, the steps that it went through with their outcomes, problems and notes."""
    case = Case(entry.name, folder)
    outcomes = []
    try:
        folder.mkdir(parents=True)
        model, data = save(entry, folder)
        if entry.kind != "sandwich":
            outcomes.append(("plan", attempt(case, folder, "plan", model)))
        floats = entry.inputs and any(array.dtype == np.float32 for array in entry.inputs.values())
        if data and floats:
            outcomes.append((f"quantize {entry.kind}", convert(case, entry, folder, model, data)))
    except Exception:  # A bug in a test is a failed test: the others still run.
        case.problems.append(traceback.format_exc(limit=6).strip())
    if not os.environ.get("KEEP"):
        shutil.rmtree(folder, ignore_errors=True)
    return case.name, outcomes, case.problems, case.notes


def attempt(case, folder, *arguments):
    """"passed", or the reason of a refusal."""
    try:
        converter(case, *arguments)
    except Refused as refused:
        return grouped(str(refused), folder)
    return "passed"


def run(model, level, inputs, names=None):
    """Outputs by name and None, or None and what ONNX Runtime says."""
    try:
        running = bound.load(model, level)
        names = names or [output.name for output in running.get_outputs()]
        return dict(zip(names, running.run(names, inputs))), None
    except Exception as error:  # Its exceptions have no common class.
        return None, " ".join(str(error).split())[:300]


def convert(case, entry, folder, model, data):
    reference, _ = run(str(model), "disable", entry.inputs)
    out, report = folder / "int8.onnx", folder / "report.json"
    # Scales that follow from the smallest and largest number alone can be foretold.
    policy = folder / "policy.yaml"
    policy.write_text("version: 1\nweights: { range: minmax, avoid_saturation: false }\n")
    more = ["--validation", data, "--calibrator", "minmax", "--report", report, "--threads", 1, "-q", "-c", policy]
    outcome = attempt(case, folder, "quantize", model, "--data", data, "-o", out, *more)
    if outcome != "passed":
        case.expect(not out.exists() and not report.exists(), f"it left a file behind: {outcome}")
        return outcome
    if reference is None:
        return "passed, but ONNX Runtime does not run the float model"
    found = {}
    for level in bound.LEVELS:
        outputs, why = run(str(out), level, entry.inputs, list(reference))
        if not outputs and not run(str(model), level, entry.inputs)[0]:
            case.note(f"ONNX Runtime does not run the float model at level {level} either")
        elif case.expect(outputs, f"ONNX Runtime does not run it at level {level}: {why}"):
            found[level] = outputs
    if "disable" not in found:
        return "passed"
    return compare(case, entry, reference, found, onnx.load(out), report)


def compare(case, entry, reference, found, quantized, report):
    """Holds the outputs of all levels against the bound, and the report against the outputs."""
    smoothed = bound.smoothed(entry.model, quantized)
    if smoothed != entry.model:
        again = bound.run(smoothed.SerializeToString(), entry.inputs)
        same = all(np.array_equal(again[name], exact) for name, exact in reference.items())
        case.expect(same, "smoothed, it is no longer the same float model bit for bit")
        entry = dataclasses.replace(entry, model=smoothed)
    written = bound.Written(quantized, entry.model)
    names = {member for _, _, members in written.grids.values() for member in members}
    values = entry.inputs | bound.run(bound.expose(entry.model, names).SerializeToString(), entry.inputs)
    steps = bound.check_grids(case, entry, written, values)
    halves = bound.check_weights(case, entry, written)
    limits = bound.sensitivity(entry, reference, values, steps, halves)
    free = bound.exempt(entry.model, steps)
    stated = json.loads(report.read_text())
    validated = stated["validation"] is not None
    losses = report_outputs(report) if validated else {}
    outcome = "passed" if validated else f"passed, not validated: {grouped(str(stated['not_validated']), case.folder)}"
    for name, exact in reference.items():
        if not isinstance(exact, np.ndarray):
            case.note(f"{name}: exempt, a sequence")
            continue
        if exact.dtype != np.float32 or name in free:
            case.note(f"{name}: exempt, {free.get(name, 'not float32')}")
            continue
        if not np.isfinite(exact).all() or not np.isfinite(limits[name]):
            case.note(f"{name}: exempt, not finite with noise of half a step")
            continue
        limit = bound.FACTOR * limits[name] + bound.RELATIVE * bound.rms(exact) + bound.ABSOLUTE
        for how, outputs in found.items():
            allowed = limit * (bound.KERNELS_FACTOR if how in ("extended", "all") else 1)
            shape = outputs[name].shape == exact.shape
            error = bound.rms(outputs[name].astype(np.float64) - exact) if shape else float("inf")
            good = error <= allowed
            case.expect(good, f"{name}: RMS error {error:.4g} at level {how}, at most {allowed:.4g} expected")
        case.note("compared")
        if name in losses:
            agree(case, name, losses[name], exact, found["disable"][name], limit)
        elif validated:
            case.expect(False, f"{name}: the report does not list it")
    if written.unknown:
        case.note(f"not in the float model: {', '.join(written.unknown)}")
    return outcome


def agree(case, name, stated, exact, output, limit):
    """The report's SQNR against that of ONNX Runtime."""
    measured = sqnr(exact, output)
    if stated is None or min(stated, measured) > CHANCE_DB or abs(stated - measured) <= AGREEMENT_DB:
        return
    signal = bound.rms(exact)
    errors = [signal * 10 ** (-loss / 20) for loss in (stated, measured)]
    good = abs(errors[0] - errors[1]) <= CHANCE_SHARE * limit
    case.expect(good, f"{name}: the report states {stated:.2f} dB, ONNX Runtime shows {measured:.2f}")


def entries():
    """Everything to be tried, and how many node tests have no sandwich, by reason."""
    made, without = list(node_models.shipped()), collections.Counter()
    nodes = list(node_models.nodes())
    made += nodes
    for entry in nodes:
        for constant in (False, True):
            between = node_models.sandwich(entry, constant)
            if isinstance(between, str):
                without[between] += not constant
            elif between:
                made.append(between)
    return made, without


def main():
    suite = Suite()
    begin = time.monotonic()
    made, without = entries()
    kinds = collections.Counter(entry.kind for entry in made)
    with suite.case("collected") as case:
        for kind, least in node_models.LEAST.items():
            case.expect(kinds[kind] >= least, f"only {kinds[kind]} models of kind {kind}, expected {least} or more")
            case.note(f"{kinds[kind]} {kind}")
    for reason, count in without.most_common():
        print(f"     no sandwich of {count} node tests: {reason}")
    chosen = [(entry, suite.folder / str(number)) for number, entry in enumerate(made) if suite.chosen(entry.name)]
    tally, notes = collections.defaultdict(collections.Counter), collections.Counter()
    with concurrent.futures.ProcessPoolExecutor(PROCESSES) as pool:
        for name, outcomes, problems, noted in pool.map(check, *zip(*chosen), chunksize=8):
            for step, outcome in outcomes:
                tally[step][outcome] += 1
            notes.update(re.sub(r"^[^:]*: ", "", note) for note in noted if not note.startswith("not in"))
            notes["a value of the written model is not in the float model"] += any("not in the" in n for n in noted)
            if problems:
                print(f"FAIL {name}")
                for problem in problems:
                    print("     " + problem.replace("\n", "\n     "), flush=True)
            suite.failed += bool(problems)
            suite.passed += not problems
    summary(tally, notes)
    if not suite.only:
        with suite.case("enough") as case:
            converted = sum(n for outcome, n in tally["quantize sandwich"].items() if outcome.startswith("passed"))
            case.note(f"{converted} converted, {notes['compared']} outputs compared")
            case.expect(converted >= LEAST_CONVERTED, f"expected {LEAST_CONVERTED} or more converted")
            case.expect(notes["compared"] >= LEAST_COMPARED, f"expected {LEAST_COMPARED} or more compared")
    print(f"     {time.monotonic() - begin:.0f} s")
    suite.finish()


def summary(tally, notes):
    for step, outcomes in tally.items():
        passed = sum(count for outcome, count in outcomes.items() if outcome.startswith("passed"))
        print(f"     {step}: {passed} passed, {sum(outcomes.values()) - passed} refused")
        for outcome, count in outcomes.most_common():
            print(f"       {count:5} {outcome}")
    for note, count in notes.most_common():
        print(f"     {count:5} outputs or models: {note}")


if __name__ == "__main__":
    sys.exit(main())

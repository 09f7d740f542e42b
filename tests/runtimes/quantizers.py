"""Models of other quantizers, ONNX Runtime's, NNCF and ModelOpt: what the commands say of them is what ONNX Runtime shows.

NNCF and ModelOpt are tried where QUANTIZERS=path/to/python names an environment that has them, as `run` does.
"""

import csv
import json
import logging
import os
import random
import subprocess
from types import SimpleNamespace

import models_blocks  # noqa: F401 (importing fills the catalogue)
import models_conv  # noqa: F401
import models_graph  # noqa: F401
import models_layers  # noqa: F401
import models_matmul  # noqa: F401
import numpy as np
import onnx
import onnxruntime as ort
from catalogue import CATALOGUE
from common import ROOT, Suite, interface, run, sqnr, tare
from faults import FAULTS, Planted, compared, excess
from faults import MODELS as LAYERED
from grids import grid_excess, grids, shown
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from peer import Samples
from PIL import Image

LIBRARY = os.path.dirname(ort.__file__)
OTHERS = ROOT / "tests" / "runtimes" / "other_quantizers.py"
PYTHON = os.environ.get("QUANTIZERS")
TIMEOUT_SECONDS = 600
# Beside the classifier that comes with the converter.
MODELS = (
    *LAYERED,
    "squeeze_and_excitation",
    "mobilenet_v3_block",
    "attention",
)
# Two roads to the same numbers.
AGREEMENT_DB = 0.05
# Above it, a few numbers between two steps are all the noise there is.
CHANCE_DB = 60.0
# So much further below the noise of quantization lies that of rounding (docs/validation.md).
ROUNDING_DB = 6.0
# Of so few numbers, so many steps are rounding, too, where quantization changes more than half a one.
FEW_NUMBERS, FEW_STEPS = 100, 4.0
# The same where nodes compute in 16 bits: noise this much above that of quantization, and a difference so many times as large.
HALVES_DB, HALVES_MOST = 3.0, 2.0
# float32 beside a step.
SLACK = 1.001
# How near both reckonings of what a grid costs come: the order of additions moves numbers that lie between two steps.
NEAR_DB = 0.5
# Samples that `--layers` looks at.
LAYER_SAMPLES = 16
PLANTED, FELT_DB = 2, 40.0
# What rounding weights to eight bits leaves. NNCF gives the first layer seven, for old CPUs, and moves biases so that they
# make up for the rounding of activations. Wrong numbers stay wrong.
WEIGHTS_DB, NNCF_DB, BROKEN_DB = 30.0, 24.0, 20.0
QUANTIZED = ("Linear", "Integer", "QGemm", "NBits")


def static(form, activations, per_channel):
    def make(original, calibration, made):
        kinds = {"activation_type": activations, "weight_type": QuantType.QInt8, "per_channel": per_channel}
        quantize_static(original, made, Samples(calibration), quant_format=form, **kinds)

    return make


def dynamic(original, calibration, made):
    quantize_dynamic(original, made, weight_type=QuantType.QInt8)


OWN = {
    "ort-qdq": static(QuantFormat.QDQ, QuantType.QUInt8, True),
    "ort-int8": static(QuantFormat.QDQ, QuantType.QInt8, True),
    "ort-qoperator": static(QuantFormat.QOperator, QuantType.QUInt8, True),
    "ort-dynamic": dynamic,
}
ELSEWHERE = ("nncf", "nncf-plain", "modelopt-max", "modelopt-entropy", "modelopt-float16") if PYTHON else ()
# Faults are planted in those of the plain kinds.
PLAIN = ("nncf-plain", "modelopt-max")


def pictures():
    """The classifier, pictures to calibrate and others that have labels."""
    folder = ROOT / "calibration" / "fashion"
    with open(folder / "test_labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))[:200]

    def read(paths):
        grey = np.stack([np.asarray(Image.open(path).convert("L"), np.float32) for path in paths])
        return {"image": (grey[:, None] / 255 - np.float32(0.286)) / np.float32(0.353)}

    calibration = read(sorted((folder / "calibration").glob("*.png"))[:100])
    validation = read([folder / "test" / row["file"] for row in rows])
    return onnx.load(folder / "model.onnx"), calibration, validation, np.array([int(row["label"]) for row in rows])


class Model:
    """A float model with its samples, as files and as arrays, and where its quantized forms lie."""

    def __init__(self, folder, name, make):
        self.name, self.folder = name, folder / f"{name}-files"
        self.folder.mkdir()
        model, self.calibration, self.validation, *labels = make()
        self.labels = labels[0] if labels else None
        self.original = self.folder / "float.onnx"
        onnx.save(model, self.original)
        np.savez(self.folder / "calibration.npz", **self.calibration)
        np.savez(self.folder / "validation.npz", **self.validation)
        self.expected = run(self.original, self.validation)

    def made(self, way):
        return self.folder / f"{way}.onnx"


def quantize_elsewhere(suite, models):
    """By the quantizers of the other environment, all at once: they take longer to be imported than to do it."""
    jobs = []
    for model in models:
        files = {"model": str(model.original), "calibration": str(model.folder / "calibration.npz")}
        jobs += [{"way": way, **files, "made": str(model.made(way))} for way in ELSEWHERE]
    path = suite.folder / "jobs.json"
    path.write_text(json.dumps(jobs))
    with suite.case("made-elsewhere") as case:
        done = subprocess.run([PYTHON, OTHERS, path], capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        case.expect(done.returncode == 0, done.stderr[-1500:])
        case.note(f"{sum(os.path.exists(job['made']) for job in jobs)} of {len(jobs)}")
        for way in ELSEWHERE:
            made = sum(model.made(way).exists() for model in models)
            case.expect(2 * made > len(models), f"{way} quantized {made} of {len(models)} models")


def distance(step, reference, found):
    """Noise in dB below the signal, the largest difference, the step that tells, and how many numbers there are."""
    return sqnr(reference, found), float(np.max(np.abs(reference - found))), step, found.size


def near(found, lost, halves):
    """How near a runtime, `found` away from the re-execution, comes to it, as docs/validation.md has it. `halves`: the model has nodes of
    16 bits, which are run again in 32: each number that float16 rounds across the middle between two steps of a grid is off by one."""
    if found[1] <= found[2] * SLACK:
        return "step"
    if found[3] < FEW_NUMBERS and found[1] <= found[2] * FEW_STEPS * SLACK and lost[1] > found[2] / 2 * SLACK:
        return "rounding"
    margin, most = (-HALVES_DB, HALVES_MOST) if halves else (ROUNDING_DB, 1.0)
    return "rounding" if found[0] >= lost[0] + margin and found[1] <= lost[1] * most else "apart"


def verdict(disable_all, default):
    if disable_all == "apart":
        return "disagreement"
    if default == "apart":
        return "fusion"
    return "rounding" if "rounding" in (disable_all, default) else "quantization"


def expect_db(case, what, stated, measured):
    stated = float("inf") if stated is None else stated
    good = abs(stated - measured) <= AGREEMENT_DB or min(stated, measured) > CHANCE_DB
    case.expect(good, f"{what}: {stated:.2f} dB stated, {measured:.2f} measured")


def expect_outputs(case, model, made, report, way):
    """Distances and verdicts of the report are those of what both programs give, each asked on its own."""
    own = case.folder / "own.npz"
    tare("record", made, "--data", model.folder / "validation.npz", "-o", own, "-q")
    with np.load(own) as recorded:
        own = {name: recorded[name] for name in model.expected}
    levels = [run(made, model.validation, optimize=optimize) for optimize in (False, True)]
    for stated, told in zip(report["outputs"], report["reference"]["outputs"]):
        name, step = stated["name"], told["step"]
        reference = model.expected[name]
        lost = distance(step, reference, own[name].reshape(reference.shape))
        expect_db(case, f"{name} by re-execution", stated["sqnr_db"], lost[0])
        away = []
        for level, outputs in zip(("disable_all", "default"), levels):
            expect_db(case, f"{name} at {level}", told[f"float_to_{level}"]["sqnr_db"], sqnr(reference, outputs[name]))
            away.append(near(distance(step, own[name].reshape(reference.shape), outputs[name]), lost, "float16" in way))
        case.note(f"{name} {lost[0]:.1f} dB, {told['verdict']}")
        case.expect(told["verdict"] == verdict(*away), f"{name}: {told['verdict']}, expected {verdict(*away)} of {away}")
        case.expect(away[0] != "apart", f"{name}: ONNX Runtime shows something else than the re-execution")
        if way == "modelopt-float16":
            shown_db = sqnr(own[name].reshape(reference.shape), levels[0][name])
            case.expect(shown_db >= lost[0], f"{name}: ONNX Runtime is {shown_db:.1f} dB from the re-execution")


def expect_classes(case, model, made, report):
    (reference,) = model.expected.values()
    (found,) = run(made, model.validation).values()
    before, after = (scores.reshape(len(scores), -1).argmax(1) for scores in (reference, found))
    classes, one = report["classification"], 1.001 / len(model.labels)
    measured = {"top1_float": before == model.labels, "top1_quantized": after == model.labels, "top1_agreement": before == after}
    for key, right in measured.items():
        case.expect(abs(classes[key] - right.mean()) <= one, f"{key}: {classes[key]} stated, {right.mean()} measured")
    case.note(f"top-1 {classes['top1_float']:.3f} -> {classes['top1_quantized']:.3f}")


def expect_layers(case, model, made, way):
    """A value is named for its grid where, and only where, its grid costs more than it has to."""
    samples = {name: rows[:LAYER_SAMPLES] for name, rows in model.validation.items()}
    layers = compared(case, model.original, made, samples)["layers"]["layers"]
    values, known = shown(model.original, samples), grids(made)
    judged = 0
    for layer in layers:
        name, stated = layer["value"], layer["grid_excess_db"]
        if stated is None or name not in known or name not in values:
            continue
        judged += 1
        # What computes in 16 bits has noise of its own beside it.
        if "float16" in way:
            continue
        measured = grid_excess(values[name], *known[name])
        good = abs(stated - measured) <= NEAR_DB
        case.expect(good, f"grid of {name}: {stated:.1f} dB too much stated, {measured:.1f} measured")
    # A bias that NNCF moved is off by more than rounding explains.
    wrong = [layer for layer in layers if layer["suspect"] and layer["suspect"]["cause"] == "weights" and way != "nncf"]
    case.expect(not wrong, f"suspect for their weights: {wrong}")
    suspects = sum(layer["suspect"] is not None for layer in layers)
    case.note(f"{suspects} suspects, {judged} of {len(layers)} values judged")
    # Others have their grids elsewhere, or behind a Cast.
    case.expect(judged > 0 or way in ("ort-dynamic", "ort-qoperator", "modelopt-float16"), "no value has a grid to judge")


def check(case, model, way):
    made = model.made(way)
    report, data = case.folder / "report.json", case.folder / "labelled.npz"
    labels = {} if model.labels is None else {"__labels__": model.labels}
    np.savez(data, **model.validation, **labels)
    flags = ["--data", data, "--layers", "--reference", "onnxruntime", "--onnxruntime", LIBRARY, "--report", report, "-q"]
    tare("validate", model.original, made, *flags)
    told = json.loads(report.read_text())
    expect_outputs(case, model, made, told, way)
    if model.labels is not None:
        expect_classes(case, model, made, told)
    expect_layers(case, model, made, way)


def check_commands(case, model, way):
    """What takes our own models takes theirs."""
    made, ours, back = model.made(way), case.folder / "ours.onnx", case.folder / "back.onnx"
    case.expect(tare("inspect", made).stdout, "inspect says nothing")
    tare("quantize", model.original, "--data", model.folder / "calibration.npz", "--no-validation", "-o", ours, "-q")
    report = case.folder / "diff.json"
    case.expect(tare("diff", ours, made, "--report", report, expect=1).stdout, "diff says nothing")
    case.expect(json.loads(report.read_text()), "diff reports nothing")
    tare("diff", made, made, "-q")
    tare("dequantize", made, "-o", back, "-q")
    onnx.checker.check_model(str(back), full_check=True)
    left = [node.op_type for node in onnx.load(back).graph.node if any(word in node.op_type for word in QUANTIZED)]
    case.expect(not left, f"quantized still: {left}")
    case.expect(interface(made) == interface(back), "inputs or outputs changed their names, types or shapes")
    before, after = run(made, model.validation), run(back, model.validation)
    for name, reference in model.expected.items():
        quantized, floats = sqnr(reference, before[name]), sqnr(reference, after[name])
        case.note(f"{name} {quantized:.1f} -> {floats:.1f} dB")
        case.expect(floats >= quantized - 2.0, f"{name}: {quantized:.1f} dB quantized, {floats:.1f} as floats")
        least = NNCF_DB if "nncf" in way else WEIGHTS_DB
        case.expect(quantized < BROKEN_DB or floats >= least, f"{name}: {floats:.1f} dB as floats, expected {least}")


def check_planted(case, model, way):
    """Of what was not suspect before, the layer with the fault comes first."""
    samples = {name: rows[:LAYER_SAMPLES] for name, rows in model.validation.items()}
    expected = run(model.made(way), samples)
    before = compared(case, model.original, model.made(way), samples)["layers"]["layers"]
    clean = {layer["value"] for layer in before if not layer["suspect"]}
    planted = 0
    for seed in range(10 * PLANTED):
        net, fault = Planted(model.made(way)), FAULTS[seed % len(FAULTS)]
        wanted = getattr(net, fault)(random.Random(seed))
        bad = case.folder / f"bad{seed}.onnx"
        onnx.save(net.model, bad)
        if wanted is None or min(sqnr(expected[k], v) for k, v in run(bad, samples).items()) > FELT_DB:
            continue
        layers = compared(case, model.original, bad, samples)["layers"]["layers"]
        first = max((layer for layer in layers if layer["value"] in clean | wanted), key=excess)
        case.expect(first["value"] in wanted, f"{fault} {seed}: {first} comes before {sorted(wanted)}")
        planted += 1
        if planted == PLANTED:
            break
    case.note(f"{planted} planted")


def is_made(model, way):
    """Whether there is a model of this quantizer. What it cannot do, or leaves as it was, is no test of ours."""
    made = model.made(way)
    try:
        if way in OWN:
            OWN[way](model.original, model.calibration, made)
            run(made, model.validation)
        return any("QuantizeLinear" in node.op_type for node in onnx.load(made).graph.node)
    except Exception:
        return False


def main():
    logging.disable(logging.WARNING)
    suite = Suite()
    entries = [SimpleNamespace(name="classifier", make=pictures)]
    entries += [entry for entry in CATALOGUE if entry.name in MODELS]
    models = [Model(suite.folder, entry.name, entry.make) for entry in entries]
    if ELSEWHERE:
        quantize_elsewhere(suite, models)
    else:
        print("NNCF and ModelOpt: skipped, QUANTIZERS names no environment that has them")
    for model in models:
        for way in [*OWN, *ELSEWHERE]:
            kinds = {"": check, "-commands": check_commands, **({"-planted": check_planted} if way in PLAIN else {})}
            chosen = {kind: how for kind, how in kinds.items() if suite.chosen(f"{model.name}-{way}{kind}")}
            if not chosen or not is_made(model, way):
                continue
            for kind, how in chosen.items():
                with suite.case(f"{model.name}-{way}{kind}") as case:
                    how(case, model, way)
    suite.finish()


main()

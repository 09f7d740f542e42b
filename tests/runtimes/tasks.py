"""`tare validate --task`: what it measures on random outputs is what a few lines of numpy do, and its JUnit XML is read by Python."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import onnx
from common import Problem, Suite, tare
from onnx import TensorProto, helper

SAMPLES = 12


def model(path, shape, bias, metadata=(), mask=None):
    """One that adds a constant to its input, so that its outputs are whatever they are made to be."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    if mask:
        inputs.append(helper.make_tensor_value_info("attention_mask", TensorProto.INT64, mask))
    nodes = [helper.make_node("Add", ["x", "bias"], ["y"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    constant = helper.make_tensor("bias", TensorProto.FLOAT, bias.shape, bias.ravel())
    made = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, [constant]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    for key, value in metadata:
        entry = made.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(made, path)


def overlap(a, b):
    """Intersection over union of two boxes, given as left, top, right, bottom."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def detections(output):
    """Class and box of what is found in [4 + classes, boxes]."""
    x, y, w, h = output[:4]
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
    scores, classes, kept = output[4:].max(0), output[4:].argmax(0), []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if scores[i] > 0.25 and all(c != classes[i] or overlap(b, boxes[i]) <= 0.45 for c, b in kept):
            kept.append((classes[i], boxes[i]))
    return kept


def f1(float_output, quantized):
    same = total = 0
    for a, b in zip(float_output, quantized):
        ours, theirs = detections(a), detections(b)
        total += len(ours) + len(theirs)
        for kind, box in ours:
            best = max((i for i in range(len(theirs)) if theirs[i][0] == kind), key=lambda i: overlap(box, theirs[i][1]), default=None)
            if best is not None and overlap(box, theirs[best][1]) > 0.5:
                same += 1
                del theirs[best]
    return 2 * same / total


def iou(float_output, quantized):
    a, b = float_output > 0.3, quantized > 0.3
    return (a & b).sum() / (a | b).sum()


def class_iou(float_output, quantized):
    a, b = float_output.argmax(1), quantized.argmax(1)
    either = [((a == c) | (b == c)).sum() for c in range(float_output.shape[1])]
    return np.mean([((a == c) & (b == c)).sum() / e for c, e in enumerate(either) if e])


def texts(output, characters):
    found = []
    for row in output.argmax(-1):
        changes = [best for i, best in enumerate(row) if i == 0 or best != row[i - 1]]
        found.append("".join(characters[best - 1] for best in changes if best))
    return found


def nearest(output, mask):
    weights = mask[..., None].astype(np.float64)
    mean = (output * weights).sum(1) / weights.sum(1)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    cosine = mean @ mean.T
    np.fill_diagonal(cosine, -2)
    return cosine.argmax(1)


def compared(case, shape, x, noise, task, *flags, metadata=(), labels=None, mask=None):
    """What the program says, and the outputs of both models."""
    folder = case.folder
    bias = noise.astype(np.float32)
    masked = None if mask is None else [None, *mask.shape[1:]]
    model(folder / "float.onnx", [None, *shape], np.zeros_like(bias), metadata, masked)
    model(folder / "other.onnx", [None, *shape], bias, metadata, masked)
    arrays = {"x": x} | ({} if mask is None else {"attention_mask": mask}) | ({} if labels is None else {"__labels__": labels})
    np.savez(folder / "data.npz", **arrays)
    chosen = ["--task", task] if task else []
    common = ["--data", folder / "data.npz", "--no-default-limits", "--report", folder / "r.json", "--junit", folder / "r.xml", "-q"]
    done = tare("validate", folder / "float.onnx", folder / "other.onnx", *common, *chosen, *flags)
    if done.stdout:
        raise Problem(f"--quiet prints {done.stdout}")
    suite = ElementTree.parse(folder / "r.xml").getroot().find("testsuite")
    cases = suite.findall("testcase")
    case.expect(int(suite.get("tests")) == len(cases) >= 2, f"{suite.attrib} of {len(cases)} cases")
    case.expect({c.get("name") for c in cases} == {"y"}, f"names {[c.get('name') for c in cases]}")
    return json.loads((folder / "r.json").read_text())["tasks"][0], x, x + bias


def near(case, what, found, wanted):
    case.expect(found is not None and abs(found - wanted) < 1e-6, f"{what}: {found}, numpy says {wanted}")


suite = Suite()
rng = np.random.default_rng(7)

with suite.case("yolo") as case:
    boxes = np.concatenate([rng.uniform(0, 40, (SAMPLES, 2, 60)), rng.uniform(5, 20, (SAMPLES, 2, 60)), rng.uniform(0, 0.6, (SAMPLES, 3, 60))], 1)
    noise = np.concatenate([rng.normal(0, 2, (1, 4, 60)), rng.normal(0, 0.1, (1, 3, 60))], 1)
    named = [("task", "detect"), ("names", "{0: 'a', 1: 'b', 2: 'c'}")]
    told, a, b = compared(case, (7, 60), boxes.astype(np.float32), noise, None, metadata=named)
    near(case, "F1", told["f1"], f1(a, b))
    near(case, "MSE of scores", told["scores"]["mse"], np.mean((a[:, 4:] - b[:, 4:]) ** 2))
    near(case, "MSE of boxes", told["boxes"]["mse"], np.mean((a[:, :4] - b[:, :4]) ** 2))
    case.expect(0.3 < told["f1"] < 0.95, f"F1 {told['f1']} tests little")

with suite.case("segment") as case:
    pixels = rng.uniform(0, 1, (SAMPLES, 1, 8, 9)).astype(np.float32)
    told, a, b = compared(case, (1, 8, 9), pixels, rng.normal(0, 0.2, (1, 1, 8, 9)), "segment")
    near(case, "IoU", told["iou"], iou(a, b))
    near(case, "mean IoU", told["iou_mean"], np.mean([iou(p, q) for p, q in zip(a, b)]))
    near(case, "least IoU", told["worst"]["value"], min(iou(p, q) for p, q in zip(a, b)))

with suite.case("segment-classes") as case:
    pixels = rng.uniform(0, 1, (SAMPLES, 4, 8, 9)).astype(np.float32)
    told, a, b = compared(case, (4, 8, 9), pixels, rng.normal(0, 0.2, (1, 4, 8, 9)), "y=segment-classes")
    near(case, "IoU", told["iou"], class_iou(a, b))

with suite.case("ctc") as case:
    characters = ["ä", "b", "中"]
    steps = rng.uniform(0, 1, (SAMPLES, 6, 4)).astype(np.float32)
    labels = np.array([text if i % 3 else "?" for i, text in enumerate(texts(steps, characters))])
    (case.folder / "c.txt").write_text("\n".join(characters), encoding="utf8")
    flags = ["--charset", case.folder / "c.txt"]
    told, a, b = compared(case, (6, 4), steps, rng.normal(0, 0.1, (1, 6, 4)), "ctc", *flags, labels=labels)
    ours, theirs = texts(a, characters), texts(b, characters)
    near(case, "texts", told["matches"], np.mean([p == q for p, q in zip(ours, theirs)]))
    near(case, "steps", told["step_agreement"], (a.argmax(-1) == b.argmax(-1)).mean())
    near(case, "right before", told["accuracy_float"], np.mean([p == q for p, q in zip(ours, labels)]))
    near(case, "right after", told["accuracy_quantized"], np.mean([p == q for p, q in zip(theirs, labels)]))

with suite.case("embed") as case:
    tokens = rng.normal(0, 1, (SAMPLES, 5, 8)).astype(np.float32)
    shown = (np.arange(5) < rng.integers(1, 6, (SAMPLES, 1))).astype(np.int64)
    told, a, b = compared(case, (5, 8), tokens, rng.normal(0, 0.3, (1, 5, 8)), "embed", mask=shown)
    near(case, "neighbours", told["agreement"], (nearest(a, shown) == nearest(b, shown)).mean())

suite.finish()

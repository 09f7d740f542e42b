"""Models that take the bytes of a camera: ONNX Runtime on bytes against the float model on normalized numbers."""

import json

import numpy as np
import onnx
from common import Suite, run, sqnr, tare
from net import Net
from PIL import Image

SIZE = 24
COUNT = 24
# As of ImageNet: the number 0 is another level in each channel, and no whole one.
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
LEAST_DB = 24


def tail(net, x, channels=8):
    x = net.node("Relu", x)
    x = net.node("Relu", net.conv(x, channels, channels, pads=[1, 1, 1, 1]))
    net.output(net.conv(x, channels, 4, kernel=1), [4, None, None])


def plain(net):
    tail(net, net.conv(net.input([3, SIZE, SIZE]), 3, 8))


def padded(net):
    tail(net, net.conv(net.input([3, SIZE, SIZE]), 3, 8, pads=[1, 1, 1, 1], strides=[2, 2]))


def unlike_sides(net):
    tail(net, net.conv(net.input([3, SIZE, SIZE]), 3, 8, pads=[0, 0, 1, 1]))


def channels_last(net):
    x = net.node("Transpose", net.input([SIZE, SIZE, 3]), perm=[0, 3, 1, 2])
    tail(net, net.conv(x, 3, 8, pads=[1, 1, 1, 1]))


def normalized_inside(net):
    x = net.node("Sub", net.input([3, SIZE, SIZE]), net.constant(np.reshape([0.1, 0.2, -0.1], (3, 1, 1))))
    x = net.node("Div", x, net.constant(np.reshape([1.1, 0.9, 1.3], (3, 1, 1))))
    tail(net, net.conv(x, 3, 8, pads=[1, 1, 1, 1]))


def flattened(net):
    x = net.node("Flatten", net.input([3, SIZE, SIZE]))
    weights = net.constant(net.weights(16, 3 * SIZE * SIZE))
    x = net.node("Relu", net.node("Gemm", x, weights, net.constant(net.bias(16)), transB=1))
    net.output(net.node("Gemm", x, net.constant(net.weights(4, 16)), transB=1), [4])


def pictures(case):
    """Smooth noise, as levels."""
    random = np.random.default_rng(7)
    folder = case.folder / "pictures"
    folder.mkdir()
    made = []
    for index in range(COUNT):
        coarse = random.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        picture = Image.fromarray(coarse).resize((SIZE, SIZE), Image.BICUBIC)
        picture.save(folder / f"{index:02}.png")
        made.append(np.asarray(picture))
    return folder, np.stack(made)


def check(case, build, opset, words):
    net = Net(case.name, opset)
    build(net)
    original, made, report = case.folder / "float.onnx", case.folder / "made.onnx", case.folder / "report.json"
    onnx.save(net.model(), original)
    folder, levels = pictures(case)
    policy = case.folder / "policy.yaml"
    policy.write_text(
        f"version: 1\n{words.replace('--format', 'format:')}\nstrict: true\nio: {{ inputs: uint8, fold_normalization: true }}\nactivations: {{ calibrator: minmax }}\n"
        f"data:\n  calibration: {{ path: {folder} }}\n  validation: {{ path: {folder} }}\n"
        f"  preprocess: {{ mean: {MEAN}, std: {STD} }}\n"
    )
    tare("quantize", original, "-c", policy, "-o", made, "--report", report, "-q")
    onnx.checker.check_model(str(made), full_check=True)
    stated = json.loads(report.read_text())["validation"]["outputs"][0]["sqnr_db"]
    last = build is channels_last
    numbers = (levels.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    numbers, levels = (a if last else np.ascontiguousarray(a.transpose(0, 3, 1, 2)) for a in (numbers, levels))
    expected = run(original, {"x": numbers})
    entry = next(json.loads(p.value) for p in onnx.load(made).metadata_props if p.key == "tare.io.x")
    axis = np.reshape([-1 if i == entry["axis"] else 1 for i in range(4)], -1)
    meant = (levels - np.reshape(entry["zero_point"], axis)) * np.reshape(entry["scale"], axis)
    case.expect(np.abs(meant - numbers).max() < 1e-4, "the metadata does not say what the bytes are")
    for optimize in [False, True]:
        for name, found in run(made, {"x": levels}, optimize=optimize).items():
            measured = sqnr(expected[name], found)
            case.note(f"{measured:.1f} dB")
            case.expect(measured >= LEAST_DB, f"{name}: SQNR {measured:.1f} dB, expected {LEAST_DB} or more")
            good = abs(stated - measured) <= (1.5 if optimize else 0.3)
            case.expect(good, f"{name}: the report states {stated:.2f} dB, ONNX Runtime shows {measured:.2f}")
    # What is whole stays whole, with the same samples: they are levels, or numbers that levels stand for.
    again = case.folder / "again.onnx"
    data = ["--data", folder, "--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD))]
    tare("quantize", made, "-o", again, "--quantized-input", "complete", "--strict", *words.split(), "-q", *data)
    before, after = (run(path, {"x": levels}) for path in (made, again))
    case.expect(all(np.array_equal(before[name], after[name]) for name in before), "completing it changed it")


def main():
    suite = Suite()
    for build in [plain, padded, unlike_sides, channels_last, normalized_inside, flattened]:
        for opset, form in [(13, "qdq"), (21, "qdq"), (13, "qoperator")]:
            name = f"{build.__name__}-{form}-{opset}"
            if suite.chosen(name):
                with suite.case(name) as case:
                    check(case, build, opset, f"--format {form}")
    suite.finish()


main()

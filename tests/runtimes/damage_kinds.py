"""What `damage.py` damages and how: each kind gives the bytes of files, and the commands that read them."""

import io
import os
import struct
import subprocess
import zipfile
import zlib

import numpy as np
import onnx
from common import ROOT, TARE
from net import Net
from PIL import Image

# More of them are a matter of patience.
PLACES = int(os.environ.get("PLACES", "1000"))
SIDE = 8


def tiny_model():
    """Each kind of thing that a model can hold, in about 3 kB."""
    net = Net("damage", opset=17)
    net.inputs.append(onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 1, SIDE, SIDE]))
    x = net.node("Relu", net.batch_norm(net.conv("image", 1, 4), 4))
    skip = net.node("Conv", x, net.constant(net.weights(4, 1, 3, 3)), group=4, pads=[1, 1, 1, 1])
    x = net.relu6(net.node("Add", x, skip))
    x = net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("Concat", x, net.node("Sigmoid", x), axis=1)
    x = net.node("Pad", x, net.ints(0, 0, 1, 1, 0, 0, 0, 0), net.constant(0.0))
    x = net.node("Reshape", net.node("Transpose", x, perm=[0, 2, 3, 1]), net.ints(1, -1))
    x = net.node("Gemm", x, net.constant(net.weights(6, 200)), net.constant(net.bias(6)), transB=1, alpha=0.5)
    weight = net.node("Constant", value=onnx.numpy_helper.from_array(net.weights(6, 4)))
    x = net.node("MatMul", x, weight)
    net.outputs.append(onnx.helper.make_tensor_value_info(net.node("Softmax", x), onnx.TensorProto.FLOAT, [1, 4]))
    model = net.model()
    model.metadata_props.add(key="author", value="nobody")
    model.graph.doc_string = "What stands here is kept."
    return model


class Bench:
    """Everything undamaged, in files."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.random = np.random.default_rng(4)
        self.model = folder / "model.onnx"
        onnx.save(tiny_model(), self.model)
        self.array = self.random.normal(0, 1, (6, 1, SIDE, SIDE)).astype(np.float32)
        self.npz = folder / "data.npz"
        np.savez(self.npz, image=self.array)
        self.pictures = folder / "pictures"
        self.pictures.mkdir()
        for number in range(2):
            Image.fromarray(self.pixels()).save(self.pictures / f"{number}.png")

    def pixels(self):
        """A picture with edges and noise, so that encoders use more than one kind of block."""
        pixels = self.random.integers(0, 256, (SIDE * 2, SIDE * 2, 3), dtype=np.uint8)
        pixels[:SIDE] = 200
        return pixels


def damaged(data, random):
    """`data` with something wrong in it."""
    kind = random.integers(0, 8)
    at = int(random.integers(0, len(data)))
    some = int(random.integers(1, 9))
    if kind <= 2:
        return data[:at] + bytes([data[at] ^ (1 << int(random.integers(0, 8)))]) + data[at + 1 :]
    if kind == 3:
        return data[:at] + random.bytes(1) + data[at + 1 :]
    if kind == 4:
        # Sizes and counts are what large numbers hurt.
        extreme = [b"\xff" * some, b"\x00" * some, b"\x7f" + b"\xff" * some, b"\x80" * some][int(random.integers(0, 4))]
        return data[:at] + extreme + data[at + len(extreme) :]
    if kind == 5:
        return data[:at]
    if kind == 6:
        return data[:at] + data[at + some :]
    return data[:at] + random.bytes(some) + data[at:]


# What YAML and JSON are made of.
WORDS = b"[ ] { } : - # ' \" | > & * ! % @ ` , ~ null true 1 -1 0 1e999 .nan .inf &a *a << --- ... \t \n ? 1e-320 0x7f"
WORDS = WORDS.split(b" ")


def damaged_text(data, random):
    """As `damaged`, or with words of the format itself in wrong places."""
    kind = random.integers(0, 3)
    if kind == 0:
        return damaged(data, random)
    at = int(random.integers(0, len(data)))
    word = WORDS[int(random.integers(0, len(WORDS)))]
    if kind == 1:
        return data[:at] + word * int(random.choice([1, 1, 1, 2, 50])) + data[at:]
    lines = data.splitlines(keepends=True)
    first, second = (int(random.integers(0, len(lines))) for _ in range(2))
    lines[first], lines[second] = lines[second], [lines[first], b"", b"  " + lines[second]][int(random.integers(0, 3))]
    return b"".join(lines)


class Harm:
    """Damages what it is given, always the same way in the same order; or leaves it alone, for comparison."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def __call__(self, data, text=False, field=False):
        how = damaged_text if text else damaged_field if field else damaged
        return how(data, self.random)


def no_harm(data, text=False, field=False):
    return data


def png_with_checksums(data):
    """Each chunk's checksum as it should be, as far as there are chunks."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        body = data[at + 4 : at + 8 + size]
        if at + 12 + size > len(data):
            break
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return bytes(out + data[at:])


def zipped(inside, method):
    """An archive of one array's file, with right checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("image.npy", inside)
    return file.getvalue()


def models(bench, harm):
    """The model as every command reads it: (how, file name, bytes, command)."""
    whole = bench.model.read_bytes()
    for number in range(PLACES):
        # Conversion is what takes longest.
        how = ("inspect", "plan", "quantize", "plan")[number % 4]
        more = ["--data", bench.npz, "-o", "OUT"] if how == "quantize" else []
        yield f"model {how}", "model.onnx", harm(whole), [how, "FILE", *more]
    large = (ROOT / "calibration/fashion/model.onnx").read_bytes()
    for number in range(40):
        yield "large model inspect", "model.onnx", harm(large), ["inspect", "FILE"]


def fields(bench, harm):
    """The model with one field set to what makes no sense there: what bytes at random seldom reach."""
    whole = bench.model.read_bytes()
    for number in range(PLACES):
        how = ("quantize", "plan")[number % 2]
        more = ["--data", bench.npz, "-o", "OUT"] if how == "quantize" else []
        yield f"fields {how}", "model.onnx", harm(whole, field=True), [how, "FILE", *more]


ODD_INTEGERS = [0, 1, 2, 3, -1, -2, 7, 255, 1 << 20, 1 << 31, -(1 << 31), 1 << 40, (1 << 63) - 1, -(1 << 63)]


def damaged_field(data, random):
    """The model's bytes with a number, a name, a shape, a type or an operator in it that does not belong there."""

    def any_of(things):
        return things[int(random.integers(0, len(things)))]

    model = onnx.load_from_string(data)
    graph = model.graph
    node, tensor = any_of(graph.node), any_of(graph.initializer)
    names = [name for other in graph.node for name in [*other.input, *other.output]]
    kind = int(random.integers(0, 12))
    if kind == 0 and node.attribute:
        attribute = any_of(node.attribute)
        if attribute.ints:
            attribute.ints[int(random.integers(0, len(attribute.ints)))] = any_of(ODD_INTEGERS)
        elif attribute.HasField("f"):
            attribute.f = any_of([0.0, -1.0, 1e38, float("nan"), float("inf")])
        else:
            attribute.i = any_of(ODD_INTEGERS)
    elif kind == 1 and node.attribute:
        attribute = any_of(node.attribute)
        del attribute.ints[int(random.integers(0, len(attribute.ints) + 1)) :]
    elif kind == 2 and node.attribute:
        any_of(node.attribute).type = int(random.integers(0, 15))
    elif kind == 3:
        name = any_of(["axis", "group", "pads", "strides", "transA", "auto_pad", "perm", "to"])
        node.attribute.add(name=name, i=-3, type=2)
    elif kind == 4 and tensor.dims:
        tensor.dims[int(random.integers(0, len(tensor.dims)))] = any_of(ODD_INTEGERS)
    elif kind == 5:
        # As many elements, in another number of axes.
        count = int(np.prod(tensor.dims))
        dims = any_of([[count], [1, count], [count, 1, 1], [1] * 9 + [count], []])
        del tensor.dims[:]
        tensor.dims.extend(dims)
    elif kind == 6:
        tensor.data_type = int(random.integers(0, 26))
    elif kind == 7:
        if node.input and random.integers(0, 2):
            node.input[int(random.integers(0, len(node.input)))] = any_of([*names, ""])
        else:
            node.input.append(any_of(names))
    elif kind == 8 and node.input:
        del node.input[int(random.integers(0, len(node.input))) :]
    elif kind == 9:
        others = ["If", "Loop", "Split", "Resize", "Gather", "Cast"]
        node.op_type = any_of([other.op_type for other in graph.node] + others)
    elif kind == 10:
        model.opset_import[0].version = any_of([*range(1, 30), 1 << 40, -1])
    else:
        dim = any_of([*graph.input, *graph.output]).type.tensor_type
        if random.integers(0, 2):
            dim.elem_type = int(random.integers(0, 26))
        else:
            dim.shape.dim[int(random.integers(0, len(dim.shape.dim)))].dim_value = any_of(ODD_INTEGERS)
    return model.SerializeToString()


def policies(bench, harm):
    text = f"""\
# A policy.
version: 1
model: {bench.model}
output: int8.onnx
data:
  calibration: {{ path: {bench.npz}, samples: 4 }}
  preprocess: {{ mean: 0.286, std: [0.353], size: [8, 8], scale: 0.0039 }}
activations: {{ type: uint8, calibrator: percentile, percentile: 99.9 }}
weights:
  granularity: per_channel
  type: int8
rules:
  - match: {{ op_type: [Gemm, "Mat*"] }}
    quantize: false
    reason: "too small to matter"
  - match: {{ value: image }}
    range: [-3.5, 3.5]
  - match: {{ node: conv_0 }}
    weights: {{ granularity: per_tensor }}
thresholds: {{ sqnr_db: 0.5, cosine: 0.1 }}
"""
    for number in range(PLACES):
        how = "quantize" if number % 5 == 4 else "plan"
        more = ["-o", "OUT", "--data", bench.npz] if how == "quantize" else []
        data = harm(text.encode(), text=True)
        yield f"policy {how}", "policy.yaml", data, [how, bench.model, "-c", "FILE", *more]


def pictures(bench, harm):
    encoded = {}
    for form, more in {"png": {}, "jpg": {"quality": 80}, "bmp": {}, "webp": {"lossless": True}, "WEBP": {}}.items():
        file = io.BytesIO()
        Image.fromarray(bench.pixels()).save(file, {"jpg": "jpeg"}.get(form, form.lower()), **more)
        encoded[form] = file.getvalue()
    for number in range(PLACES):
        form = list(encoded)[number % len(encoded)]
        data = harm(encoded[form])
        if form == "png" and number // len(encoded) % 2:
            data = png_with_checksums(data)
        # It lies among good pictures; a folder of its own, since that is what is named.
        command = ["quantize", bench.model, "--data", "FOLDER", "--size", f"{SIDE}x{SIDE}", "-o", "OUT"]
        yield f"picture {form.lower()}", f"pictures/1.{form.lower()}", data, command


def arrays(bench, harm):
    file = io.BytesIO()
    np.save(file, bench.array)
    npy = file.getvalue()
    plain, packed = zipped(npy, zipfile.ZIP_STORED), zipped(npy, zipfile.ZIP_DEFLATED)
    head = 128  # A header of text, which few of the bytes are but most of the reading is about.
    for number in range(PLACES):
        form = ("plain", "packed", "inside", "npy")[number % 4]
        if form == "plain":
            data = harm(plain)
        elif form == "packed":
            data = harm(packed)
        else:
            inside = harm(npy[:head]) + npy[head:] if number // 4 % 2 else harm(npy)
            data = zipped(inside, zipfile.ZIP_DEFLATED) if form == "inside" else inside
        name = "image.npy" if form == "npy" else "data.npz"
        how = ("calibrate", "quantize")[number // 8 % 2]
        yield f"array {form}", name, data, [how, bench.model, "--data", "FILE", "-o", "OUT"]


def ranges(bench, harm):
    saved = bench.folder / "ranges.json"
    subprocess.run([TARE, "calibrate", bench.model, "--data", bench.npz, "-o", saved, "-q"], check=True)
    whole = saved.read_bytes()
    for _ in range(PLACES // 5):
        command = ["quantize", bench.model, "--ranges", "FILE", "-o", "OUT"]
        yield "statistics", "ranges.json", harm(whole, text=True), command


KINDS = [models, fields, policies, pictures, arrays, ranges]

#!/usr/bin/env python3
"""Train the small Fashion-MNIST classifier of this folder and write it as ONNX.

What it needs
    pip packages:   torch numpy onnx onnxruntime pillow   (CPU versions are enough;
                    Debian 12's python3-torch and python3-numpy do as well,
                    then with onnx 1.17, as newer ones want a newer numpy)
    Debian package: dataset-fashion-mnist   (or the four idx files from elsewhere)

How to run it (from the folder of this file)
    python3 train.py /usr/share/datasets/fashion-mnist .

It trains on the 60,000 training images, writes model.onnx, calibration/,
test/ and test_labels.csv into the output folder, and measures the accuracy of
the written file in ONNX Runtime: on all 10,000 test images, and again on the
pictures it wrote.  The test images play no part in training, and the model of
the last epoch is the one that is kept.

The network is a small MobileNetV2: inverted residual blocks (1x1 expansion,
depthwise 3x3, linear 1x1 projection), each convolution followed by batch
normalization, with ReLU6.  The BatchNormalization nodes stay in the ONNX file,
unfolded, and ReLU6 is written as Clip with the bounds 0 and 6.
"""

import argparse
import gzip
import math
import struct
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import nn

CLASSES = ["t-shirt-top", "trouser", "pullover", "dress", "coat",
           "sandal", "shirt", "sneaker", "bag", "ankle-boot"]

# Preprocessing: (grey / 255 - MEAN) / STD, for a grey byte 0..255.
MEAN, STD = 0.286, 0.353

# The network.  A 3x3 stem, the blocks, a 1x1 head, global average pooling and a
# fully connected layer.  A block adds its input when it keeps shape and width.
STEM = 16
BLOCKS = [  # (expansion, output channels, stride)
    (2, 24, 2),  # 28x28 -> 14x14
    (3, 40, 2),  # 14x14 -> 7x7
    (3, 40, 1),
    (3, 40, 1),
    (4, 64, 1),
    (3, 64, 1),
    (3, 64, 1),
]
HEAD = 192
BN_EPSILON = 1e-5
BN_MOMENTUM = 0.02  # share of a batch in the running mean and variance


# ---------------------------------------------------------------- data

def read_idx(folder, name):
    """Read one idx file of unsigned bytes, gzip-compressed or not."""
    path = folder / (name + ".gz")
    raw = gzip.decompress(path.read_bytes()) if path.exists() else (folder / name).read_bytes()
    zero, kind, dims = struct.unpack(">HBB", raw[:4])
    if zero != 0 or kind != 8:
        raise SystemExit(f"{name}: not an idx file of bytes")
    shape = struct.unpack(f">{dims}I", raw[4:4 + 4 * dims])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)


def read_set(folder, prefix):
    return (read_idx(folder, f"{prefix}-images-idx3-ubyte"),
            read_idx(folder, f"{prefix}-labels-idx1-ubyte"))


def preprocess(grey):
    return ((grey.astype(np.float32) / 255 - MEAN) / STD).astype(np.float32)


def augment(images, rng):
    """Flip half of the images left to right and shift each by up to 1 pixel."""
    n = len(images)
    out = np.where((rng.random(n) < 0.5)[:, None, None], images[:, :, ::-1], images)
    padded = np.pad(out, ((0, 0), (1, 1), (1, 1)))
    shift = rng.integers(0, 3, (n, 2))
    for dy in range(3):
        for dx in range(3):
            pick = np.flatnonzero((shift[:, 0] == dy) & (shift[:, 1] == dx))
            out[pick] = padded[pick, dy:dy + 28, dx:dx + 28]
    return out


# ---------------------------------------------------------------- network

class ConvBn(nn.Sequential):
    """Convolution without bias, batch normalization and, unless linear, ReLU6."""

    def __init__(self, cin, cout, size, stride=1, groups=1, linear=False):
        conv = nn.Conv2d(cin, cout, size, stride, size // 2, groups=groups, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out" if groups == 1 else "fan_in")
        norm = nn.BatchNorm2d(cout, eps=BN_EPSILON, momentum=BN_MOMENTUM)
        super().__init__(conv, norm, *([] if linear else [nn.ReLU6(inplace=True)]))


class Block(nn.Module):
    """Inverted residual block of MobileNetV2."""

    def __init__(self, cin, expansion, cout, stride):
        super().__init__()
        wide = cin * expansion
        self.expand = ConvBn(cin, wide, 1)
        self.depthwise = ConvBn(wide, wide, 3, stride, groups=wide)
        self.project = ConvBn(wide, cout, 1, linear=True)
        self.residual = stride == 1 and cin == cout

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = ConvBn(1, STEM, 3)
        self.blocks, width = nn.ModuleList(), STEM
        for expansion, out, stride in BLOCKS:
            self.blocks.append(Block(width, expansion, out, stride))
            width = out
        self.head = ConvBn(width, HEAD, 1)
        self.classifier = nn.Linear(HEAD, len(CLASSES))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.classifier(self.head(x).mean((2, 3)))


def train(images, labels, args):
    rng = np.random.default_rng(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    net = Net().to(memory_format=torch.channels_last)
    # Weight decay on the weights of convolutions and classifier only.
    named = list(net.named_parameters())
    optimizer = torch.optim.SGD(
        [{"params": [p for _, p in named if p.dim() > 1], "weight_decay": args.decay},
         {"params": [p for _, p in named if p.dim() == 1]}],
        lr=args.rate, momentum=0.9, nesterov=True)
    steps = len(images) // args.batch
    total, warm = args.epochs * steps, steps // 2

    def rate(step):  # linear warm-up, then half a cosine down to zero
        if step < warm:
            return (step + 1) / warm
        return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (total - warm))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    loss_of = nn.CrossEntropyLoss(label_smoothing=args.smoothing)
    start = time.time()
    for epoch in range(args.epochs):
        net.train()
        order = rng.permutation(len(images))
        mixed, answers = augment(images[order], rng), labels[order].astype(np.int64)
        loss_sum = right = 0
        for i in range(steps):
            part = slice(i * args.batch, (i + 1) * args.batch)
            x = torch.from_numpy(preprocess(mixed[part])).reshape(-1, 1, 28, 28)
            y = torch.from_numpy(answers[part])
            logits = net(x.contiguous(memory_format=torch.channels_last))
            loss = loss_of(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss_sum += loss.item()
            right += (logits.argmax(1) == y).sum().item()
        print(f"epoch {epoch + 1:2}: loss {loss_sum / steps:.4f}, training accuracy "
              f"{100 * right / (steps * args.batch):.2f} %, {time.time() - start:.0f} s", flush=True)
    return net.eval()


# ---------------------------------------------------------------- export

def export(net, path):
    """Write the network as ONNX, opset 13, with BatchNormalization nodes kept."""
    nodes, tensors = [], []

    def tensor(name, values):
        array = np.ascontiguousarray(np.asarray(values, np.float32))
        tensors.append(numpy_helper.from_array(array.reshape(np.shape(values)), name))
        return name

    def node(op, name, inputs, output=None, **attributes):
        output = output or name + ".out"
        nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    low, high = tensor("relu6.min", 0.0), tensor("relu6.max", 6.0)

    def conv_bn(name, layer, x):
        conv, norm = layer[0], layer[1]
        x = node("Conv", name + ".conv", [x, tensor(name + ".conv.weight", conv.weight.detach())],
                 kernel_shape=list(conv.kernel_size), strides=list(conv.stride),
                 dilations=[1, 1], pads=list(conv.padding) * 2, group=conv.groups)
        x = node("BatchNormalization", name + ".bn",
                 [x, tensor(name + ".bn.weight", norm.weight.detach()),
                  tensor(name + ".bn.bias", norm.bias.detach()),
                  tensor(name + ".bn.running_mean", norm.running_mean),
                  tensor(name + ".bn.running_var", norm.running_var)], epsilon=norm.eps)
        return node("Clip", name + ".relu6", [x, low, high]) if len(layer) == 3 else x

    x = conv_bn("stem", net.stem, "image")
    for i, block in enumerate(net.blocks):
        y = conv_bn(f"block{i}.expand", block.expand, x)
        y = conv_bn(f"block{i}.depthwise", block.depthwise, y)
        y = conv_bn(f"block{i}.project", block.project, y)
        x = node("Add", f"block{i}.add", [x, y]) if block.residual else y
    x = conv_bn("head", net.head, x)
    x = node("GlobalAveragePool", "pool", [x])
    x = node("Flatten", "flatten", [x], axis=1)
    node("Gemm", "classifier",
         [x, tensor("classifier.weight", net.classifier.weight.detach()),
          tensor("classifier.bias", net.classifier.bias.detach())], "logits", transB=1)

    graph = helper.make_graph(
        nodes, "fashion",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        initializer=tensors)
    model = helper.make_model(graph, producer_name="calibration/fashion/train.py",
                              opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model.doc_string = (f"Fashion-MNIST classifier; image = (grey / 255 - {MEAN}) / {STD}; "
                        f"classes: {', '.join(CLASSES)}")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    print(f"{path.name}: {path.stat().st_size} bytes, "
          f"{sum(int(np.prod(t.dims)) for t in tensors)} parameters")


def accuracy(path, grey, labels):
    """Top-1 accuracy of the ONNX file in ONNX Runtime, in percent."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    x = preprocess(grey)[:, None]
    found = [session.run(["logits"], {"image": x[i:i + 100]})[0].argmax(1)
             for i in range(0, len(x), 100)]
    return 100 * float(np.mean(np.concatenate(found) == labels))


# ---------------------------------------------------------------- pictures

def write_pictures(folder, images, labels, counts):
    """Write the first counts[c] images of each class c as grey PNG files named
    INDEX_CLASS.png, and return [(file name, label)] in the order of the index."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    chosen = np.sort(np.concatenate(
        [np.flatnonzero(labels == c)[:n] for c, n in enumerate(counts)]))
    rows = []
    for i in chosen:
        name = f"{i:05}_{CLASSES[labels[i]]}.png"
        Image.fromarray(images[i]).save(folder / name, optimize=True)
        rows.append((name, int(labels[i])))
    return rows


def read_pictures(folder, rows):
    return (np.stack([np.asarray(Image.open(folder / name)) for name, _ in rows]),
            np.array([label for _, label in rows]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the four Fashion-MNIST idx files")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.1, help="highest learning rate")
    parser.add_argument("--decay", type=float, default=1e-4, help="weight decay")
    parser.add_argument("--smoothing", type=float, default=0.1, help="label smoothing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="threads to train with")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    images, labels = read_set(args.data, "train")
    test_images, test_labels = read_set(args.data, "t10k")

    model = args.out / "model.onnx"
    export(train(images, labels, args), model)
    print(f"accuracy in ONNX Runtime, {len(test_images)} test images: "
          f"{accuracy(model, test_images, test_labels):.2f} %")

    # 256 calibration pictures from the training set: 26 of each of the first six
    # classes and 25 of each of the others.
    write_pictures(args.out / "calibration", images, labels, [26] * 6 + [25] * 4)
    # 1,000 test pictures: the first 100 of each class in the test set.
    rows = write_pictures(args.out / "test", test_images, test_labels, [100] * 10)
    (args.out / "test_labels.csv").write_text(
        "file,label\n" + "".join(f"{name},{label}\n" for name, label in rows))
    print(f"accuracy in ONNX Runtime, {len(rows)} test pictures:   "
          f"{accuracy(model, *read_pictures(args.out / 'test', rows)):.2f} %")


if __name__ == "__main__":
    main()

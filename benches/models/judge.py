"""How near a quantized model's outputs are to the float model's, and what is left of its task.

SQNR and the tasks' measures are those of `compare_models.py`, which lies with the models."""

import numpy as np

import runtime


def sqnr(tools, case, float_outputs, quantized, mask):
    """SQNR in dB of each float output; one of two kinds of numbers is measured in two parts."""
    found = {}
    for number, (name, expected) in enumerate(float_outputs.items()):
        actual = quantized[name]
        parts = {name: (expected, actual)}
        if number == 0 and case.split:
            axis, at = case.split
            # Rows are samples with a batch axis of their own.
            cut = [np.split(x, [at], axis=axis + 1) for x in (expected, actual)]
            parts = {f"[:{at}]": (cut[0][0], cut[1][0]), f"[{at}:]": (cut[0][1], cut[1][1])}
        for label, (a, b) in parts.items():
            weights = None
            if mask is not None and a.shape[:3] == (len(mask), 1, mask.shape[1]):
                weights = np.broadcast_to(mask[:, None, :, None], a.shape)
            found[label] = tools.err(a, b, weights)["sqnr_db"] if np.isfinite(b).all() else float("nan")
    return found


def task(tools, case, model, arrays, float_outputs, quantized, probe):
    """What the task's own measure says, in a few words."""
    labels = arrays.get("__labels__")
    x, y = (next(iter(o.values())) for o in (float_outputs, quantized))
    if case.task == "classify":
        a, b = (v.reshape(len(v), -1).argmax(-1) for v in (x, y))
        right = "" if labels is None else f", right {100 * (a == labels).mean():.1f} -> {100 * (b == labels).mean():.1f} %"
        return f"top-1 agrees {100 * (a == b).mean():.1f} %{right}"
    if case.task == "threshold":
        return f"same side of 0.5 {100 * ((x > 0.5) == (y > 0.5)).mean():.1f} %"
    if case.task == "segment":
        a, b = x > 0.3, y > 0.3
        return f"mask IoU {(a & b).sum() / max(1, (a | b).sum()):.3f}"
    if case.task == "yolo":
        found = tools.f1(x[:, 0], y[:, 0])
        return f"F1 {found['det_f1']:.3f} of {found['det_fp32']} detections"
    if case.task == "ctc":
        characters = model.get_modelmeta().custom_metadata_map["character"].splitlines()
        a, b = (tools.ctc(v[:, 0], characters) for v in (x, y))
        right = [np.mean([p.replace(" ", "") == str(l).replace(" ", "") for p, l in zip(read, labels)]) for read in (a, b)]
        same = np.mean([p == q for p, q in zip(a, b)])
        return f"lines alike {100 * same:.0f} %, right {100 * right[0]:.0f} -> {100 * right[1]:.0f} %"
    if case.task == "embed":
        a, b = (pooled(o, arrays) for o in (float_outputs, quantized))
        right = [100 * (probe(v) == labels).mean() for v in (a, b)]
        return f"pooled {tools.err(a, b)['sqnr_db']:.1f} dB, probe right {right[0]:.1f} -> {right[1]:.1f} %"
    raise ValueError(case.task)


def pooled(outputs, arrays):
    """The mean over tokens of the last hidden state."""
    hidden = next(o for o in outputs.values() if o.ndim == 4)[:, 0]
    mask = arrays["attention_mask"][:, :, None]
    return (hidden * mask).sum(1) / mask.sum(1)


def train_probe(model, arrays):
    """A logistic regression on the float model's embeddings; returns what it says of other embeddings."""
    x, y = pooled(runtime.outputs(model, arrays), arrays), arrays["__labels__"]
    mean, deviation = x.mean(0), x.std(0) + 1e-6

    def design(v):
        v = (v - mean) / deviation
        return np.concatenate([v, np.ones((len(v), 1))], axis=1).astype(np.float64)

    a, w = design(x), np.zeros(x.shape[1] + 1)
    # Newton's method; the ridge keeps the weights of nearly collinear features small.
    ridge = 10.0 * np.eye(len(w))
    for _ in range(12):
        p = 1 / (1 + np.exp(-a @ w))
        w += np.linalg.solve((a * (p * (1 - p))[:, None]).T @ a + ridge, a.T @ (y - p) - ridge @ w)
    return lambda v: (design(v) @ w > 0).astype(np.int64)

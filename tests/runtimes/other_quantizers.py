"""Quantizes models by NNCF or by ModelOpt, in an environment that has them: other_quantizers.py JOBS.json

JOBS.json holds a list of jobs: `way`, one of those below, the `model`, an .npz of `calibration` samples, and `made`, where the
quantized model goes. What a quantizer cannot do it tells beside: `made` with `.failed` behind it.
"""

import importlib.machinery
import json
import os
import shutil
import sys
import traceback
import types
from pathlib import Path

import numpy as np
import onnx

# NNCF tells its makers of each run unless this is set.
os.environ["NNCF_CI"] = "1"


def nncf(correct_biases):
    def quantize(job, samples):
        import nncf

        count = len(next(iter(samples.values())))
        data = nncf.Dataset([{name: rows[i : i + 1] for name, rows in samples.items()} for i in range(count)])
        more = nncf.AdvancedQuantizationParameters(disable_bias_correction=not correct_biases)
        return nncf.quantize(onnx.load(job["model"]), data, subset_size=count, advanced_parameters=more)

    return quantize


def modelopt(method, floats):
    def quantize(job, samples):
        # It asks torch for nothing but the rounding to float8, and torch is 2 GB.
        torch = types.ModuleType("torch")
        torch.__spec__ = importlib.machinery.ModuleSpec("torch", None)
        sys.modules.setdefault("torch", torch)
        from modelopt.onnx.quantization import quantize

        # It writes what it infers into the file that it was given.
        copy = shutil.copy(job["model"], job["made"] + ".float.onnx")
        how = {"calibration_method": method, "high_precision_dtype": floats, "calibration_eps": ["cpu"]}
        quantize(copy, "int8", samples, output_path=job["made"], log_level="ERROR", **how)
        return onnx.load(job["made"])

    return quantize


WAYS = {
    "nncf": nncf(True),
    "nncf-plain": nncf(False),
    "modelopt-max": modelopt("max", "fp32"),
    "modelopt-entropy": modelopt("entropy", "fp32"),
    "modelopt-float16": modelopt("max", "fp16"),
}


def main():
    # NNCF has uses for a torch that it finds, and is imported before there is one.
    jobs = sorted(json.loads(Path(sys.argv[1]).read_text()), key=lambda job: "nncf" not in job["way"])
    for job in jobs:
        made = Path(job["made"])
        try:
            with np.load(job["calibration"]) as samples:
                onnx.save(WAYS[job["way"]](job, dict(samples)), made)
        except Exception:
            made.unlink(missing_ok=True)
            made.with_name(made.name + ".failed").write_text(traceback.format_exc(limit=-2))


main()

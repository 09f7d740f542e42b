"""What ONNX Runtime's own quantizer takes."""

from onnxruntime.quantization import CalibrationDataReader


class Samples(CalibrationDataReader):
    """Samples, one after the other, for its calibrators."""

    def __init__(self, arrays):
        count = len(next(iter(arrays.values())))
        self.rows = iter([{k: v[i : i + 1] for k, v in arrays.items()} for i in range(count)])

    def get_next(self):
        return next(self.rows, None)

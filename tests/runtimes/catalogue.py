"""How a generated model becomes a test: a function that builds a net, and what is expected of its quantized form."""

from collections.abc import Callable
from dataclasses import dataclass

from net import Net

CALIBRATION_SAMPLES = 60
VALIDATION_SAMPLES = 16

CATALOGUE = []


@dataclass
class Entry:
    """One generated model.

    bound: the SQNR in dB that every output has to reach.
    scale: the size of the random inputs: a number, or one for each input by name.
    policy: the text of a policy, without its version.
    fused: whether ONNX Runtime has to run everything with constant weights in integers.
    kernels: whether the numbers of ONNX Runtime's integer kernels are compared as well.
    finish: changes the finished message.
    also: checks more; it is called with the case, the float model and the quantized one.
    """

    name: str
    build: Callable
    opset: int
    bound: float
    scale: float | dict
    policy: str
    fused: bool
    kernels: bool
    finish: Callable | None
    also: Callable | None

    def make(self):
        """The model, and the samples that calibrate and validate."""
        net = Net(self.name, self.opset)
        self.build(net)
        model = net.model()
        if self.finish:
            self.finish(model)
        validation = self.samples(net, VALIDATION_SAMPLES)
        calibration = self.samples(net, CALIBRATION_SAMPLES)
        # The ranges of so few and small samples would miss what others reach: that would test the samples, not the
        # converter. So those that validate are among those that calibrate.
        for name, array in calibration.items():
            array[:VALIDATION_SAMPLES] = validation[name]
        return model, calibration, validation

    def samples(self, net, count):
        scale = self.scale if isinstance(self.scale, dict) else {}
        samples = net.samples(count, 1.0 if scale else self.scale)
        return {name: array * scale.get(name, 1) for name, array in samples.items()}


def entry(
    name=None,
    opset=17,
    bound=20.0,
    scale=1.0,
    policy="",
    fused=True,
    kernels=True,
    finish=None,
    also=None,
    **parameters,
):
    """Puts the function below it into the catalogue, by its own name unless another is given.

    Stacked, it enters one function several times; `parameters` go to the function, so that the entries can differ.
    """

    def add(build):
        def built(net):
            build(net, **parameters)

        own = name or build.__name__
        CATALOGUE.append(Entry(own, built, opset, bound, scale, policy, fused, kernels, finish, also))
        return build

    return add

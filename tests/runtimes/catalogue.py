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

    `bound` is the SQNR in dB that every output has to reach, `scale` the size of the random inputs (a number, or one
    for each input by name), `arguments` goes to `tare quantize`, `policy` is the text of a policy, `finish` changes
    the finished message, and `also` checks more: it is called with the case, the float and the quantized file.
    """

    name: str
    build: Callable
    opset: int
    bound: float
    scale: float | dict
    arguments: tuple
    policy: str
    finish: Callable | None
    also: Callable | None

    def make(self):
        """The model, and the samples that calibrate and validate."""
        net = Net(self.name, self.opset)
        self.build(net)
        model = net.model()
        if self.finish:
            self.finish(model)
        return model, self.samples(net, CALIBRATION_SAMPLES), self.samples(net, VALIDATION_SAMPLES)

    def samples(self, net, count):
        scale = self.scale if isinstance(self.scale, dict) else {}
        samples = net.samples(count, 1.0 if scale else self.scale)
        return {name: array * scale.get(name, 1) for name, array in samples.items()}


def entry(
    name=None, opset=17, bound=20.0, scale=1.0, arguments=(), policy="", finish=None, also=None, **parameters
):
    """Puts the function below it into the catalogue, by its own name unless another is given.

    Stacked, it enters one function several times; `parameters` go to the function, so that the entries can differ.
    """

    def add(build):
        def built(net):
            build(net, **parameters)

        made = Entry(name or build.__name__, built, opset, bound, scale, arguments, policy, finish, also)
        CATALOGUE.append(made)
        return build

    return add

"""What the scripts share: arguments, the models that are there, and tables."""

import argparse
import os
import pathlib
import sys

import catalogue
import processes

ROOT = pathlib.Path(__file__).resolve().parents[2]


def arguments(doc):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only models whose names contain one of these words")
    parser.add_argument("--shared", type=pathlib.Path, default=ROOT.parent / "shared", help="the folder with data/, models/ and tools/")
    parser.add_argument("--models", type=pathlib.Path, help="the folder with the fetched models (default: work/models)")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target/bench-models", help="where prepared data and results go")
    return parser


class Bench:
    """The models that were asked for, the tools, and a folder for results."""

    def __init__(self, options):
        self.shared, self.work = options.shared.resolve(), options.work.resolve()
        self.models = (options.models or self.work / "models").resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.tare = processes.Tare(os.environ.get("TARE") or ROOT / "target/release/tare", self.work)
        self.engine = processes.Engine(os.environ.get("RUN") or ROOT / "target/debug/examples/run")
        self.peer = processes.OnnxRuntime(self.shared, catalogue.CALIBRATION_SAMPLES)
        self.cases = [c for c in catalogue.CASES if not options.names or any(word in c.name for word in options.names)]
        if not self.cases:
            sys.exit(f"no model is called so; there are {', '.join(c.name for c in catalogue.CASES)}")

    def model(self, case):
        """The model's file, or None where nobody fetched it."""
        found = (folder / case.file for folder in (self.models, self.shared / "models"))
        return next((path for path in found if path.exists()), None)

    def data(self, case, split):
        return catalogue.samples(case, self.model(case), self.shared, self.work, split)

    def policy(self, case, extra="", test=True):
        split = "test" if test else "calibration"
        return self.tare.policy(case, self.model(case), self.data(case, "calibration"), self.data(case, split), extra)


def print_row(cells):
    # Flushed: a table of hours is read while it grows.
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def print_head(columns):
    print_row(columns)
    print_row("---" for _ in columns)

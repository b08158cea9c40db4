"""PyTorch's side of a benchmark: does what it is told on stdin and answers on stdout, one JSON object a line.

    {"do": "prepare", "work": NAME, "arguments": {}}  make what the work needs
    {"do": "warmUp", "plan": {}}                      work for a while; find how many repetitions make a chunk
    {"do": "block", "plan": {}}                       work for a block -> {"seconds": of one repetition}
    {"do": "end"}                                     drop it

The work is a function of the module that the command line names (ops -> ops.py): it gets the arguments and returns a
function of the number of repetitions. If that returns a number, it is the seconds that count; if it has an `end`, that is called
last. The measuring is that of LocalSide in bench/harness.ts.
"""

import gc
import importlib
import json
import os
import platform
import statistics
import sys
import time

import torch

CHUNKS = 10
MIN_CHUNKS = 3


class Side:
    def __init__(self, body):
        self.body = body
        self.times = 1
        self.seconds = 0.0

    def chunk(self):
        start = time.perf_counter()
        seconds = self.body(self.times)
        return time.perf_counter() - start if seconds is None else seconds

    def warm_up(self, plan):
        spent = 0.0
        while spent * 1000 < plan["warmUpMs"]:
            seconds = self.chunk()
            spent += seconds
            self.seconds = seconds / self.times
            wanted = plan["blockMs"] / CHUNKS / 1000 / max(self.seconds, 1e-12)
            self.times = max(1, int(min(wanted, self.times * 10)))

    def block(self, plan):
        chunks = []
        spent = 0.0
        least = 1 if self.seconds * 1000 > 2 * plan["blockMs"] else MIN_CHUNKS
        while spent * 1000 < plan["blockMs"] or len(chunks) < least:
            seconds = self.chunk()
            spent += seconds
            chunks.append(seconds / self.times)
        return statistics.median(chunks)


def versions(module):
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpuCapability": torch.backends.cpu.get_cpu_capability(),
        "packages": getattr(module, "PACKAGES", {}),
    }


def main(module_name, threads):
    torch.set_num_threads(threads)
    module = importlib.import_module(module_name)
    # Whatever prints by accident must not end up between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    answer = lambda data: answers.write(json.dumps(data) + "\n")
    answer(versions(module))
    side = None
    for line in sys.stdin:
        request = json.loads(line)
        do = request["do"]
        if do == "prepare":
            side = Side(getattr(module, request["work"])(**request["arguments"]))
            answer({})
        elif do == "warmUp":
            side.warm_up(request["plan"])
            answer({})
        elif do == "block":
            answer({"seconds": side.block(request["plan"])})
        elif do == "end":
            getattr(side.body, "end", lambda: None)()
            side = None
            gc.collect()
            answer({})
        else:
            raise ValueError(f"unknown request {do!r}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""How time and memory grow, where 24 GB end, ImageNet's size whole, and the paper's training loop beside ours.

    python benchmarks/scale.py

prints Markdown and writes it to `docs/benchmarks_scale.md`. Problems are made up: classes around random directions,
texts near them, a random projection (`training.synthetic`).

Growth: from a base problem one size is doubled at a time. Times are the better of two runs; memory is the peak that
`tracemalloc` sees, the arrays of the problem included (of NumPy, all of it: no torch is used here). A slope is the
exponent `p` in `size^p`, fitted in logarithms to the three largest sizes. Where 24 GB end follows from `a + b size^p`
with `p >= 1` through the three largest peaks, all other sizes as in the base. ImageNet's size and the loops run in
processes of their own, whose peak is that of the resident memory.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
from training import synthetic

from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier
from sksemobridge._training.train import train_bridge

BASE = {"shots": 8, "classes": 100, "queries": 4000, "dimensions": 256}
STAGES = ("fit, closed form", "training, one step", "predict_proba")
# Sizes that double, and the stages that they matter to.
GROWTH = {
    "shots": ([8, 16, 32, 64, 128], STAGES[:2]),
    "classes": ([100, 200, 400, 800], STAGES),
    "queries": ([4000, 8000, 16000, 32000, 64000], STAGES[2:]),
    "dimensions": ([128, 256, 512, 1024], STAGES),
}
IMAGENET = {"shots": 16, "classes": 1000, "queries": 50_000, "dimensions": 512}
LOOP = {"shots": 16, "classes": 10, "queries": 1, "dimensions": 512}
LIMIT = 24e9
# Steps that are timed where all would take too long.
FEW_STEPS = 3


class Problem:
    """Made-up shots, queries and an unfitted classifier of a size, embeddings in float32."""

    def __init__(self, shots, classes, queries, dimensions, solver="closed_form"):
        self.training = synthetic(classes, shots, dimensions)
        self.X, self.y = self.training["X"].astype(np.float32), self.training["codes"]
        noise = np.random.default_rng(1).normal(scale=0.02, size=(queries, dimensions))
        self.queries = self.X[np.arange(queries) % len(self.X)] + noise.astype(np.float32)
        texts = [f"class {c}" for c in range(classes)]
        encoder = PrecomputedTextEncoder(texts, self.training["eos_directions"], self.training["projection"])
        prompts = {c: [text] for c, text in enumerate(texts)}
        self.classifier = SeMoBridgeClassifier(encoder, prompts=prompts, solver=solver, device="cpu")

    def stages(self):
        """What is measured, by name; predicting needs the fit before it."""
        return {
            "fit, closed form": lambda: self.classifier.fit(self.X, self.y),
            "training, one step": lambda: train_bridge(
                **self.training, solver="lbfgs", max_iter=FEW_STEPS, device="cpu"
            ),
            "predict_proba": lambda: self.classifier.predict_proba(self.queries),
        }


def measure(size):
    """`{stage: (seconds, bytes)}` of a problem of a size."""
    problem = Problem(**size)
    seconds = {}
    for name, stage in problem.stages().items():
        times = []
        for _ in range(2):
            start = perf_counter()
            result = stage()
            times.append(perf_counter() - start)
        # A step of L-BFGS may evaluate the loss more than once; what is timed is the mean.
        seconds[name] = min(times) / (result.n_iter if name == "training, one step" else 1)
    tracemalloc.start()
    problem = Problem(**size)
    found = {}
    for name, stage in problem.stages().items():
        tracemalloc.reset_peak()
        stage()
        found[name] = seconds[name], tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def slope(sizes, values):
    """The exponent of growth over the three largest sizes."""
    return float(np.polyfit(np.log(sizes[-3:]), np.log(values[-3:]), 1)[0])


def fits_until(sizes, values, limit=LIMIT):
    """The size at which `a + b size^p` through the three largest of doubled sizes reaches a limit.

    `p` is at least one, for the data grow linearly; infinite where nothing grows.
    """
    low, middle, high = values[-3:]
    if high - middle < 0.01 * high:
        return np.inf
    power = max(1.0, np.log2((high - middle) / (middle - low))) if middle > low else 1.0
    b = (high - middle) / (sizes[-1] ** power - sizes[-2] ** power)
    a = high - b * sizes[-1] ** power
    return float(((limit - a) / b) ** (1 / power))


def growth():
    """Markdown: one row for each size that grows and each stage."""
    base = ", ".join(f"{number:,} {name}" for name, number in BASE.items())
    rows = []
    for axis, (sizes, stages) in GROWTH.items():
        found = [measure(BASE | {axis: size}) for size in sizes]
        for stage in stages:
            seconds, peaks = np.array([of_size[stage] for of_size in found]).T
            end = fits_until(sizes, peaks)
            rows.append(
                [
                    f"{axis}, {sizes[0]:,} to {sizes[-1]:,}",
                    stage,
                    f"{seconds[0]:.3f} to {seconds[-1]:.3f} s",
                    f"{slope(sizes, seconds):.1f}",
                    f"{peaks[0] / 2**20:.0f} to {peaks[-1] / 2**20:.0f} MiB",
                    f"{slope(sizes, peaks):.1f}",
                    "any" if end == np.inf else f"{float(f'{end:.2g}'):,.0f}",
                ]
            )
    header = ["grows", "stage", "time", "slope", "peak memory", "slope", "24 GB end at"]
    return f"## Growth\n\nBase: {base}.\n\n{table(header, rows)}"


def imagenet(size, solver="closed_form"):
    """Markdown: fit and predict whole."""
    found = in_a_process({"what": "whole", "solver": solver, "size": size})
    row = [
        solver,
        str(found["n_iter"]),
        f"{found['fit']:.1f} s",
        f"{found['predict']:.1f} s",
        f"{found['peak'] / 2**30:.2f} GiB",
    ]
    name = f"{size['classes']:,} classes x {size['shots']} shots, {size['queries']:,} queries, {size['dimensions']}"
    header = ["solver", "iterations", "fit", "predict_proba of all", "peak resident memory"]
    return f"## {name} dimensions, whole, {solver}\n\nWith the default blend.\n\n{table(header, [row])}"


def loops(size, large, steps):
    """Markdown: the paper's loop in plain torch, and our two solvers."""
    rows = []
    for problem, n_steps in ((size, steps), (large, FEW_STEPS)):
        name = f"{problem['classes']:,} x {problem['shots']} x {problem['dimensions']}"
        solvers = ("torch", "adamw", "lbfgs") if n_steps == steps else ("torch", "adamw")
        for solver in solvers:
            found = in_a_process({"what": "loop", "solver": solver, "size": problem, "steps": n_steps})
            step = found["seconds"] / found["n_iter"]
            whole = found["seconds"] if n_steps == steps else step * steps
            rows.append(
                [
                    name,
                    {"torch": "plain torch", "adamw": 'solver="adamw"', "lbfgs": 'solver="lbfgs"'}[solver],
                    f"{1000 * step:.2f} ms",
                    str(found["n_iter"] if n_steps == steps else steps),
                    f"{whole:,.1f} s"
                    if n_steps == steps
                    else f"{whole / 3600:.1f} h, from {FEW_STEPS} steps",
                    f"{found['loss']:.5f}" if n_steps == steps else "-",
                    f"{found['peak'] / 2**20:.0f} MiB",
                ]
            )
    header = [
        "classes x shots x dimensions",
        "loop",
        "a step",
        "steps",
        "in all",
        "final loss",
        "peak above imports",
    ]
    text = (
        "The paper's training loop, restated in plain torch with autograd, and ours, from the same start, each in a "
        "process of its own."
    )
    return f"## The paper's loop\n\n{text}\n\n{table(header, rows)}"


def paper_loop(problem, steps, logit_scale=100.0, rate=1.5e-4, warm_up=500):
    """The paper's training, restated from its equations: full batch, autograd, as many shots of each class.

    Returns
    -------
    losses : list of float
        Before each step.
    bridge, class_bias : torch.Tensor
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    X, bridge, projection, texts, eos_texts = (
        torch.from_numpy(problem[name].astype(np.float32))
        for name in ("X", "bridge", "projection", "text_embeddings", "eos_directions")
    )
    codes = torch.from_numpy(problem["codes"])
    n_classes = len(texts)
    classes = torch.arange(n_classes)
    bridge.requires_grad_()
    class_bias = torch.zeros(n_classes, bridge.shape[1], requires_grad=True)
    optimizer = torch.optim.AdamW([bridge, class_bias], lr=rate, weight_decay=0.01)
    losses = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * min(1.0, step / warm_up) if step else 1e-5
        eos = normalize(X @ bridge + class_bias[codes], dim=1)
        means = eos.reshape(n_classes, -1, eos.shape[1]).mean(dim=1)
        bridged = eos @ projection
        prototypes = normalize(bridged.reshape(n_classes, -1, bridged.shape[1]).mean(dim=1), dim=1)
        image = cross_entropy(logit_scale * normalize(X, dim=1) @ prototypes.T, codes)
        text = cross_entropy(prototypes @ texts.T, classes)
        text_eos = cross_entropy(normalize(means, dim=1) @ eos_texts.T, classes)
        consistency = cross_entropy(normalize(bridged, dim=1) @ prototypes.T, codes)
        lengths = class_bias.norm(dim=1)
        penalty = ((lengths - lengths.mean()) ** 2).mean()
        loss = 0.5 * image + 0.25 * (text + text_eos) + 0.1 * consistency + 0.1 * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, bridge.detach(), class_bias.detach()


def in_a_process(task):
    """The answer of `child` in a new process, so that its peak memory is its own."""
    command = [sys.executable, __file__, "--child", json.dumps(task)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def child(task):
    """Run one task and say how long it took and how much memory."""
    problem = Problem(**task["size"], **({"solver": task["solver"]} if task["what"] == "whole" else {}))
    if task["what"] == "whole":
        start = perf_counter()
        problem.classifier.fit(problem.X, problem.y)
        fitted = perf_counter()
        problem.classifier.predict_proba(problem.queries)
        times = {"fit": fitted - start, "predict": perf_counter() - fitted}
        return times | {"n_iter": problem.classifier.n_iter_, "peak": peak()}
    small = synthetic(2, 1, 8)

    def train(data, steps):
        if task["solver"] == "torch":
            return paper_loop(data, steps)[0]
        limit = {"max_iter": steps} if task["solver"] == "adamw" else {}
        return train_bridge(**data, solver=task["solver"], device="cpu", **limit).loss_curve.tolist()

    train(small, 2)  # what is imported when used
    before = peak()
    start = perf_counter()
    losses = train(problem.training, task["steps"])
    seconds = perf_counter() - start
    return {"seconds": seconds, "n_iter": len(losses), "loss": losses[-1], "peak": peak() - before}


def peak():
    """Peak resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def table(header, rows):
    lines = [header, ["---", "---", *["---:"] * (len(header) - 2)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


PARTS = {
    "growth": growth,
    "imagenet": lambda: imagenet(IMAGENET),
    "loops": lambda: loops(LOOP, IMAGENET | {"queries": 1}, steps=5000),
    "imagenet-trained": lambda: imagenet(IMAGENET, "lbfgs"),
}
# Training at ImageNet's size, with the folds of the blend, takes longer than all others together.
DEFAULT_PARTS = ["growth", "imagenet", "loops"]


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=DEFAULT_PARTS, choices=PARTS)
    parser.add_argument("--docs", default=Path(__file__).parents[1] / "docs", type=Path)
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", message="The bridge did not converge")
    if args.child:
        print(json.dumps(child(args.child)))
        return
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    parts = [
        "# Speed and scale: results",
        f"Written by `python benchmarks/scale.py`, with {threads} thread{'' if threads == '1' else 's'}; how it was "
        "measured is said in [benchmarks.md](benchmarks.md).",
    ]
    for name in args.parts:
        parts.append(PARTS[name]())
        print(parts[-1], end="\n\n", flush=True)
    if set(args.parts) >= set(DEFAULT_PARTS):
        (args.docs / "benchmarks_scale.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Growth of time and memory, the size that 24 GB hold, a problem of ImageNet's size, and the paper's training loop.

    python benchmarks/scale.py

It prints Markdown and writes it to `benchmarks_scale.md` in the current folder (`--docs`). Problems are made up (`tasks.made_up_arrays`): classes
around random directions, texts near them, a random projection.

Growth: one size of a base problem is doubled at a time. Times are the better of two runs. Memory is the peak that
`tracemalloc` sees, the arrays of the problem included; no torch is used here. A slope is the exponent `p` in `size^p`,
fitted in logarithms to the three largest sizes. The size that 24 GB hold follows from `a + b size^p` with `p >= 1`
through the three largest peaks, with all other sizes as in the base. The problem of ImageNet's size and the loops run in
processes of their own; their memory is the peak of the resident memory above that of a tiny run.
"""

import argparse
import os
import tracemalloc
import warnings
from multiprocessing import Process
from pathlib import Path
from unittest import mock

import numpy as np
from tables import table
from tasks import as_task, made_up_arrays, train_on
from timing import peak_memory, timed

from sksemobridge import PaperBlend, SeMoBridgeClassifier, Training

BASE = {"shots": 8, "classes": 100, "queries": 4000, "dimensions": 256}
STAGES = ("fit, closed form", "training, one step", "predict_proba")
# Sizes that double, and the stages that depend on them.
GROWTH = {
    "shots": ([8, 16, 32, 64, 128], STAGES[:2]),
    "classes": ([100, 200, 400, 800], STAGES),
    "queries": ([4000, 8000, 16000, 32000, 64000], STAGES[2:]),
    "dimensions": ([128, 256, 512, 1024], STAGES),
}
IMAGENET = {"shots": 16, "classes": 1000, "queries": 50_000, "dimensions": 512}
LOOP = {"shots": 16, "classes": 10, "queries": 1, "dimensions": 512}
TINY = {"shots": 2, "classes": 3, "queries": 1, "dimensions": 8}
LOOPS = {"torch": "plain torch", "adamw": 'solver="adamw"', "lbfgs": 'solver="lbfgs"'}
LIMIT = 24e9
# Steps that are timed where all steps would take too long.
FEW_STEPS = 3


class Problem:
    """Made-up shots, queries and an unfitted classifier of a size, all in float32."""

    def __init__(self, shots, classes, queries, dimensions, solver="closed_form"):
        self.training = made_up_arrays(classes, shots, dimensions)
        task = as_task(self.training)
        self.X, self.y = task.X, task.y
        noise = np.random.default_rng(1).normal(scale=0.02, size=(queries, dimensions))
        self.queries = self.X[np.arange(queries) % len(self.X)] + noise.astype(np.float32)
        self.classifier = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts)
        if solver != "closed_form":
            self.classifier.set_params(blend=PaperBlend(), solver=Training(solver, device="cpu"))

    def fit(self):
        return self.classifier.fit(self.X, self.y)

    def train(self):
        """Make a few steps, and return how many."""
        return train_on(self.training, Training(max_iter=FEW_STEPS, device="cpu")).n_iter

    def predict(self):
        """Predict all queries; the classifier must be fitted."""
        return self.classifier.predict_proba(self.queries)

    def learn_unlabeled(self):
        """Learn from all queries; the classifier must be fitted."""
        return self.classifier.with_unlabeled(self.queries)

    def stages(self):
        return zip(STAGES, (self.fit, self.train, self.predict))


def measure(size):
    """`{stage: (seconds, bytes)}` of a problem of a size."""
    problem = Problem(**size)
    seconds = {}
    for name, stage in problem.stages():
        (first, result), (second, _) = timed(stage), timed(stage)
        # The mean over the steps: one of L-BFGS may evaluate the loss more than once.
        seconds[name] = min(first, second) / (result if stage == problem.train else 1)
    tracemalloc.start()
    problem = Problem(**size)
    found = {}
    for name, stage in problem.stages():
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
    """Markdown with a row for each size that grows and each stage."""
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
    return f"## Growth\n\nBase: {base}.\n\n{table(header, rows, n_left=2)}"


def imagenet(size, solver="closed_form"):
    """Markdown about a fit and the predictions of all queries."""
    peak, (fit, predict, n_iter) = peak_memory(whole, size, solver, warm_up=(TINY, solver))
    row = [solver, str(n_iter), f"{fit:.1f} s", f"{predict:.1f} s", f"{peak / 2**30:.2f} GiB"]
    name = f"{size['classes']:,} classes x {size['shots']} shots, {size['queries']:,} queries, {size['dimensions']}"
    header = ["solver", "iterations", "fit", "predict_proba of all", "peak above imports"]
    blend = "With the default blend." if solver == "closed_form" else "With the paper's blend."
    return f"## {name} dimensions, {solver}\n\n{blend}\n\n{table(header, [row], n_left=2)}"


def whole(size, solver):
    """Seconds to fit and to predict all queries, and the number of iterations."""
    problem = Problem(**size, solver=solver)
    fit, _ = timed(problem.fit)
    predict, _ = timed(problem.predict)
    return fit, predict, getattr(problem.classifier, "n_iter_", 1)


def loops(size, large, steps):
    """Markdown about the paper's loop in plain torch and our two solvers; the large problem gets a few steps."""
    rows = []
    for solver in LOOPS:
        peak, (seconds, losses) = peak_memory(train, size, solver, steps, warm_up=(TINY, solver, 2))
        step = seconds / len(losses)
        rows.append(loop_row(size, solver, step, len(losses), f"{seconds:,.1f} s", f"{losses[-1]:.5f}", peak))
    for solver in ("torch", "adamw"):
        peak, (seconds, losses) = peak_memory(train, large, solver, FEW_STEPS, warm_up=(TINY, solver, 2))
        step = seconds / len(losses)
        hours = f"{step * steps / 3600:.1f} h, from {FEW_STEPS} steps"
        rows.append(loop_row(large, solver, step, steps, hours, "-", peak))
    text = (
        "The paper's training loop, restated in plain torch with autograd, and ours. They start from the same weights, each "
        "in a process of its own."
    )
    header = ["classes x shots x dimensions", "loop", "a step", "steps", "in all", "final loss"]
    return f"## The paper's loop\n\n{text}\n\n{table([*header, 'peak above imports'], rows, n_left=2)}"


def loop_row(size, solver, step, n_steps, in_all, loss, peak):
    name = f"{size['classes']:,} x {size['shots']} x {size['dimensions']}"
    peak = f"{peak / 2**20:.0f} MiB"
    return [name, LOOPS[solver], f"{1000 * step:.2f} ms", str(n_steps), in_all, loss, peak]


def train(size, solver, steps):
    """Seconds of a training and the loss before each of its steps."""
    problem = Problem(**size).training
    if solver == "torch":
        seconds, (losses, *_) = timed(paper_loop, problem, steps)
        return seconds, losses
    training = Training(solver, max_iter=steps if solver == "adamw" else None, device="cpu")
    seconds, outcome = timed(train_on, problem, training)
    return seconds, outcome.loss_curve


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


def threads():
    """Markdown with seconds by threads of linear algebra, quiet and beside two busy processes."""
    from sksemobridge._utils import threads as limits

    ways = {"one thread": np.inf, "all threads": 0, "the rule": limits.SMALL_PRODUCT}
    rows = []
    for size in ({"classes": 37, "shots": 8}, {"classes": 100, "shots": 16}, {"classes": 1000, "shots": 16}):
        problem = Problem(**BASE | size | {"dimensions": 512})
        stages = {
            "fit": problem.fit,
            "with_unlabeled": problem.learn_unlabeled,
            "predict_proba": problem.predict,
        }
        for machine, n_busy in (("quiet", 0), ("busy", 2)):
            others = [Process(target=spin, daemon=True) for _ in range(n_busy)]
            for process in others:
                process.start()
            for name, stage in stages.items():
                row = [f"{size['classes']:,} x {size['shots']}", name, machine]
                for small_product in ways.values():
                    with mock.patch.object(limits, "SMALL_PRODUCT", small_product):
                        row.append(f"{min(timed(stage)[0] for _ in range(2)):.2f} s")
                rows.append(row)
            for process in others:
                process.terminate()
    header = ["classes x shots", "stage", "machine", *ways]
    return f"## Threads\n\nBeside busy processes, several threads wait for each other.\n\n{table(header, rows, n_left=3)}"


def spin():
    while True:
        pass


PARTS = {
    "growth": growth,
    "threads": threads,
    "imagenet": lambda: imagenet(IMAGENET),
    "loops": lambda: loops(LOOP, IMAGENET | {"queries": 1}, steps=5000),
    "imagenet-trained": lambda: imagenet(IMAGENET, "lbfgs"),
}
# Training at ImageNet's size takes longer than all other parts together.
DEFAULT_PARTS = ["growth", "imagenet", "loops"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=DEFAULT_PARTS, choices=PARTS)
    parser.add_argument("--docs", default=Path(), type=Path)
    args = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", message="The bridge did not converge")
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    parts = [
        "# Speed and scale: results",
        f"Written by `python benchmarks/scale.py`, with {threads} thread{'' if threads == '1' else 's'}; "
        "its docstring says how.",
    ]
    for name in args.parts:
        parts.append(PARTS[name]())
        print(parts[-1], end="\n\n", flush=True)
    if set(args.parts) >= set(DEFAULT_PARTS):
        (args.docs / "benchmarks_scale.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

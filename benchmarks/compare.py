"""Compare two commits in one run: prediction, fit, encoding, and accuracy on tasks.

    python benchmarks/compare.py HEAD~1 HEAD
    python benchmarks/compare.py v0.1.0 HEAD --tasks digits npz:caltech101.npz --csv history.csv

Each commit is laid out in a temporary folder and measured in a process of its own, by the programs of this checkout. Times
are of runs that take turns, so that other programs on the machine distort their ratio little; accuracies are of the same
shots, with the standard error of the paired difference. `--csv` adds a row for each figure to a file, which makes a history
by the hashes of the commits.
"""

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from timing import timed

ROOT = Path(__file__).resolve().parents[1]


# In the process of one commit


def speeds():
    """What is timed, by name: callables that are ready to run."""
    import sksemobridge
    from sksemobridge import CLIPImageEncoder, PrecomputedTextEncoder, SeMoBridgeClassifier
    from sksemobridge.datasets import load_emoji

    rng, names = np.random.default_rng(0), [f"class {code}" for code in range(100)]
    texts, queries = rng.normal(size=(100, 512)), rng.normal(size=(20_000, 512)).astype(np.float32)
    y = np.repeat(names, 4)
    X = (np.repeat(texts, 4, axis=0) + rng.normal(size=(400, 512))).astype(np.float32)
    text_encoder = PrecomputedTextEncoder(names, texts, np.eye(512))
    classifier, fitted = (SeMoBridgeClassifier(text_encoder, prompts="{}") for _ in range(2))
    encoder = CLIPImageEncoder("mini", "bundled", precision="fp32")
    jobs = {
        "head: predict_proba, 20,000 x 512, 100 classes": partial(fitted.fit(X, y).predict_proba, queries),
        "fit: 100 classes x 4": partial(classifier.fit, X, y),
        "encode: 256 pictures through mini": partial(encoder.transform, load_emoji().images[:256]),
    }
    if hasattr(sksemobridge, "PaperBlend"):  # versions before spelled it otherwise
        solver = sksemobridge.Training(max_iter=20)
        paper = SeMoBridgeClassifier(
            text_encoder, prompts="{}", blend=sksemobridge.PaperBlend(), solver=solver
        )
        jobs["fit: the paper's bridge, 20 iterations of lbfgs"] = partial(paper.fit, X, y)
    return jobs


def accuracies(name, all_shots, seeds):
    """Accuracy of each draw, by number of shots."""
    from tasks import load

    from sksemobridge import SeMoBridgeClassifier

    task = load(name)
    result = {}
    for shots in all_shots:
        scores = []
        for seed in range(seeds):
            rows, rest = task.draw(shots, 6000 + seed)
            classifier = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts)
            scores.append(float(classifier.fit(task.X[rows], task.y[rows]).score(task.X[rest], task.y[rest])))
        result[shots] = scores
    return result


def answer():
    """Answer requests, a line of JSON each: run what is timed, or measure accuracies."""
    import warnings

    warnings.simplefilter("ignore")
    for line in sys.stdin:
        request = json.loads(line)
        if request["what"] == "names":
            jobs = speeds()
            reply = list(jobs)
        elif request["what"] == "time":
            reply = timed(jobs[request["name"]])[0]
        else:
            reply = accuracies(request["name"], request["shots"], request["seeds"])
        print(f"reply {json.dumps(reply)}", flush=True)


# In the process that compares


COLUMNS = ("date", "figure", "commit", "value", "other commit", "its value", "remark")


def hash_of(name):
    """The short hash of a commit, which stays when a name such as HEAD moves on."""
    command = ["git", "rev-parse", "--quiet", "--verify", "--short", f"{name}^{{commit}}"]
    found = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    if found.returncode:
        raise SystemExit(f"git knows no commit {name!r}.")
    return found.stdout.strip()


class Commit:
    """A commit laid out in a folder, and a process that measures it."""

    def __init__(self, name, folder):
        self.name, self.hash = name, hash_of(name)
        archive = subprocess.run(
            ["git", "archive", self.hash, "sksemobridge"], cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, "--answer"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "benchmarks")])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what, **request):
        self._process.stdin.write(json.dumps({"what": what, **request}) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("reply "):
                return json.loads(line.removeprefix("reply "))
        raise SystemExit(f"The process of {self.name} ended; its error is above.")

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def compare(a, b, tasks, rounds, all_shots, seeds):
    """Rows `(figure, a, b, remark)`."""
    in_both = [name for name in a.ask("names") if name in b.ask("names")] if rounds else []
    for name in in_both:
        for commit in (a, b):
            commit.ask("time", name=name)
        seconds = np.array([[commit.ask("time", name=name) for commit in (a, b)] for _ in range(rounds)])
        ratio = np.median(seconds[:, 1] / seconds[:, 0])
        yield f"{name}, s", *seconds.min(axis=0), f"x {ratio:.2f}"
    for name in tasks:
        of_a, of_b = (commit.ask("accuracy", name=name, shots=all_shots, seeds=seeds) for commit in (a, b))
        for shots in of_a:
            scores = 100 * np.array([of_a[shots], of_b[shots]])
            gain = scores[1] - scores[0]
            error = gain.std(ddof=1) / np.sqrt(seeds) if seeds > 1 else np.nan
            remark = f"{gain.mean():+.2f} ± {error:.2f}"
            yield f"accuracy: {name}, {shots} shots, %", *scores.mean(axis=1), remark


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "commits", nargs=2, metavar="COMMIT", help="names of git; the second is compared with the first"
    )
    parser.add_argument(
        "--tasks", nargs="*", default=["emoji", "digits"], help="as in benchmarks/few_shot.py"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each time; 0 for accuracies alone")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--seeds", type=int, default=5, help="draws of the shots")
    parser.add_argument("--csv", type=Path, help="file to add the figures to")
    args = parser.parse_args()
    tasks = [f"npz:{Path(task[4:]).resolve()}" if task.startswith("npz:") else task for task in args.tasks]
    with tempfile.TemporaryDirectory() as folder:
        a, b = (Commit(name, Path(folder, str(i))) for i, name in enumerate(args.commits))
        print(f"{'':52}{a.name[:12]:>12}{b.name[:12]:>12}")
        rows = []
        for figure, of_a, of_b, remark in compare(a, b, tasks, args.rounds, args.shots, args.seeds):
            print(f"{figure:52}{of_a:>12.4g}{of_b:>12.4g}   {remark}", flush=True)
            rows.append([datetime.now(UTC).date(), figure, a.hash, of_a, b.hash, of_b, remark])
        a.close()
        b.close()
    if args.csv:
        with open(args.csv, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS] * (file.tell() == 0) + rows)


if __name__ == "__main__":
    answer() if sys.argv[1:] == ["--answer"] else main()

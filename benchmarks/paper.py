"""The paper's tables: its data sets, shots, seeds and prompts, under its protocol and under ours.

    python benchmarks/paper.py --root DATA --model ViT-B-16 --cupl TEXTS
    python benchmarks/paper.py --root DATA --model RN50 --cupl TEXTS

`DATA` holds the data sets in the folders and with the split files of `paper_protocol.json`, which are those of CoOp. The
program runs what is there and names what is missing at the end. `TEXTS` holds CuPL's sentences as `<folder of the data
set>/cupl_full.json`; without it the prompts are the templates alone. Every result becomes a row of `--results` at once,
so that an interrupted run goes on where it was.

Protocol `paper` tunes seven numbers by 1,000 trials on the whole validation split and takes the step of training, of
5,000, with the best validation accuracy. ImageNet has no validation split: as in the paper, the numbers are tuned on its
*test* images and the last step is taken. Protocol `ours` is the default model and, trained, the paper's method with its default
numbers; it sees the shots alone. Both use the augmented copies of the paper's configuration; ours is told by `groups` which are of one image.
The variants of ImageNet are tested with the model of ImageNet.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from paper_data import (
    VARIANTS,
    class_prompts,
    draw_shots,
    embed_shots,
    read_dataset,
    read_protocol,
    read_variant,
)
from paper_search import Step, Validation, best_step, paper_classifier, search
from results import Results
from tables import shots_in_words, table
from timing import timed

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    PaperBlend,
    SeMoBridgeClassifier,
    Training,
    ZeroShotClassifier,
)

METHODS = ("SeMoBridge", "SeMoBridge-T")
PROTOCOLS = ("paper", "ours")
ZERO_SHOT = "CLIP zero-shot"
N_SEEDS = 3
# Names in `paper_results.csv`.
REPORTED_BACKBONES = {"ViT-B-16": "ViT-B/16", "RN50": "RN50"}
REPORTED_DATASETS = {"OxfordFlowers": "Flowers102", "DescribableTextures": "DTD"}
KEY = ("model", "pretrained", "prompts", "dataset", "protocol", "trials", "steps", "method", "shots", "seed")
VALUES = ("top1", "tuned_on", "best_step", "seconds")


class Runner:
    """Embeds the images of one data set when they are needed, and measures one method after the other."""

    def __init__(self, args, protocol, dataset):
        self.args, self.protocol, self.dataset = args, protocol, dataset
        encoder = {"model_name": args.model, "pretrained": args.pretrained, "device": args.device}
        self.encoder = CLIPImageEncoder(**encoder, precision="fp32", cache=args.cache, progress=args.progress)
        self.text_encoder = CLIPTextEncoder(**encoder, cache=args.cache)
        self.prompts = class_prompts(dataset.name, dataset.class_names, protocol, args.cupl)
        self.device = args.device
        if args.device == "auto":
            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._embedded = {}

    def embed(self, images):
        """Embeddings of a split, computed once."""
        if id(images) not in self._embedded:
            self._embedded[id(images)] = self.encoder.transform(images.paths)
        return self._embedded[id(images)]

    def zero_shot(self, name):
        """Accuracy of the texts alone on a test split, over the classes that it has."""
        X, y = self.embed(self.dataset.tests[name]), self.dataset.tests[name].labels
        return ZeroShotClassifier(self.text_encoder, prompts=self.prompts).fit(X, y).score(X, y)

    def learn(self, method, protocol, k, seed):
        """A fitted classifier of a method under a protocol, and the columns about how it was fitted."""
        shots = self.dataset.train.take(draw_shots(self.dataset.train, k, seed))
        X, image = embed_shots(self.encoder, shots.paths, self.dataset.name, k, self.protocol, seed)
        y = shots.labels[image]
        trained = method == "SeMoBridge-T"
        if protocol == "ours":
            classifier = SeMoBridgeClassifier(self.text_encoder, prompts=self.prompts)
            if trained:
                classifier.set_params(blend=PaperBlend(), solver=Training(device=self.device))
            seconds, _ = timed(classifier.fit, X, y, groups=image)
            how = {"tuned_on": "shots", "best_step": ""}
        else:
            images, how = self._validation_split()
            queries = self.embed(images)
            seconds, classifier = timed(self._learn_as_the_paper, X, y, queries, images.labels, trained, seed)
            how["best_step"] = classifier.n_iter_ if trained else ""
        return classifier, how | {"seconds": f"{seconds:.2f}"}

    def _validation_split(self):
        if self.dataset.val is None:
            return self.dataset.tests[self.dataset.name], {"tuned_on": "test images"}
        return self.dataset.val, {"tuned_on": "validation split"}

    def _learn_as_the_paper(self, X, y, queries, labels, trained, seed):
        classifier = paper_classifier(self.text_encoder, self.prompts).fit(X, y)
        validation = Validation(classifier, queries, labels, self.device)
        if trained:
            classifier.set_params(solver=Training("adamw", max_iter=self.args.steps, device=self.device))
        if trained and self.protocol["datasets"][self.dataset.name]["step_selected_by"] == "best_val":
            step = best_step(classifier, X, y, validation)
        else:
            step = Step.of(classifier.fit(X, y), self.device)
        settings = search(step, validation, self.args.trials, self.protocol["search"]["ranges"], seed)
        found = {f"blend__{name}": value for name, value in settings.items()}
        if trained:
            found["solver__max_iter"] = step.number
        return classifier.set_params(**found).fit(X, y)

    def top1(self, classifier, name):
        """Accuracy on a test split, over the classes that it has."""
        images = self.dataset.tests[name]
        classes = np.unique(images.labels)
        if len(classes) < len(classifier.classes_):
            classifier = classifier.with_classes(classes)
        return np.mean(classifier.predict(self.embed(images)) == images.labels)


def run(args, results):
    """Add all rows that are missing. Return a message for each data set that could not be read."""
    protocol, problems = read_protocol(), []
    for name in args.datasets:
        try:
            dataset = read_dataset(name, args.root, protocol)
            runner = Runner(args, protocol, dataset)
        except (FileNotFoundError, ValueError) as error:
            problems.append(f"{name}: {error}")
            continue
        for variant in args.variants if name == "ImageNet" else []:
            try:
                dataset.tests[variant] = read_variant(variant, args.root, protocol)
            except (FileNotFoundError, ValueError) as error:
                problems.append(f"{variant}: {error}")
        measure(args, results, runner)
    return problems


def measure(args, results, runner):
    """Add the missing rows of one data set."""
    fixed = {
        "model": args.model,
        "pretrained": args.pretrained,
        "prompts": "with CuPL" if args.cupl else "templates",
    }

    def missing(cell):
        cells = [fixed | cell | {"dataset": name} for name in runner.dataset.tests]
        return [row for row in cells if [row[column] for column in KEY] not in results]

    def add(row, top1, how):
        results.append(row | how | {"top1": f"{100 * top1:.4f}"})
        what = f"{row['dataset']}, {row['method']}, {row['protocol'] or 'here'}"
        print(f"{what}, {row['shots']} shots, seed {row['seed']}: {100 * top1:.2f} %", flush=True)

    cell = {"protocol": "", "trials": 0, "steps": 0, "method": ZERO_SHOT, "shots": 0, "seed": 0}
    for row in missing(cell):
        add(row, runner.zero_shot(row["dataset"]), {"tuned_on": "", "best_step": "", "seconds": ""})
    for k, seed, protocol, method in product(args.shots, args.seeds, args.protocols, METHODS):
        trials, steps = (args.trials, args.steps) if protocol == "paper" else (0, 0)
        cell = {
            "protocol": protocol,
            "trials": trials,
            "steps": steps,
            "method": method,
            "shots": k,
            "seed": seed,
        }
        if rows := missing(cell):
            classifier, how = runner.learn(method, protocol, k, seed)
            for row in rows:
                add(row, runner.top1(classifier, row["dataset"]), how)


def report(rows, reported):
    """Markdown with our rows beside the reported figures: a table for each backbone, method and number of shots."""
    frame = pd.DataFrame(rows)
    if frame.empty:
        return "No results yet."
    for column in ("top1", "shots", "trials", "steps"):
        frame[column] = pd.to_numeric(frame[column])
    frame["protocol"] = [
        f"paper's protocol ({trials} trials, {steps} steps)" if protocol == "paper" else protocol
        for protocol, trials, steps in zip(frame.protocol, frame.trials, frame.steps)
    ]
    parts = [
        "Top-1 in percent: mean ± standard deviation of the seeds (how many, unless three); `reported` as published."
    ]
    for (model, pretrained, prompts, k, method), group in frame.groupby(
        ["model", "pretrained", "prompts", "shots", "method"], sort=False
    ):
        at_k = reported[(reported.backbone == REPORTED_BACKBONES.get(model)) & (reported.shots == k)]
        shots = f", {shots_in_words(k)}" if k else ""
        parts += [f"## {method}, {model} ({pretrained}, {prompts}){shots}", comparison(group, at_k, method)]
    return "\n\n".join(parts) + "\n"


def comparison(group, reported, method):
    """A row for each data set and for their mean: reported, by protocol, and the best other method reported."""
    own = reported[reported.method == method].set_index("dataset")
    others = reported[~reported.method.isin([*METHODS, ZERO_SHOT])].sort_values("top1_percent")
    protocols = list(group.protocol.unique())
    means, lines = [], []
    for name in group.dataset.unique():
        at = REPORTED_DATASETS.get(name, name)
        figures = [(own.top1_percent.get(at, np.nan), own["std"].get(at, np.nan), N_SEEDS)]
        for protocol in protocols:
            top1 = group[(group.dataset == name) & (group.protocol == protocol)].top1
            figures.append((top1.mean(), top1.std(), N_SEEDS if method == ZERO_SHOT else len(top1)))
        best = others[others.dataset == at].tail(1)
        best = [f"{top1:.2f} ({other})" for top1, other in zip(best.top1_percent, best.method)]
        lines.append([name, *(figure(*of_column) for of_column in figures), *(best or ["-"])])
        if name not in VARIANTS:
            means.append([mean for mean, _, _ in figures])
    if len(means) > 1:
        lines.append([f"mean of {len(means)}", *(figure(mean) for mean in np.mean(means, axis=0)), "-"])
    header = ["data set", "reported", *(protocol or "here" for protocol in protocols), "best other reported"]
    return table(header, lines)


def figure(mean, deviation=np.nan, n_seeds=N_SEEDS):
    if np.isnan(mean):
        return "-"
    text = f"{mean:.2f}" if np.isnan(deviation) else f"{mean:.2f} ± {deviation:.2f}"
    return text if n_seeds == N_SEEDS else f"{text} ({n_seeds})"


def main(arguments=None):
    protocol = read_protocol()
    names = [name for name in protocol["datasets"] if name not in VARIANTS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", required=True, type=Path, help="folder of the data sets")
    parser.add_argument("--model", default="ViT-B-16", help="as open_clip names it")
    parser.add_argument("--pretrained", default="openai")
    parser.add_argument("--cupl", type=Path, help="folder of CuPL's sentences")
    parser.add_argument("--datasets", nargs="+", default=names, choices=names, metavar="DATASET")
    parser.add_argument("--variants", nargs="*", default=VARIANTS, choices=VARIANTS, help="of ImageNet")
    parser.add_argument("--shots", nargs="+", default=[1, 2, 4, 8, 16], type=int)
    parser.add_argument("--seeds", nargs="+", default=[1, 2, 3], type=int)
    parser.add_argument("--protocols", nargs="+", default=PROTOCOLS, choices=PROTOCOLS)
    parser.add_argument("--trials", default=protocol["search"]["trials"], type=int)
    parser.add_argument("--steps", default=5000, type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cache", default="embeddings", help="folder that keeps embeddings")
    parser.add_argument("--progress", action="store_true", help="bars while images are embedded")
    parser.add_argument("--results", default=Path("paper_runs.csv"), type=Path)
    parser.add_argument("--table", default=Path("paper_table.md"), type=Path)
    args = parser.parse_args(arguments)
    results = Results(args.results, KEY, VALUES)
    problems = run(args, results)
    text = report(list(results.rows.values()), pd.read_csv(Path(__file__).parent / "paper_results.csv"))
    args.table.write_text(text, encoding="utf-8")
    print(text)
    for problem in problems:
        print(f"left out - {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

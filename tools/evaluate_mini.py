"""Evaluate `mini` on a picture style that it was not trained on.

    python tools/evaluate_mini.py NODE_MODULES MODEL_FOLDER [--set openmoji]

Prints zero-shot accuracy over emoji subgroups, how often the right name is among the first five of all names,
and how many directions hold 99 % of the variance of the pictures and of the names. The held-out style
(`--set fluent-emoji-flat`) is for one look, at the end.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from emoji_pictures import DEVELOPMENT_SET, SUBGROUP_NAMES, read_emoji_once
from torch.nn import functional as F

from sksemobridge._texts.prompts import ENSEMBLE_TEMPLATES


def on_white(rgba, size):
    """RGBA pictures `(n, s, s, 4)` uint8 as normalised model input `(n, 3, size, size)`."""
    picture = torch.from_numpy(np.stack(rgba)).float() / 255
    picture = picture[..., :3] * picture[..., 3:] + 1 - picture[..., 3:]
    picture = F.interpolate(picture.permute(0, 3, 1, 2), size=(size, size), mode="bicubic", antialias=True)
    return picture.clamp(0, 1) * 2 - 1


@torch.no_grad()
def class_texts(model, tokenizer, names):
    texts = []
    for name in names:
        tokens = tokenizer([template.replace("{}", name) for template in ENSEMBLE_TEMPLATES])
        texts.append(F.normalize(model.encode_text(tokens, normalize=True).mean(0), dim=0))
    return torch.stack(texts)


@torch.no_grad()
def picture_features(model, rows):
    pixels = on_white([row[1] for row in rows], int(np.ravel(model.visual.image_size)[0]))
    return torch.cat(
        [model.encode_image(pixels[i : i + 256], normalize=True) for i in range(0, len(rows), 256)]
    )


@torch.no_grad()
def subgroup_accuracy(model, tokenizer, rows, *, at_least=20):
    """Zero-shot accuracy over frequent and over all subgroups, and top-5 accuracy over all names."""
    features = picture_features(model, rows)
    subgroups = np.array([row[4] for row in rows])
    counts = Counter(subgroups.tolist())
    result = {}
    for key, chosen in (
        ("frequent", sorted(s for s in counts if counts[s] >= at_least)),
        ("all", sorted(counts)),
    ):
        texts = class_texts(model, tokenizer, [SUBGROUP_NAMES[s] for s in chosen])
        mask = np.isin(subgroups, chosen)
        predicted = np.array(chosen)[(features[mask] @ texts.T).argmax(1).numpy()]
        result[f"{key}_subgroups"] = len(chosen)
        result[f"{key}_accuracy"] = round(float((predicted == subgroups[mask]).mean()), 4)
    labels = [row[2] for row in rows]
    names = sorted(set(labels))
    texts = class_texts(model, tokenizer, names)
    top = (features @ texts.T).topk(5, dim=1).indices.numpy()
    target = np.array([names.index(label) for label in labels])
    result["names"] = len(names)
    result["names_top5"] = round(float((top == target[:, None]).any(1).mean()), 4)
    return result


def directions(features, share=0.99):
    """How many principal directions of the features `(n, d)` hold this share of their variance."""
    variance = torch.linalg.svdvals(features - features.mean(0)) ** 2
    return int((variance.cumsum(0) < share * variance.sum()).sum()) + 1


def main():
    import open_clip

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("node_modules", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--set", default=DEVELOPMENT_SET)
    args = parser.parse_args()
    name = f"local-dir:{args.model.resolve()}"
    model = open_clip.create_model(name, require_pretrained=True).eval()
    tokenizer = open_clip.get_tokenizer(name)
    rows = read_emoji_once(args.node_modules, args.set)
    print(subgroup_accuracy(model, tokenizer, rows))
    pictures = picture_features(model, rows)
    texts = class_texts(model, tokenizer, sorted({row[2] for row in rows}))
    print(f"99 % of variance: {directions(pictures)} directions for pictures, {directions(texts)} for names")


if __name__ == "__main__":
    main()

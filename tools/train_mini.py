"""Train `mini`, the small CLIP that ships with the package, on drawn emoji and icons.

    python tools/train_mini.py NODE_MODULES OUTPUT [--steps N] [--checkpoint FILE] [--hours H]

NODE_MODULES holds the packages that `python tools/emoji_pictures.py` names; OUTPUT becomes a folder
with `open_clip_config.json` and `open_clip_model.safetensors`. Every 500 steps it prints zero-shot
accuracy on the development style (openmoji), which is not trained on. The held-out style, on which
`benchmarks/few_shot.py --tasks emoji` measures the model, is never read here.

With `--checkpoint FILE` the state is kept in FILE every 100 steps, and a run goes on from there
when FILE exists. The learning rate falls over `--steps`, those of all runs together; `--hours` ends
one run before that.
"""

import argparse
import copy
import json
import math
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from emoji_pictures import (
    COLOUR_ICON_SETS,
    DEVELOPMENT_SET,
    EMOJI_SETS,
    MONO_ICON_SETS,
    SUBGROUP_NAMES,
    EmojiWords,
    read_emoji_once,
    read_set,
)
from torch.nn import functional as F

CONFIG = {
    "model_cfg": {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": 64,
            "layers": [1, 2, 2, 1],
            "width": 20,
            "head_width": 64,
        },
        "text_cfg": {
            "context_length": 32,
            "vocab_size": 49408,
            "width": 128,
            "heads": 4,
            "layers": 2,
        },
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}
TEMPLATES = (
    "{}",
    "{}",
    "{}",
    "a {}",
    "a {}.",
    "the {}.",
    "a photo of a {}.",
    "a photo of a {}.",
    "a picture of a {}.",
    "an icon of a {}.",
    "an emoji of a {}.",
    "a drawing of a {}.",
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
    "a cartoon {}.",
    "this is a {}.",
)
BATCH = 192
SHORTER = 8
SIZE = CONFIG["model_cfg"]["vision_cfg"]["image_size"]


class Pictures:
    """All training pictures as one uint8 array, with the texts each of them may be called."""

    def __init__(self, node_modules):
        words = EmojiWords(node_modules)
        self.emoji_texts = words.texts()
        images, self.labels, self.tags, self.subgroups, self.weights, self.mono = (
            [],
            [],
            [],
            [],
            [],
            [],
        )
        # Share of the batch for each kind of set; within a kind every picture is as likely.
        for share, names in ((0.9, EMOJI_SETS), (0.05, COLOUR_ICON_SETS), (0.05, MONO_ICON_SETS)):
            rows = [row for name in names for row in read_set(node_modules, name, words)]
            for _, rgba, label, tags, subgroup in rows:
                images.append(rgba)
                self.labels.append(label)
                self.tags.append(tags)
                self.subgroups.append(subgroup)
                # Hundreds of flags would crowd out what people look for.
                self.weights.append(share / len(rows) * (0.5 if subgroup == "country-flag" else 1))
                self.mono.append(names is MONO_ICON_SETS)
            print(f"{len(rows)} pictures from {', '.join(names)}", flush=True)
        self.images = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        self.weights = np.array(self.weights) / np.sum(self.weights)
        self.mono = torch.tensor(self.mono)
        self.concepts = [
            {label, *tags, subgroup}
            for label, tags, subgroup in zip(self.labels, self.tags, self.subgroups)
        ]

    def caption(self, i, rng):
        """A caption of picture `i` and the concept it names."""
        label, tags, subgroup = self.labels[i], self.tags[i], self.subgroups[i]
        draw = rng.random()
        if subgroup is not None and draw < 0.25:
            text, concept = SUBGROUP_NAMES[subgroup], subgroup
            if rng.random() < 0.25:
                text = subgroup.replace("-", " ")
        elif tags and draw < 0.4:
            concept = text = tags[rng.integers(len(tags))]
        elif tags and draw < 0.5:
            chosen = rng.permutation(tags)[: rng.integers(1, 5)]
            return f"{label}, {', '.join(chosen)}", label
        else:
            concept = text = label
        return TEMPLATES[rng.integers(len(TEMPLATES))].replace("{}", text), concept

    def vocabulary(self, tokenizer):
        """All tokens of captions, also of emoji that no training set has, sorted, `(n,)` int64."""
        texts = self.emoji_texts | {
            *self.labels,
            *SUBGROUP_NAMES,
            *SUBGROUP_NAMES.values(),
            *TEMPLATES,
            "a, b",
        }
        texts |= {subgroup.replace("-", " ") for subgroup in SUBGROUP_NAMES}
        return tokenizer(sorted(texts.union(*self.tags))).unique()

    def no_flip(self, i):
        return any(
            word in self.labels[i] for word in ("left", "right", "clockwise", "letter", "button")
        )


def augment(rgba, mono, no_flip, generator):
    """Random affine map, outline, colours and background: `(n, 4, s, s)` uint8 to
    `(n, 3, SIZE, SIZE)`.
    """
    n = len(rgba)

    def uniform(low, high, *shape):
        return torch.rand(n, *shape, generator=generator) * (high - low) + low

    angle = uniform(-0.25, 0.25) * (uniform(0, 1) < 0.7)
    scale, stretch, shear = uniform(0.85, 1.25), uniform(0.9, 1.1), uniform(-0.1, 0.1)
    flip = torch.where((uniform(0, 1) < 0.5) & ~no_flip, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = cos * stretch * flip, -sin + shear
    theta[:, 1, 0], theta[:, 1, 1] = sin * flip, cos / stretch
    theta[:, :, 2] = uniform(-0.12, 0.12, 2)
    picture = rgba.float() / 255
    picture[:, :3] *= picture[:, 3:]  # premultiplied, so that edges do not bleed
    picture = F.grid_sample(
        picture, F.affine_grid(theta, (n, 4, SIZE, SIZE), align_corners=False), align_corners=False
    )
    colour, alpha = picture[:, :3], picture[:, 3:]
    ink = torch.rand(n, 3, 1, 1, generator=generator)
    colour = torch.where(mono.view(-1, 1, 1, 1), ink * alpha, colour)

    # Some pictures in grey, some with channels mixed, all with other contrast and brightness.
    mix = torch.eye(3) + uniform(-0.25, 0.25, 3, 3) * (uniform(0, 1) < 0.4).view(-1, 1, 1)
    grey = torch.full((3, 3), 1 / 3)
    mix = torch.where((uniform(0, 1) < 0.08).view(-1, 1, 1), grey, mix)
    colour = torch.einsum("nij,njhw->nihw", mix, colour)
    colour = colour * uniform(0.75, 1.25, 1, 1, 1) + alpha * uniform(-0.12, 0.12, 1, 1, 1)
    colour = torch.minimum(colour.clamp(min=0), alpha)

    # Some with an outline, as several drawing styles have.
    wide = F.max_pool2d(alpha, 3, stride=1, padding=1)
    outline = (uniform(0, 1) < 0.2).view(-1, 1, 1, 1) * (wide - alpha).clamp(min=0)
    shade = (torch.rand(n, 1, 1, 1, generator=generator) < 0.3).float()
    colour, alpha = colour + outline * shade, alpha + outline

    # Some with a hole, so that no single part decides.
    place = (torch.arange(SIZE) + 0.5) / SIZE
    middle, half = uniform(0.1, 0.9, 2), uniform(0.08, 0.18).view(-1, 1)
    rows, columns = ((place - middle[:, i, None]).abs() < half for i in (0, 1))
    hole = rows[:, :, None] & columns[:, None, :] & (uniform(0, 1) < 0.3).view(-1, 1, 1)
    colour, alpha = colour * ~hole[:, None], alpha * ~hole[:, None]

    corner = torch.rand(n, 3, 2, 2, generator=generator)
    gradient = F.interpolate(corner, size=(SIZE, SIZE), mode="bilinear")
    kind = uniform(0, 1).view(-1, 1, 1, 1)
    noise = torch.rand(n, 3, SIZE, SIZE, generator=generator)
    background = torch.where(kind < 0.45, torch.ones(1), corner[:, :, :1, :1])
    background = torch.where(kind > 0.75, gradient, background)
    background = torch.where(kind > 0.93, noise, background)
    # Ink must differ from the paper.
    close = (mono.view(-1, 1, 1, 1)) & ((ink - background).abs().amax(1, keepdim=True) < 0.35)
    background = torch.where(close, (ink + 0.5) % 1.0, background)
    return (colour + (1 - alpha) * background).clamp(0, 1) * 2 - 1


def encode_text(model, tokens):
    """`model.encode_text` on tokens cut to their length (attention is causal, so it is equal)."""
    length = int(tokens.argmax(dim=-1).max()) + 1
    tokens = tokens[:, :length]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return x[torch.arange(len(x)), tokens.argmax(dim=-1)] @ model.text_projection


def encode_texts(model, tokens):
    """`encode_text` in three parts, short texts first, which saves most of the padding."""
    order = tokens.argmax(dim=-1).argsort()
    parts = [encode_text(model, part) for part in tokens[order].chunk(3)]
    return torch.cat(parts)[order.argsort()]


def masked_contrastive_loss(images, texts, scale, also_true):
    """CLIP's loss, where a text that is also true of another picture is no negative for it."""
    logits = scale * F.normalize(images.float(), dim=1) @ F.normalize(texts.float(), dim=1).T
    logits = logits.masked_fill(also_true, -math.inf)
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def log_directions(features):
    """Logarithm of the participation ratio of the features' covariance: over how many directions
    they spread.

    Left to themselves, pictures and texts of a model as small as this one collapse into a few
    directions.
    """
    centred = F.normalize(features.float(), dim=1)
    centred = centred - centred.mean(dim=0)
    gram = centred @ centred.T  # its eigenvalues other than zero are those of the covariance
    return 2 * gram.trace().log() - gram.square().sum().log()


def with_all_tokens(model, vocabulary):
    """The model that ships: every token has a row, zero for those that training does not know."""
    import open_clip

    whole = open_clip.model.CLIP(**CONFIG["model_cfg"]).eval()
    state = model.state_dict()
    known = state["token_embedding.weight"]
    state["token_embedding.weight"] = known.new_zeros(whole.token_embedding.weight.shape)
    state["token_embedding.weight"][vocabulary] = known
    for part in (
        "weight",
        "bias",
    ):  # embeddings of pictures about as long as CLIP's; a power of two costs no digit
        state[f"visual.attnpool.c_proj.{part}"] /= SHORTER
    whole.load_state_dict(state)
    return whole


@torch.no_grad()
def subgroup_accuracy(model, tokenizer, rows, at_least=20):
    """Zero-shot accuracy over the subgroups that have so many pictures."""
    counts = Counter(row[4] for row in rows)
    chosen = sorted(name for name in counts if counts[name] >= at_least)
    rows = [row for row in rows if row[4] in chosen]
    texts = [tokenizer([f"a picture of a {SUBGROUP_NAMES[name]}."]) for name in chosen]
    texts = model.encode_text(torch.cat(texts), normalize=True)
    rgba = torch.from_numpy(np.stack([row[1] for row in rows])).permute(0, 3, 1, 2).float() / 255
    pixels = (rgba[:, :3] * rgba[:, 3:] + 1 - rgba[:, 3:]) * 2 - 1
    features = torch.cat([model.encode_image(part, normalize=True) for part in pixels.split(256)])
    predicted = (features @ texts.T).argmax(dim=1).tolist()
    return np.mean([chosen[place] == row[4] for place, row in zip(predicted, rows)])


def save(model, output):
    from safetensors.torch import save_file

    state = {key: value.detach() for key, value in model.state_dict().items() if key != "attn_mask"}
    state = {key: v.half().contiguous() if v.is_floating_point() else v for key, v in state.items()}
    output.mkdir(parents=True, exist_ok=True)
    save_file(state, output / "open_clip_model.safetensors")
    (output / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("node_modules", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--hours", type=float, default=math.inf)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--spread", type=float, default=0.15, help="weight of log_directions")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    args = parser.parse_args()

    import open_clip

    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    pictures = Pictures(args.node_modules)
    development = read_emoji_once(args.node_modules, DEVELOPMENT_SET)
    tokenizer = open_clip.SimpleTokenizer(context_length=32)
    # Only rows of tokens that occur are trained; their order is kept, so the end of text stays the
    # largest.
    vocabulary = pictures.vocabulary(tokenizer)
    config = copy.deepcopy(CONFIG["model_cfg"])
    config["text_cfg"]["vocab_size"] = len(vocabulary)
    model = open_clip.model.CLIP(**config)
    model.visual.to(memory_format=torch.channels_last)
    average = copy.deepcopy(model)  # averaged weights: what is evaluated and saved

    decay = [p for n, p in model.named_parameters() if p.ndim >= 2 and "embedding" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
        fused=True,
    )
    step = 0
    if args.checkpoint and args.checkpoint.exists():
        state = torch.load(args.checkpoint, weights_only=False)
        step = state["step"]
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        rng.bit_generator.state = state["rng"]
        generator.set_state(state["generator"])
        print(f"goes on from step {step}", flush=True)
    start, last = time.time(), step >= args.steps
    while not last:
        warm = min(1.0, (step + 1) / 300)
        rate = args.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / args.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        chosen = rng.choice(len(pictures.images), BATCH, replace=False, p=pictures.weights)
        captions, concepts = zip(*(pictures.caption(i, rng) for i in chosen))
        also_true = torch.tensor(
            [[concept in pictures.concepts[i] for concept in concepts] for i in chosen]
        ).fill_diagonal_(False)
        tokens = torch.searchsorted(vocabulary, tokenizer(list(captions)))
        batch = augment(
            pictures.images[chosen],
            pictures.mono[chosen],
            torch.tensor([pictures.no_flip(i) for i in chosen]),
            generator,
        ).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            image_features, text_features = model.encode_image(batch), encode_texts(model, tokens)
        loss = masked_contrastive_loss(
            image_features, text_features, model.logit_scale.exp(), also_true
        )
        loss = loss - args.spread * (log_directions(image_features) + log_directions(text_features))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
            momentum = min(0.999, step / (step + 9))
            for slow, fast in zip(average.state_dict().values(), model.state_dict().values()):
                slow.lerp_(fast, 1 - momentum) if slow.is_floating_point() else slow.copy_(fast)
        last = step >= args.steps or time.time() - start > 3600 * args.hours
        if step % 100 == 0:
            scale, seconds = model.logit_scale.exp().item(), time.process_time()
            print(
                f"step {step} loss {loss.item():.3f} scale {scale:.1f} {seconds:.0f} s of CPU",
                flush=True,
            )
        if args.checkpoint and (step % 100 == 0 or last):
            state = {
                "step": step,
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "rng": rng.bit_generator.state,
                "generator": generator.get_state(),
            }
            unfinished = args.checkpoint.with_suffix(".unfinished")
            torch.save(state, unfinished)
            os.replace(unfinished, args.checkpoint)  # a run that is killed leaves the state before
        if step % 500 == 0 or last:
            whole = with_all_tokens(average, vocabulary)
            score = subgroup_accuracy(whole, tokenizer, development)
            print(f"step {step} {DEVELOPMENT_SET}: {score:.4f}", flush=True)
            save(whole, args.output)


if __name__ == "__main__":
    main()

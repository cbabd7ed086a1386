"""Train the starter's heads.

    python -m training.train OUT.safetensors --data DIRECTORY --pages PAGES.npz [--seed 0]

Two losses on frozen features. The first is CLIP's: pictures against the captions, class names and tags of a batch,
where several pictures may share a text. The second puts questions as taxonomies put them: which of a group's tags,
each meant by the mean of a few of its prompts. Every answer of a group weighs the same, however rare it is; that is
what keeps day from swallowing night. ``docs/how-to/train-the-starter-model.md`` says what the directory holds.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from training import corpus, features, sources, vocabulary
from training.corpus import NOTHING, Corpus
from worker.encoder.starter.efficientnet import POOLED
from worker.encoder.starter.heads import Heads, join_halves
from worker.encoder.starter.model import ModelParts, load_parts

_GROUPS = [torch.tensor([vocabulary.INDEX[tag] for tag in tags]) for tags in vocabulary.GROUPS.values()]
_OPPOSITES = [(vocabulary.INDEX[a], vocabulary.INDEX[b]) for a, b in vocabulary.OPPOSITES.items()]
_HIGHEST_SCALE = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What may be tuned. The defaults made the heads that ship."""

    seed: int = 0
    steps: int = 450
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    dropout: float = 0.35
    noise: float = 0.4  # of the inputs, in standard deviations
    captioned: int = 768  # pictures with captions in a batch
    foldered: int = 160  # pictures of known folders in a batch
    anchors: int = 384  # ImageNet classes in a batch, stood for by the classifier's rows
    tag_share: float = 0.05  # of pictures with tags, those paired with one instead of a caption
    class_tag_share: float = 0.3  # of ImageNet classes with tags, those paired with one instead of their name
    group_weight: float = 0.3  # of the second loss
    geometry_weight: float = 20.0  # of keeping class names as far apart as CLIP's text encoder has them


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Pictures and one text for each."""

    inputs: Tensor  # (n, 1888)
    named: Tensor  # (n, 384)
    tags: Tensor  # bool (n, tags)
    texts: Tensor  # (n, 2) rows of the corpus's texts: two ways to say the same
    mix: Tensor  # (n, 1) how much of the second
    positive: Tensor  # bool (n, n): picture i fits text j
    unknown: Tensor  # bool (n, n): nobody knows


class Sampler:
    """Draws batches: captioned photos, pictures of known folders, and stand-ins for the ImageNet classes."""

    def __init__(self, data: Corpus, anchors: Tensor, recipe: Recipe) -> None:
        self._data, self._anchors, self._recipe = data, anchors, recipe
        self._random = torch.Generator().manual_seed(recipe.seed)
        self._captioned = data.captioned.nonzero()[:, 0]
        self._foldered = (~data.captioned).nonzero()[:, 0]
        folder = data.concept[self._foldered]
        self._rarity = (
            torch.bincount(folder)[folder] ** -0.5
        )  # so that a folder of many pictures does not crowd out the others
        self._class_tags = corpus.tag_matrix([vocabulary.class_tags(number) for number in range(len(anchors))])
        photos = data.views[self._captioned, 0]
        self.mean, self.deviation = photos.mean(0), photos.std(0) + 1e-3
        self._photos = photos
        self.texts = data.texts

    def draw(self) -> Batch:
        recipe, data = self._recipe, self._data
        foldered = self._foldered[torch.multinomial(self._rarity, recipe.foldered, generator=self._random)]
        rows = torch.cat([self._some(self._captioned, recipe.captioned), foldered])
        classes = self._some(torch.arange(len(self._anchors)), recipe.anchors)
        first, second = data.views[rows].unbind(1)
        named, other_named = data.named[rows].unbind(1)
        # Between the picture and its crop and a little beyond either: every photo is a new one each time.
        between = 1.5 * self._rand(len(rows), 1) - 0.25
        made, made_named = self._stand_ins(classes)
        inputs = torch.cat([self._noisy(first.lerp(second, between)), made])
        tags = torch.cat([data.tags[rows], self._class_tags[classes]])
        concept = torch.cat([data.concept[rows], classes])
        return Batch(
            inputs=inputs,
            named=torch.cat([named.lerp(other_named, between), made_named]),
            tags=tags,
            **self._paired(rows, tags, concept),
        )

    def _some(self, rows: Tensor, count: int) -> Tensor:
        return rows[torch.randperm(len(rows), generator=self._random)[:count]]

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._random)

    def _noisy(self, inputs: Tensor) -> Tensor:
        noise = self._recipe.noise * self.deviation * torch.randn(inputs.shape, generator=self._random)
        unseen = self._rand(len(inputs)) < 0.2  # noqa: PLR2004 - sometimes the statistics say nothing
        noisy = inputs + noise
        noisy[unseen, POOLED:] = self.mean[POOLED:]
        return noisy

    def _stand_ins(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """For each class a made-up picture: its anchor jittered as photos differ, and a softmax that wavers.

        Most get a photo's background instead of the anchor, so that the ConSE half alone names them.
        """
        count = len(classes)
        here, there = (
            self._photos[torch.randint(len(self._photos), (count,), generator=self._random)] for _ in range(2)
        )
        pooled = self._anchors[classes] + 0.45 * (here - there)[:, :POOLED] * self._rand(count, 1)
        inputs = torch.cat([pooled.clamp_min(0), self.mean[POOLED:].expand(count, -1)], 1)
        plain, swapped = self._rand(count) < 0.6, self._rand(count) < 0.5  # noqa: PLR2004
        inputs[plain] = self.mean
        inputs[plain & swapped] = here[plain & swapped]
        vectors = self._data.class_vectors
        other = vectors[torch.randint(len(vectors), (count,), generator=self._random)]
        mix = 0.4 * self._rand(count, 1)
        named = (vectors[classes] * (1 - mix) + other * mix) * (0.5 + 0.5 * self._rand(count, 1))
        return self._noisy(inputs), named

    def _paired(self, rows: Tensor, tags: Tensor, concept: Tensor) -> dict[str, Tensor]:
        """One text a picture: a tag's, a class's, its folder's or a caption; and which pictures it fits."""
        n, pictures = len(tags), torch.arange(len(tags))
        share = torch.where(pictures < len(rows), self._recipe.tag_share, self._recipe.class_tag_share)
        by_tag = (self._rand(n) < share) & tags.any(1)
        rarity = tags.float() / tags.float().sum(0).clamp_min(1).sqrt()
        tag = torch.multinomial(rarity + 1e-9, 1, generator=self._random)[:, 0]
        captioned = (pictures < len(rows)) & self._data.captioned[torch.cat([rows, rows.new_zeros(n - len(rows))])]
        by_class = ~by_tag & (concept != NOTHING) & (~captioned | (self._rand(n) < 0.1))  # noqa: PLR2004
        options = [
            self._data.tag_texts[int(tag[i])]
            if by_tag[i]
            else self._data.class_texts[int(concept[i])]
            if i >= len(rows) or (by_class[i] and captioned[i])
            else self._data.captions[int(rows[i])]
            for i in range(n)
        ]
        positive = torch.eye(n, dtype=torch.bool)
        positive |= by_class[None] & (concept[:, None] == concept[None]) & (concept != NOTHING)[:, None]
        positive[:, by_tag] = tags[:, tag[by_tag]]
        unknown = torch.zeros(n, n, dtype=torch.bool)
        for one, other in _OPPOSITES:
            unknown |= (by_tag & (tag == one))[None] & ~(tags[:, one] | tags[:, other])[:, None]
        texts = torch.tensor([(self._any_of(ids), self._any_of(ids)) for ids in options])
        return {"texts": texts, "mix": 0.5 * self._rand(n, 1), "positive": positive, "unknown": unknown}

    def _any_of(self, options: list[int]) -> int:
        return options[int(torch.randint(len(options), (1,), generator=self._random))]

    def prototypes(self) -> Tensor:
        """(tags, 3): three texts for each tag, chosen anew each time."""
        return torch.tensor([[self._any_of(options) for _ in range(3)] for options in self._data.tag_texts])


def anchors(parts: ModelParts, data: Corpus) -> Tensor:
    """(1000, 1280): where the classifier's rows, decorrelated, point from the mean photo."""
    photos = data.views[data.captioned, 0, :POOLED]
    weight = parts.backbone.classifier.weight.detach()
    directions = functional.normalize((weight - weight.mean(0)) @ torch.cov(photos.T), dim=1)
    reach = (photos - photos.mean(0)).norm(dim=1).mean()
    moved: Tensor = photos.mean(0) + directions * reach
    return moved.clamp_min(0)


def contrastive_loss(scores: Tensor, batch: Batch) -> Tensor:
    """CLIP's loss in both directions; a text may fit several pictures, and unknown pairs count for nothing."""
    scores = scores.masked_fill(batch.unknown & ~batch.positive, -30.0)
    fits = batch.positive.float()
    of_pictures = -(fits / fits.sum(1, keepdim=True).clamp_min(1) * scores.log_softmax(1)).sum(1).mean()
    of_texts = -(fits / fits.sum(0, keepdim=True).clamp_min(1) * scores.log_softmax(0)).sum(0).mean()
    return (of_pictures + of_texts) / 2


def group_loss(scores: Tensor, tags: Tensor) -> Tensor:
    """Mean over groups of the cross entropy of (n, tags) scores; within a group every answer weighs the same.

    A picture with several of a group's tags may be given any of them.
    """
    losses = []
    for group in _GROUPS:
        known = tags[:, group]
        asked = known.any(1)
        known, chances = known[asked], scores[asked][:, group].softmax(1)
        loss = -(chances * known).sum(1).clamp_min(1e-6).log()
        weight = (known / known.sum(0).clamp_min(1)).max(1).values
        losses.append((loss * weight).sum() / weight.sum().clamp_min(1e-6))
    return torch.stack(losses).mean()


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """How far apart CLIP's text encoder has some 1,300 names (from Detic; OpenAI's ViT-B/32)."""

    sentences: Tensor  # (names, 384)
    clip: Tensor  # (names, 512), centred, of unit length

    def loss(self, heads: Heads, rows: Tensor) -> Tensor:
        ours = heads.text(self.sentences[rows])
        ours, theirs = ours @ ours.T, self.clip[rows] @ self.clip[rows].T
        return functional.mse_loss(ours - ours.mean(), theirs - theirs.mean())


def geometry(data: Path, parts: ModelParts) -> Geometry:
    stored = features.arrays(data / "clip_vitb32_class_text_vectors.npz")
    names = [*stored["lvis_names"].tolist(), *stored["coco_names"].tolist()]
    names = [name.replace("_", " ").split(" (")[0] for name in names]
    vectors = [torch.from_numpy(stored[key]).float() for key in ("lvis_text_embeds", "coco_text_embeds")]
    clip = functional.normalize(torch.cat(vectors), dim=1)
    sentences = corpus.sentence_vectors(parts, [f"a {name}" for name in names])
    return Geometry(sentences=sentences, clip=functional.normalize(clip - clip.mean(0), dim=1))


def train(data: Corpus, shape: Geometry, class_anchors: Tensor, recipe: Recipe) -> Heads:
    """Heads averaged over the last steps; the same for the same recipe, data and number of threads."""
    torch.manual_seed(recipe.seed)
    sampler = Sampler(data, class_anchors, recipe)
    heads = _initial(data, sampler, recipe)
    scale = torch.nn.Parameter(torch.tensor(math.log(1 / 0.07)))
    optimiser = _optimiser(heads, scale, recipe)
    average = {name: tensor.detach().clone() for name, tensor in heads.named_parameters()}
    started = time.monotonic()
    for step in range(recipe.steps):
        _set_rate(optimiser, recipe, step)
        loss = _loss(heads, scale.exp().clamp(max=_HIGHEST_SCALE), sampler, shape, recipe)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(heads.parameters(), 5.0)
        optimiser.step()
        keep = min(0.995, (1 + step) / (10 + step))
        for name, tensor in heads.named_parameters():
            average[name].lerp_(tensor.detach(), 1 - keep)
        if step % 50 == 0 or step == recipe.steps - 1:
            print(f"step {step:4}  loss {loss.item():.3f}  {time.monotonic() - started:.0f} s", flush=True)  # noqa: T201
    heads.load_state_dict(average, strict=False)
    heads.logit_scale.copy_(scale.detach().exp().clamp(max=_HIGHEST_SCALE))
    return heads.eval().requires_grad_(requires_grad=False)


def _initial(data: Corpus, sampler: Sampler, recipe: Recipe) -> Heads:
    heads = Heads(dropout=recipe.dropout)
    heads.class_texts.copy_(data.class_vectors)
    heads.text_mean.copy_(data.text_mean)
    width = data.class_vectors.shape[1]
    heads.image.mean.copy_(torch.cat([sampler.mean, torch.zeros(width)]))
    heads.image.scale.copy_(1 / torch.cat([sampler.deviation, torch.full((width,), 0.05)]))
    heads.text.mean.copy_(data.texts.mean(0))
    heads.text.scale.fill_(float(1 / data.texts.std(0).mean()))
    for head in (heads.image, heads.text):
        with torch.no_grad():
            head.output.weight.mul_(0.5)
            head.output.bias.zero_()
    return heads


def _optimiser(heads: Heads, scale: torch.nn.Parameter, recipe: Recipe) -> torch.optim.AdamW:
    matrices = [tensor for tensor in heads.parameters() if tensor.ndim > 1]
    others = [tensor for tensor in heads.parameters() if tensor.ndim < 2] + [scale]  # noqa: PLR2004
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))


def _set_rate(optimiser: torch.optim.AdamW, recipe: Recipe, step: int) -> None:
    """Sixty steps of warm-up, then half a cosine."""
    rate = min(1, step / 60) * (0.5 * (1 + math.cos(math.pi * step / recipe.steps)) * 0.98 + 0.02)
    for group in optimiser.param_groups:
        group["lr"] = recipe.learning_rate * rate


def _loss(heads: Heads, scale: Tensor, sampler: Sampler, shape: Geometry, recipe: Recipe) -> Tensor:
    batch, texts = sampler.draw(), sampler.texts
    images = heads.image(torch.cat([batch.inputs, batch.named], 1))
    images = functional.normalize(join_halves(batch.named, images), dim=1)
    first, second = texts[batch.texts].unbind(1)
    sentences = functional.normalize(first.lerp(second, batch.mix), dim=1)
    loss = contrastive_loss(scale * images @ heads.embed_texts(sentences).T, batch)
    prompts = sampler.prototypes()
    prototypes = heads.embed_texts(texts[prompts.flatten()]).view(*prompts.shape, -1).mean(1)
    groups = group_loss(scale * images @ functional.normalize(prototypes, dim=1).T, batch.tags)
    rows = torch.randint(len(shape.clip), (384,))
    return loss + recipe.group_weight * groups + recipe.geometry_weight * shape.loss(heads, rows)


def write(heads: Heads, recipe: Recipe, path: Path) -> None:
    """Large matrices in float16, which changes vectors by less than 1e-5 (1 - cosine)."""
    state = {
        name: (tensor.half() if tensor.ndim > 1 else tensor).contiguous() for name, tensor in heads.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, metadata={"recipe": json.dumps(asdict(recipe), sort_keys=True)})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="heads to write, .safetensors")
    parser.add_argument("--data", type=sources.data, required=True, help="features, captions, class names")
    parser.add_argument("--pages", type=sources.pages, required=True, help="what `python -m training.pages` wrote")
    parser.add_argument("--threads", type=int, default=1, help="with another number the bytes differ, not the figures")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = Recipe(**{name: getattr(arguments, name) for name in asdict(Recipe())})
    parts = load_parts()
    data = corpus.load(arguments.data, features.read(arguments.pages), parts)
    shape, class_anchors = geometry(arguments.data, parts), anchors(parts, data)
    torch.set_float32_matmul_precision("medium")  # bfloat16 where the processor has it: half the time, no worse heads
    write(train(data, shape, class_anchors, recipe), recipe, arguments.out)


if __name__ == "__main__":
    main()

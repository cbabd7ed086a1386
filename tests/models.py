"""Small models with random weights and real tokenizers, built in a second, for tests that need a whole encoder.

Their vectors mean nothing, but everything else about them is real: configuration, safetensors, preprocessing, context
length. Seeded: the same release of torch builds the same weights.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import transformers  # by attributes: what a test run does not use is not loaded when tests are collected
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

IMAGE_SIDE = 64
DIMENSION = 32
CONTEXT = 24
_GAIN = 2.0

_VISION = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": IMAGE_SIDE,
    "patch_size": 16,
}
_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}
_WORDS = """a photo of the day night dawn dusk indoor outdoor scene an illustration text page blank cover photograph
dog cat street house tree book drawing taken at in room sky sunlight dark bright scanned printed letter"""


def tiny_clip(directory: Path, *, tokenizer: transformers.PreTrainedTokenizerFast | None = None) -> Path:
    """A CLIP with 32-dimensional vectors on 64-pixel images, saved to ``directory``; returns it.

    Args:
        directory: made if need be.
        tokenizer: another one than the small one learned here.
    """
    tokenizer = tokenizer or small_tokenizer()
    config = transformers.CLIPConfig(
        vision_config=_VISION,
        text_config=_TEXT | _tokens(tokenizer),
        projection_dim=DIMENSION,
        logit_scale_init_value=4.6,
    )
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIDE}, crop_size=_square(IMAGE_SIDE))
    return _save(directory, _build(transformers.CLIPModel, config), tokenizer, processor)


def tiny_siglip(directory: Path) -> Path:
    """A SigLIP with 64-dimensional vectors (it has no projection) on 64-pixel images, saved to ``directory``."""
    tokenizer = small_tokenizer()
    config = transformers.SiglipConfig(
        vision_config=_VISION, text_config=_TEXT | _tokens(tokenizer) | {"projection_size": 64}
    )
    model = _build(transformers.SiglipModel, config)
    with torch.no_grad():  # as trained SigLIPs have them
        model.logit_scale.fill_(4.7)
        model.logit_bias.fill_(-16.5)
    return _save(directory, model, tokenizer, transformers.SiglipImageProcessorPil(size=_square(IMAGE_SIDE)))


def tiny_siglip2(directory: Path) -> Path:
    """A SigLIP 2 NaFlex: any aspect ratio, up to 16 patches of 16 pixels; saved to ``directory``."""
    tokenizer = small_tokenizer()
    vision = {key: value for key, value in _VISION.items() if key != "image_size"} | {"num_patches": 16}
    config = transformers.Siglip2Config(
        vision_config=vision, text_config=_TEXT | _tokens(tokenizer) | {"projection_size": 64}
    )
    processor = transformers.Siglip2ImageProcessorPil(patch_size=16, max_num_patches=16)
    return _save(directory, _build(transformers.Siglip2Model, config), tokenizer, processor)


def _build(model_class: Any, config: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(20)
        model = model_class(config).eval()
        return _awake(model)


def _awake(model: Any) -> Any:
    """Enlarge the weights: as they are initialised, different pictures and texts get very similar vectors."""
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.ndim > 1 and not name.endswith("position_embedding.weight"):
                weights.mul_(_GAIN)
    return model


def _save(directory: Path, model: Any, tokenizer: transformers.PreTrainedTokenizerFast, processor: Any) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    transformers.utils.logging.disable_progress_bar()
    for part in (model, tokenizer, processor):
        part.save_pretrained(directory)
    return directory


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


def _tokens(tokenizer: transformers.PreTrainedTokenizerFast) -> dict[str, int | None]:
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def small_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """A CLIP tokenizer of 600 tokens, with CLIP's special ones."""
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=_trained(),
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=CONTEXT,
        model_input_names=["input_ids", "attention_mask"],
    )


@lru_cache(maxsize=1)
def _trained() -> Tokenizer:
    """A byte-level BPE like CLIP's, learned from a few words; every byte has a token, so every text can be encoded."""
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_WORDS] * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>", special_tokens=[("<|startoftext|>", 0), ("<|endoftext|>", 1)]
    )
    return tokenizer

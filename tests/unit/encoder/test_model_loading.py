"""Loading an encoder: what it says about itself, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from worker.encoder import load_encoder, pretrained
from worker.errors import ConfigurationError, ModelUnavailableError, ModelUnsupportedError

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(clip_dir, tmp_path) -> Path:
    return Path(shutil.copytree(clip_dir, tmp_path / "copy"))


def edit(file: Path, **changes: object) -> None:
    """Change keys of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_importing_the_room_does_not_import_torch():
    """The API process imports the room and must stay small; no CUDA call can happen at import either."""
    code = "import sys, worker.encoder; print(sorted({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "[]" == done.stdout.strip()


def test_traits_of_a_clip(clip):
    """Callers learn the space, the scale and the side the preprocessing needs."""
    assert ("local/clip", 32) == (clip.space.model, clip.space.dimension)
    assert clip.logit_scale == pytest.approx(np.exp(4.6), rel=1e-5)
    assert 64 == clip.input_side
    assert clip.purpose.startswith("local/clip on cpu in float32")


def test_traits_of_a_siglip(siglip_dir):
    """Its scale is found as a CLIP's is; its bias cancels where labels are compared."""
    encoder = load_encoder(str(siglip_dir), device="cpu", dtype="float32")
    assert encoder.logit_scale == pytest.approx(np.exp(4.7), rel=1e-5)


@pytest.mark.parametrize("family", ["clip_dir", "siglip_dir"])
def test_attention_is_torchs_fused_one(family, request):
    """In both halves: what transformers chooses by itself, and what makes attention fast on every device."""
    encoder = load_encoder(str(request.getfixturevalue(family)), device="cpu", dtype="float32")
    config = encoder._parts._model.config  # type: ignore[attr-defined]
    assert {"sdpa"} == {each._attn_implementation for each in (config, config.vision_config, config.text_config)}


def test_scale_and_space_do_not_depend_on_the_dtype(clip, clip_dir):
    """The learned scale is read before rounding, and one bucket may be worked on in several formats."""
    short = load_encoder(str(clip_dir), device="cpu", dtype="bfloat16")
    assert short.logit_scale == clip.logit_scale
    assert short.space == clip.space
    assert "local/clip on cpu in bfloat16" == short.purpose


def test_one_tower_is_enough(clip, clip_dir):
    """Half a model gives the same space and the same vectors, and refuses the other half in words."""
    words = load_encoder(str(clip_dir), device="cpu", dtype="float32", text_only=True)
    pictures = load_encoder(str(clip_dir), device="cpu", dtype="float32", image_only=True)
    assert words.space == pictures.space == clip.space
    grey = clip.preprocess(Image.new("RGB", (80, 70), "grey"))
    assert np.array_equal(words.encode_texts(["a dog"]), clip.encode_texts(["a dog"]))
    assert np.abs(pictures.encode_images([grey]) - clip.encode_images([grey])).max() < 1e-5
    with pytest.raises(ConfigurationError, match="texts only"):
        words.encode_images([grey])
    with pytest.raises(ConfigurationError, match="images only"):
        pictures.encode_texts(["a dog"])
    with pytest.raises(ConfigurationError, match="exclude each other"):
        load_encoder(str(clip_dir), image_only=True, text_only=True)


def test_fast_and_exact_are_two_spaces(clip_dir):
    """Decoders may shrink pictures for the fast one only, and nobody compares vectors of the two."""
    fast, exact = (
        load_encoder(str(clip_dir), device="cpu", dtype="float32", preprocessing=how) for how in ("fast", "exact")
    )
    assert (fast.input_side, None) == (fast.shrink_to, exact.shrink_to)
    assert fast.space.fingerprint != exact.space.fingerprint


def test_threads_are_set(clip_dir):
    """ENRICH_TORCH_THREADS reaches torch."""
    before = torch.get_num_threads()
    try:
        load_encoder(str(clip_dir), device="cpu", dtype="float32", threads=1)
        assert 1 == torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_a_setting_to_correct(clip_dir):
    """Asking for cuda where there is none fails at once, with what to check."""
    with pytest.raises(ConfigurationError, match="nvidia-smi"):
        load_encoder(str(clip_dir), device="cuda")


def test_a_wrong_path_is_unavailable(tmp_path):
    """The two ways out are in the message."""
    with pytest.raises(ModelUnavailableError, match="Two ways out"):
        load_encoder(str(tmp_path / "nothing-here"))


@pytest.mark.parametrize("damage", ["truncated", "emptied", "overwritten"])
def test_damaged_weights_are_named(copy, damage):
    """A download that broke off ends as an error about the file, not as a crash or as random vectors."""
    weights = copy / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(
        {"truncated": content[: len(content) // 2], "emptied": b"", "overwritten": b"\xff" * 500}[damage]
    )
    with pytest.raises(ModelUnsupportedError, match=r"cannot be loaded .*copy or download the model again"):
        load_encoder(str(copy))


def test_missing_tensors_are_not_made_up(copy):
    """transformers would fill them with random numbers and a warning; we refuse."""
    tensors = load_file(copy / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnsupportedError, match=r"lack 1 tensors, visual_projection.weight first"):
        load_encoder(str(copy))


def test_weights_of_another_shape_are_refused(copy):
    """A config.json of a different model is found out."""
    edit(copy / "config.json", projection_dim=48)
    with pytest.raises(ModelUnsupportedError, match=r"belong to another config\.json"):
        load_encoder(str(copy))


def test_a_model_without_a_joint_space_is_refused(copy):
    """BERT has tokens and vectors, but no pictures."""
    transformers.BertModel(
        transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    ).save_pretrained(copy)
    with pytest.raises(ModelUnsupportedError, match="BertModel, which has no get_image_features"):
        load_encoder(str(copy))


def test_code_in_a_model_is_not_run(copy):
    """A model that brings its own classes is refused, and the file is never imported."""
    (copy / "evil.py").write_text(f"open({str(copy / 'ran')!r}, 'w')")
    edit(copy / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"})
    with pytest.raises(ModelUnsupportedError, match="bring their own code are refused"):
        load_encoder(str(copy))
    assert not (copy / "ran").exists()


def test_an_unknown_image_processor_is_refused(copy):
    """The error names the file to copy."""
    (copy / "preprocessor_config.json").write_text('{"image_processor_type": "NoSuchProcessor"}')
    with pytest.raises(ModelUnsupportedError, match=r"image processor in .* cannot be loaded"):
        load_encoder(str(copy))


def test_a_damaged_tokenizer_is_named(copy):
    """A tokenizer that cannot be read is not replaced by an empty one."""
    (copy / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(ModelUnsupportedError, match=r"tokenizer in .* cannot be loaded"):
        load_encoder(str(copy))


@pytest.mark.parametrize(
    ("installed", "remedy"),
    [(set(), "pip install sentencepiece protobuf"), ({"sentencepiece"}, "pip install protobuf")],
)
def test_a_sentencepiece_vocabulary_names_the_packages_it_takes(siglip_dir, tmp_path, monkeypatch, installed, remedy):
    """SigLIP's own checkpoints come with spiece.model; the error says what to install, and only what is missing."""
    copy = Path(shutil.copytree(siglip_dir, tmp_path / "copy"))
    (copy / "tokenizer.json").unlink()
    (copy / "spiece.model").write_bytes(b"")
    edit(copy / "tokenizer_config.json", tokenizer_class="SiglipTokenizer")
    monkeypatch.setattr(pretrained, "_installed", lambda module: module in installed)
    with pytest.raises(ModelUnsupportedError, match=rf"vocabulary is spiece\.model: `{remedy}`"):
        load_encoder(str(copy))


def test_pictures_and_texts_must_share_a_dimension(siglip_dir, tmp_path):
    """Towers of different widths are two spaces, whatever the class is called."""
    copy = Path(shutil.copytree(siglip_dir, tmp_path / "lopsided"))
    tensors = load_file(copy / "model.safetensors")
    tensors["text_model.head.weight"] = torch.zeros(48, 64)
    tensors["text_model.head.bias"] = torch.zeros(48)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    text_config = json.loads((copy / "config.json").read_text())["text_config"]
    edit(copy / "config.json", text_config=text_config | {"projection_size": 48})
    with pytest.raises(ModelUnsupportedError, match=r"different lengths: \[48, 64\]"):
        load_encoder(str(copy), device="cpu", dtype="float32")

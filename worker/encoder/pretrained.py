"""Image–text models from transformers behind the ``Encoder`` interface."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from worker.encoder import compiled_tower, openvino_tower, weights
from worker.encoder.device import Placement
from worker.encoder.files import ModelFiles
from worker.encoder.interface import Collect, Encoder, EncoderTraits, Pixels, Runtime, Towers
from worker.encoder.preprocessing import Preprocessor
from worker.encoder.tower import ImageTower, pooled, torch_tower
from worker.encoder.vetting import vetted
from worker.errors import ConfigurationError, ModelUnsupportedError
from worker.types import Floats, SpaceSpec

if TYPE_CHECKING:
    import torch

#: Packages that read spiece.model, by the module each provides.
_SENTENCEPIECE = {"sentencepiece": "sentencepiece", "protobuf": "google.protobuf"}

_COMPILED: dict[Runtime, str] = {
    "torch": "",
    "cuda-graphs": ", recorded as CUDA graphs",
    "torch-compile": ", compiled by torch",
    "openvino": ", compiled by OpenVINO",
}

#: Times as many numbers as there are weights: what lacks fewer is loaded, and named then.
_MOST_LACKING = 2

_FEATURES = ("get_image_features", "get_text_features")


def load(
    files: ModelFiles,
    placement: Placement,
    *,
    batch: int,
    towers: Towers = "both",
    exact: bool = True,
    runtime: Runtime = "torch",
) -> PretrainedEncoder:
    """Load a model from a directory and check that it embeds a picture and a text.

    Raises:
        ModelUnsupportedError: the files are damaged, need remote code, or are not a joint image–text model.
        ConfigurationError: the runtime cannot run it.
    """
    _quiet()
    with vetted(files.path) as folder:
        model_class = _model_class(files, folder)
        tokenizer = _tokenizer(files.path, folder)
        processor = _preprocessor(files.path, folder, exact=exact)
        if towers != "text":
            _check(runtime, processor, placement)
        model = _model(files, folder, model_class)
    scale = _logit_scale(model, files)
    _drop_unused(model, towers)
    text = _TextInputs(tokenizer, model.config)
    tower = None if towers == "text" else _image_tower(model, processor, placement, runtime=runtime, batch=batch)
    parts = _Parts(_placed(model, placement), processor, text, placement.device, towers=towers, tower=tower)
    traits = EncoderTraits(
        space=SpaceSpec(
            model=files.name,
            revision=files.revision,
            preprocessing=processor.fingerprint,
            dimension=parts.dimension(files.name),
        ),
        logit_scale=scale,
        input_side=processor.input_side,
        context=text.context,
        purpose=f"{files.name} on {placement}" + ("" if tower is None else _COMPILED[runtime]),
        exact=exact,
        device=placement.device,
        dtype=placement.dtype,
    )
    return PretrainedEncoder(traits, parts, batch=batch)


def _check(runtime: Runtime, processor: Preprocessor, placement: Placement) -> None:
    """Check that the runtime supports this model, before it is loaded."""
    if runtime == "openvino":
        openvino_tower.check(processor, placement)
    if runtime in ("torch-compile", "cuda-graphs"):
        compiled_tower.check(processor, placement, runtime)


def _image_tower(
    model: Any, processor: Preprocessor, placement: Placement, *, runtime: Runtime, batch: int
) -> ImageTower:
    """Ready to run, with the model's image half in its place, or given up for what was compiled of it."""
    if runtime == "openvino":
        tower = openvino_tower.OpenVinoTower(model.float(), processor, placement, batch=batch)
        _drop_unused(model, "text")
        return tower
    placed = _placed(model, placement)
    if runtime in ("torch-compile", "cuda-graphs"):
        return compiled_tower.compiled(placed, processor, placement, batch=batch, runtime=runtime)
    return torch_tower(placed, processor, placement, batch=batch)


class PretrainedEncoder(Encoder):
    """CLIP, OpenCLIP exports, SigLIP, SigLIP 2, MetaCLIP, TinyCLIP … as transformers implements them."""

    def __init__(self, traits: EncoderTraits, parts: _Parts, *, batch: int) -> None:
        super().__init__(traits, batch=batch)
        self._parts = parts

    @property
    def towers(self) -> Towers:
        return self._parts.towers

    @property
    def ahead(self) -> int:
        return 2 if self._parts.device.startswith("cuda") else 1

    def preprocess(self, image: Image.Image) -> Pixels:
        return self._parts.preprocessor(image)

    def release_memory(self) -> None:
        if self._parts.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()

    def _image_features(self, pixels: Sequence[Pixels]) -> Floats:
        return self._launch_features(pixels)()

    def _launch_features(self, pixels: Sequence[Pixels]) -> Collect:
        return self._parts.launch(pixels)

    def _count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return self._parts.text.count(texts)

    def _text_features(self, texts: Sequence[str]) -> Floats:
        return self._parts.text_features(texts)


class _TextInputs:
    """Texts → token ids, the way each family was trained."""

    def __init__(self, tokenizer: Any, config: Any) -> None:
        self._tokenizer = tokenizer
        #: SigLIP (1 and 2) saw lower-cased text, always padded to the full length and never masked.
        self._siglip = str(config.model_type).startswith("siglip")
        context = getattr(getattr(config, "text_config", config), "max_position_embeddings", None) or 77
        self.context = min(int(tokenizer.model_max_length), int(context))
        #: Fast tokenizers keep padding and truncation as state and panic when two threads change it ("Already
        #: borrowed"). Tokenizing takes microseconds, so one lock costs nothing.
        self._lock = threading.Lock()

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each, before it is cut."""
        with self._lock:
            tokens = self._tokenizer(self._wanted(texts), padding=False, truncation=False, verbose=False)
        return [len(ids) for ids in tokens["input_ids"]]

    def _wanted(self, texts: Sequence[str]) -> list[str]:
        return [text.lower() if self._siglip else text for text in texts]

    def __call__(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        wanted = self._wanted(texts)
        padding = "max_length" if self._siglip else "longest"
        with self._lock:
            tokens = self._tokenizer(
                wanted, padding=padding, truncation=True, max_length=self.context, return_tensors="pt"
            )
        return {"input_ids": tokens["input_ids"]} if self._siglip else dict(tokens)


class _Parts:
    """The model with its processors, on its device."""

    def __init__(
        self,
        model: Any,
        preprocessor: Preprocessor,
        text: _TextInputs,
        device: str,
        *,
        tower: ImageTower | None,
        towers: Towers,
    ) -> None:
        self.preprocessor = preprocessor
        self.device = device
        self._model = model
        self.text = text
        self._tower = tower  # of images; None: texts only
        self.towers = towers

    def launch(self, pixels: Sequence[Pixels]) -> Collect:
        if self._tower is None:
            raise ConfigurationError("this encoder was loaded for texts only (towers='text')")
        return self._tower.launch(pixels)

    def text_features(self, texts: Sequence[str]) -> Floats:
        import torch

        if self.towers == "image":
            raise ConfigurationError("this encoder was loaded for images only (towers='image')")
        tokens = {name: ids.to(self.device) for name, ids in self.text(texts).items()}
        with torch.inference_mode():
            vectors: Floats = pooled(self._model.get_text_features(**tokens)).float().cpu().numpy()
        return vectors

    def dimension(self, name: str) -> int:
        """Length of a vector, by making one of each kind.

        Raises:
            ModelUnsupportedError: image and text vectors are not of one kind.
        """
        side = self.preprocessor.input_side
        lengths = set()
        try:
            grey = self.preprocessor(Image.new("RGB", (side, side + 1), (128, 128, 128)))
            if self.towers != "text":
                lengths.add(_length(self.launch([grey])()))
            if self.towers != "image":
                lengths.add(_length(self.text_features(["a photo"])))
        except (TypeError, ValueError, IndexError, KeyError, ZeroDivisionError) as error:
            raise ModelUnsupportedError(f"{name} does not take a picture and a text like CLIP: {error}") from error
        if len(lengths) != 1:
            raise ModelUnsupportedError(
                f"{name} gives images and texts vectors of different lengths: {sorted(lengths)}"
            )
        return lengths.pop()


def _length(vectors: Floats) -> int:
    if vectors.ndim != 2:  # noqa: PLR2004 - rows and columns
        raise ValueError(f"expected one vector per item, got an array of shape {vectors.shape}")
    return int(vectors.shape[1])


def _quiet() -> None:
    """No progress bars while tensors are read from disk: they end up in log files."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def _model(files: ModelFiles, folder: Path, model_class: Any) -> Any:
    """Read configuration, then weights.

    Raises:
        ModelUnsupportedError: says which file is wrong and what to do.
    """
    try:
        model, report = model_class.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, dtype="auto", output_loading_info=True
        )
    except Exception as error:  # safetensors, torch and transformers each have their own for a damaged file
        raise ModelUnsupportedError(
            f"the weights of {files.name} in {files.path} cannot be loaded ({_first_line(error)}); "
            "the file may be damaged or belong to another config.json: copy or download the model again"
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise ModelUnsupportedError(
            f"the weights of {files.name} in {files.path} lack {len(missing)} tensors, {missing[0]} first, which would "
            "be random numbers; the weights do not belong to this config.json"
        )
    return model.eval().requires_grad_(requires_grad=False)


def _require_fitting(files: ModelFiles, model_class: Any, config: Any) -> None:
    """Refuse a configuration for a larger model than the weights are for, before memory is allocated for it."""
    import torch

    there = weights.elements(files.path)
    try:
        with torch.device("meta"):
            wanted = sum(each.numel() for each in model_class(copy.deepcopy(config)).parameters())
    except Exception as error:
        raise ModelUnsupportedError(
            f"config.json of {files.name} in {files.path} defines no valid model ({_first_line(error)}); copy it again"
        ) from error
    if wanted > _MOST_LACKING * there:
        raise ModelUnsupportedError(
            f"the weights of {files.name} in {files.path} hold {there:,} numbers, but its config.json asks for "
            f"{wanted:,}: the weights lack tensors, or belong to another config.json"
        )


def _model_class(files: ModelFiles, folder: Path) -> Any:
    from transformers import MODEL_MAPPING, AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        found = MODEL_MAPPING[type(config)]
    except Exception as error:  # whatever a constructor makes of values of another kind
        raise ModelUnsupportedError(
            f"transformers has no built-in model for {files.name} ({_first_line(error)}). "
            "Models that bring their own code are refused; choose a CLIP or SigLIP model"
        ) from error
    model_class: Any = found[0] if isinstance(found, (list, tuple)) else found
    if lacking := [method for method in _FEATURES if not hasattr(model_class, method)]:
        raise ModelUnsupportedError(
            f"{files.name} is a {model_class.__name__}, which has no {' and no '.join(lacking)}: it does not put "
            "images and texts in one space. Choose an image–text model such as CLIP or SigLIP"
        )
    _require_fitting(files, model_class, config)
    return model_class


def _preprocessor(path: Path, folder: Path, *, exact: bool) -> Preprocessor:
    processor = _image_processor(path, folder)
    try:
        return Preprocessor(processor, exact=exact)
    except ModelUnsupportedError:
        raise
    except Exception as error:  # it prepares pictures, to see whether the quick way makes the same of them
        raise ModelUnsupportedError(
            f"the image processor in {path} cannot prepare a picture ({_first_line(error)}); copy "
            "preprocessor_config.json from the model that this one is based on"
        ) from error


def _image_processor(path: Path, folder: Path) -> Any:
    from transformers import AutoImageProcessor

    auto: Any = AutoImageProcessor
    try:
        return auto.from_pretrained(folder, backend="pil", local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever a constructor makes of values of another kind
        raise ModelUnsupportedError(
            f"the image processor in {path} cannot be loaded ({_first_line(error)}); copy preprocessor_config.json "
            "from the model that this one is based on"
        ) from error


def _tokenizer(path: Path, folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises bare Exception for a damaged file
        raise ModelUnsupportedError(
            f"the tokenizer in {path} cannot be loaded ({_first_line(error)}); {_tokenizer_remedy(path)}"
        ) from error


def _tokenizer_remedy(path: Path) -> str:
    """SigLIP's first generation comes with a SentencePiece vocabulary, which takes two more packages to read."""
    lacking = [name for name, module in _SENTENCEPIECE.items() if not _installed(module)]
    if lacking and (path / "spiece.model").is_file():
        return f"its vocabulary is spiece.model: `pip install {' '.join(lacking)}`"
    return "copy the tokenizer's files again"


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def _logit_scale(model: Any, files: ModelFiles) -> float:
    """The learned scale of similarities, read before the model is rounded to a shorter format."""
    if hasattr(model, "logit_scale"):
        return float(model.logit_scale.float().exp())
    if hasattr(model, "temperature"):  # ALIGN divides by it
        return 1.0 / float(model.temperature.float())
    raise ModelUnsupportedError(
        f"{files.name} has no learned logit scale, so its similarities cannot become probabilities; "
        "choose CLIP or SigLIP"
    )


def _drop_unused(model: Any, towers: Towers) -> None:
    """Free the tower that this process will never run."""
    unused = {"both": None, "image": "text_model", "text": "vision_model"}[towers]
    if unused is not None and hasattr(model, unused):
        setattr(model, unused, None)


def _placed(model: Any, placement: Placement) -> Any:
    import torch

    return model.to(device=placement.device, dtype=getattr(torch, placement.dtype))


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

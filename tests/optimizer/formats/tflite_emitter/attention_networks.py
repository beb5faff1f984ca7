"""Networks of attention and their kin, as torch users write them, and their ONNX files with a free batch."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEADS, TOKENS = 32, 4, 12


class Block(nn.Module):
    """One transformer block: queries, keys and values of one layer or of three; normalized before or after."""

    def __init__(self, *, packed: bool, before: bool = True) -> None:
        super().__init__()
        self.packed, self.before = packed, before
        self.joint = nn.Linear(WIDTH, 3 * WIDTH)
        self.parts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def attend(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        batch, tokens, width = x.shape
        size = (batch, tokens, HEADS, width // HEADS)
        if self.packed:
            q, k, v = self.joint(x).view(batch, tokens, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
            mixed = functional.scaled_dot_product_attention(q, k, v)
        else:
            q, k, v = (part(x).view(size).transpose(1, 2) for part in self.parts)
            scores = q @ k.transpose(-2, -1) / math.sqrt(width // HEADS)
            mixed = (scores if mask is None else scores + mask).softmax(-1) @ v
        done: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return done

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        if self.before:
            x = x + self.attend(self.first(x), mask)
            return x + self.feed(self.second(x))
        x = self.first(x + self.attend(x, mask))
        done: torch.Tensor = self.second(x + self.feed(x))
        return done

    def feed(self, x: torch.Tensor) -> torch.Tensor:
        done: torch.Tensor = self.narrow(functional.gelu(self.wide(x)))
        return done


class Encoder(nn.Module):
    """An encoder of one's own: two blocks, a last normalization, a mean."""

    def __init__(self, *, packed: bool) -> None:
        super().__init__()
        self.inward, self.places = nn.Linear(8, WIDTH), nn.Parameter(torch.randn(1, TOKENS, WIDTH))
        self.blocks = nn.Sequential(Block(packed=packed), Block(packed=packed))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        done: torch.Tensor = self.head(self.norm(self.blocks(self.inward(x) + self.places)).mean(1))
        return done


class TorchEncoder(nn.Module):
    """torch's own encoder, batch first or tokens first."""

    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 64, batch_first=batch_first, activation="gelu")
        self.inward = nn.Linear(8, WIDTH)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head, self.tokens_axis = nn.Linear(WIDTH, 5), 1 if batch_first else 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        done: torch.Tensor = self.head(self.encoder(self.inward(x)).mean(self.tokens_axis))
        return done


class Vision(nn.Module):
    """Patches of an image by convolution, a class token, two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, WIDTH, 4, 4), nn.Parameter(torch.randn(1, 1, WIDTH))
        self.places = nn.Parameter(torch.randn(1, 17, WIDTH))
        self.blocks = nn.Sequential(Block(packed=True), Block(packed=True))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        done: torch.Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return done


class Language(nn.Module):
    """Token numbers and a mask: embeddings, blocks normalized after, the first token's answer."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, WIDTH), nn.Embedding(TOKENS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.blocks = nn.ModuleList(Block(packed=False, before=False) for _ in range(2))
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, ids: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.words(ids) + self.places(torch.arange(TOKENS)[None]))
        mask = (1.0 - seen[:, None, None, :].float()) * -10000.0
        for block in self.blocks:
            x = block(x, mask)
        done: torch.Tensor = self.head(x[:, 0])
        return done


class Mixing(nn.Module):
    """An MLP over the tokens, then one over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.tokens = nn.Sequential(nn.Linear(TOKENS, 16), nn.GELU(), nn.Linear(16, TOKENS))
        self.channels = nn.Sequential(nn.Linear(WIDTH, 48), nn.GELU(), nn.Linear(48, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.tokens(self.first(x).transpose(1, 2)).transpose(1, 2)
        done: torch.Tensor = x + self.channels(self.second(x))
        return done


class Modern(nn.Module):
    """A convolutional block with the habits of a transformer: normalization over channels, GELU, scaled at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = nn.Conv2d(WIDTH, WIDTH, 7, padding=3, groups=WIDTH)
        self.norm, self.gamma = nn.LayerNorm(WIDTH, eps=1e-6), nn.Parameter(torch.rand(WIDTH))
        self.wide, self.narrow = nn.Linear(WIDTH, 64), nn.Linear(64, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        y = self.gamma * self.narrow(functional.gelu(self.wide(y)))
        done: torch.Tensor = x + y.permute(0, 3, 1, 2)
        return done


NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "encoder, packed": (lambda: Encoder(packed=True), (1, TOKENS, 8)),
    "encoder, apart": (lambda: Encoder(packed=False), (1, TOKENS, 8)),
    "torch's encoder": (lambda: TorchEncoder(batch_first=True), (1, TOKENS, 8)),
    "torch's encoder, tokens first": (lambda: TorchEncoder(batch_first=False), (TOKENS, 1, 8)),
    "vision": (Vision, (1, 3, 16, 16)),
    "mixer": (Mixing, (1, TOKENS, WIDTH)),
    "modern convolution": (Modern, (1, WIDTH, 9, 7)),
}


def exported(name: str) -> bytes:
    """Return the ONNX file of one of the networks."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    axes = {} if shape[0] != 1 else {"x": {0: "batch"}}
    return _export(make(), {"x": torch.randn(shape)}, dynamic_axes=axes)


def exported_language() -> bytes:
    """Return the ONNX file of the network that takes token numbers and a mask."""
    torch.manual_seed(0)
    ids, seen = torch.randint(0, 20, (1, TOKENS)), torch.ones(1, TOKENS, dtype=torch.int64)
    axes = {name: {0: "batch"} for name in ("ids", "seen")}
    return _export(Language(), {"ids": ids, "seen": seen}, dynamic_axes=axes)


def exported_by_program(name: str, *, opset: int) -> bytes:
    """Return the file that torch's newer exporter writes of one of the networks."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    shapes = ({0: torch.export.Dim("batch")},)
    return _export(
        make(), {"x": torch.randn(shape)}, dynamo=True, opset_version=opset, dynamic_shapes=shapes, verbose=False
    )


def _export(network: nn.Module, inputs: Mapping[str, torch.Tensor], **options: Any) -> bytes:
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    buffer = io.BytesIO()
    given = {"dynamo": False, "opset_version": 17, "input_names": list(inputs), "output_names": ["y"], **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(network.eval(), tuple(inputs.values()), **_target(given, buffer))
    return buffer.getvalue() if program is None else bytes(program.model_proto.SerializeToString())


def _target(options: dict[str, Any], buffer: io.BytesIO) -> dict[str, Any]:
    return options if options["dynamo"] else {"f": buffer, **options}

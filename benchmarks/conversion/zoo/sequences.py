"""Networks over time or tokens."""

from __future__ import annotations

import torch
from torch import nn

CLASSES = 10


class Causal(nn.Module):
    """Two dilated convolutions that see no future, added to their input."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.pad = nn.ConstantPad1d((2 * dilation, 0), 0.0)
        self.first = nn.Conv1d(inputs, outputs, 3, dilation=dilation)
        self.second = nn.Conv1d(outputs, outputs, 3, dilation=dilation)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum through ReLU."""
        changed = self.second(self.pad(self.first(self.pad(x)).relu())).relu()
        answer: torch.Tensor = (changed + self.shortcut(x)).relu()
        return answer


class Tcn(nn.Module):
    """A temporal convolutional network; its last step is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(Causal(6, 32, 1), Causal(32, 32, 2), Causal(32, 32, 4), Causal(32, 32, 8))
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores of the last step."""
        scores: torch.Tensor = self.head(self.layers(x)[:, :, -1])
        return scores


class Recurrent(nn.Module):
    """A recurrent stack; the mean of its steps, or its last one, is classified."""

    def __init__(self, layer: nn.RNNBase, width: int, *, mean: bool) -> None:
        super().__init__()
        self.layer, self.head, self.mean = layer, nn.Linear(width, CLASSES), mean

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        steps = self.layer(x)[0]
        scores: torch.Tensor = self.head(steps.mean(dim=1) if self.mean else steps[:, -1])
        return scores


def bidirectional_lstm() -> nn.Module:
    """Return an LSTM that reads both ways, 24 steps."""
    return Recurrent(nn.LSTM(16, 32, batch_first=True, bidirectional=True), 64, mean=True)


def two_layer_gru() -> nn.Module:
    """Return two GRU layers, 24 steps."""
    return Recurrent(nn.GRU(16, 32, num_layers=2, batch_first=True), 32, mean=False)


class Attention(nn.Module):
    """Self-attention with three projections, spelt out; ``bias`` is added to the scores."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.each = heads, width // heads
        self.query, self.key, self.value, self.joined = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """Return the attended tokens."""
        count, length, width = x.shape

        def apart(values: torch.Tensor) -> torch.Tensor:
            return values.view(count, length, self.heads, self.each).transpose(1, 2)

        scores = apart(self.query(x)) @ apart(self.key(x)).transpose(-1, -2) / self.each**0.5
        weights = (scores if bias is None else scores + bias).softmax(-1)
        mixed = (weights @ apart(self.value(x))).transpose(1, 2).reshape(count, length, width)
        answer: torch.Tensor = self.joined(mixed)
        return answer


class Block(nn.Module):
    """A transformer block: norms first (as in ViT) or last (as in BERT)."""

    def __init__(self, width: int, heads: int, *, first: bool) -> None:
        super().__init__()
        self.attention, self.first = Attention(width, heads), first
        self.one, self.two = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """Return the tokens after attention and perceptron."""
        if self.first:
            x = x + self.attention(self.one(x), bias)
            fed: torch.Tensor = x + self.feed(self.two(x))
            return fed
        x = self.one(x + self.attention(x, bias))
        normalized: torch.Tensor = self.two(x + self.feed(x))
        return normalized


class VisionTransformer(nn.Module):
    """ViT-tiny in miniature: patches by a convolution, a class token, places added."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 64, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 64) * 0.02)
        self.places = nn.Parameter(torch.randn(1, 17, 64) * 0.02)
        self.blocks = nn.ModuleList(Block(64, 4, first=True) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores of the class token."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), tokens], dim=1) + self.places
        for block in self.blocks:
            tokens = block(tokens)
        scores: torch.Tensor = self.head(self.norm(tokens)[:, 0])
        return scores


class Bert(nn.Module):
    """BERT in miniature: token numbers and their mask to scores from the first token."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.norm = nn.Embedding(500, 64), nn.Embedding(64, 64), nn.LayerNorm(64)
        self.blocks = nn.ModuleList(Block(64, 4, first=False) for _ in range(2))
        self.pool, self.head = nn.Linear(64, 64), nn.Linear(64, CLASSES)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        tokens = self.norm(self.words(input_ids) + self.places.weight[: input_ids.shape[1]])
        bias = (1.0 - attention_mask[:, None, None, :].to(tokens.dtype)) * -10000.0
        for block in self.blocks:
            tokens = block(tokens, bias)
        scores: torch.Tensor = self.head(torch.tanh(self.pool(tokens[:, 0])))
        return scores


class MixerBlock(nn.Module):
    """A perceptron across tokens, then one across channels."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.one, self.two = nn.LayerNorm(width), nn.LayerNorm(width)
        self.across = nn.Sequential(nn.Linear(tokens, 2 * tokens), nn.GELU(), nn.Linear(2 * tokens, tokens))
        self.within = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mixed tokens."""
        x = x + self.across(self.one(x).transpose(1, 2)).transpose(1, 2)
        mixed: torch.Tensor = x + self.within(self.two(x))
        return mixed


class Mixer(nn.Module):
    """MLP-Mixer: patches by a convolution, two blocks, the mean of the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 64, 8, stride=8)
        self.blocks, self.norm = nn.Sequential(MixerBlock(16, 64), MixerBlock(16, 64)), nn.LayerNorm(64)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        scores: torch.Tensor = self.head(self.norm(self.blocks(tokens)).mean(dim=1))
        return scores

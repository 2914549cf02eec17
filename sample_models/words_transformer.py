"""What is the sample `words-transformer`: a character-level decoder that spells English words.

Pre-norm blocks with separate query, key, value and output projections, named as in OPT-style checkpoints.
Tokens: 0 ends and starts a word, 1..26 are a..z. Position 0 reads token 0, so a word of n letters has n + 1
predictions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY = 27
CONTEXT = 25  # web2's longest word has 24 letters, and one place is for the start
WIDTH = 128
HEADS = 4
BLOCKS = 3


class SelfAttention(nn.Module):
    """Causal attention over `(batch, length, WIDTH)`."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj = nn.Linear(WIDTH, WIDTH)
        self.k_proj = nn.Linear(WIDTH, WIDTH)
        self.v_proj = nn.Linear(WIDTH, WIDTH)
        self.out_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            projection(x).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


class DecoderLayer(nn.Module):
    """One pre-norm block: attention and a four times wider GELU network, each added to its input `(batch, length,
    WIDTH)`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.self_attn_layer_norm = nn.LayerNorm(WIDTH)
        self.self_attn = SelfAttention()
        self.final_layer_norm = nn.LayerNorm(WIDTH)
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        change: Tensor = self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x))))
        return x + change


class WordsTransformer(nn.Module):
    """Tokens `(batch, length <= 25)` int64 to next-token logits `(batch, length, 27)`."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.embed_positions = nn.Embedding(CONTEXT, WIDTH)
        self.layers = nn.ModuleList(DecoderLayer() for _ in range(BLOCKS))
        self.final_layer_norm = nn.LayerNorm(WIDTH)
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed_tokens(tokens) + self.embed_positions(torch.arange(tokens.shape[1], device=tokens.device))
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.lm_head(self.final_layer_norm(x))
        return logits

"""What is the sample `digits-mlp`: a three-layer perceptron that reads 8x8 handwritten digits."""

from __future__ import annotations

from torch import Tensor, nn


class DigitsMLP(nn.Module):
    """Images `(batch, 1, 8, 8)` in 0..1 to logits `(batch, 10)`: 64 -> 256 -> 128 -> 10 with ReLU between."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, 256)
        self.fc2 = nn.Linear(256, 128)
        self.fc3 = nn.Linear(128, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.fc1(images.flatten(1)).relu()
        x = self.fc2(x).relu()
        logits: Tensor = self.fc3(x)
        return logits

"""What is the sample `digits-cnn`: a small convolutional network that reads 8x8 handwritten digits.

One block is depthwise separable (as in MobileNet), so per-channel behaviour of 3x3 filters with a single input channel
can be seen.
"""

from __future__ import annotations

from torch import Tensor, nn


class DigitsCNN(nn.Module):
    """Images `(batch, 1, 8, 8)` in 0..1 to logits `(batch, 10)`; every convolution is followed by BatchNorm and
    ReLU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2_depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False)
        self.bn2_depthwise = nn.BatchNorm2d(32)
        self.conv2_pointwise = nn.Conv2d(32, 64, 1, bias=False)
        self.bn2_pointwise = nn.BatchNorm2d(64)
        self.conv3 = nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(64)
        self.fc = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.bn1(self.conv1(images)).relu()
        x = self.bn2_depthwise(self.conv2_depthwise(x)).relu()
        x = self.bn2_pointwise(self.conv2_pointwise(x)).relu()
        x = self.bn3(self.conv3(x)).relu()
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits

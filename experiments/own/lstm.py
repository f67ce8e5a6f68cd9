"""An LSTM that reads a digit row by row, as it would read a sentence word by word."""

from torch import Tensor, nn


class RowReader(nn.Module):
    """(B, 1, rows, columns) images to (B, K) logits."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, width: int = 32) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_shape[-1], width, batch_first=True)
        self.output = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.lstm(images.squeeze(1))  # (B, 1, rows, columns) to (B, rows, width)
        return self.output(states[:, -1])

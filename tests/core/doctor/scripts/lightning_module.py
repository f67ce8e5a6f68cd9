"""Either Lightning, with a validation; `lightning_module.py PACKAGE OUT [DEVICES]`."""

import importlib
import sys

import torch
from torch import nn

pl = importlib.import_module(sys.argv[1])
devices = int(sys.argv[3]) if len(sys.argv) > 3 else 1


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(10, 16), nn.Tanh())
        self.head = nn.Linear(16, 3)

    def training_step(self, batch, index):
        x, y = batch
        return nn.functional.cross_entropy(self.head(self.encoder(x)), y)

    validation_step = training_step

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 1e-3)


if __name__ == "__main__":
    pl.seed_everything(0, verbose=False)
    images = torch.randn(256, 10)
    data = torch.utils.data.TensorDataset(images, images[:, :3].argmax(1))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet["enable_model_summary"] = False
    strategy = "ddp" if devices > 1 else "auto"
    trainer = pl.Trainer(max_epochs=2, accelerator="cpu", devices=devices, strategy=strategy, **quiet)
    module = Module()
    loaders = [torch.utils.data.DataLoader(data, 16) for _ in range(2)]
    trainer.fit(module, *loaders)
    if trainer.is_global_zero:
        torch.save(module.state_dict(), sys.argv[2])

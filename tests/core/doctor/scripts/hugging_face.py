"""The Trainer of transformers, with accumulated gradients."""

import sys
import tempfile

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

torch.manual_seed(0)
sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
model = BertForSequenceClassification(BertConfig(vocab_size=20, num_labels=3, **sizes))
data = [{"input_ids": torch.randint(20, (5,)), "labels": torch.tensor(index % 3)} for index in range(64)]
settings = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "max_steps": 12, "disable_tqdm": True}
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(folder, use_cpu=True, report_to=[], save_strategy="no", **settings)
    Trainer(model, arguments, train_dataset=data).train()
torch.save(model.state_dict(), sys.argv[1])

"""A small BERT of Hugging Face, with random weights, and short sentences whose sense it has to tell.

A sentence is good where it praises, or denies a reproach: no word alone decides, so a bag of words learns nothing.
"""

import numpy as np
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

SUBJECTS = ["the film", "the play", "her book", "his song", "the first half", "the end"]
VERBS = {"was": False, "was not": True, "is": False, "is not": True, "is never": True}
PRAISE, REPROACH = ["good", "fine", "great", "funny"], ["bad", "dull", "long", "weak"]
ENDINGS = ["", "at all", "to me", "they say"]
WORDS = sorted(set(" ".join([*SUBJECTS, *VERBS, *PRAISE, *REPROACH, *ENDINGS]).split()))
NUMBERS = {word: number for number, word in enumerate(WORDS, start=1)}  # 0 fills up
LENGTH = 8


def make_sentences(num_train: int = 2000, num_test: int = 500) -> dict[str, object]:
    """Draw sentences as token ids (N, 8), and their class: 1 is good."""
    rng = np.random.default_rng(0)
    tokens, classes = np.zeros((num_train + num_test, LENGTH), np.int64), []
    for row in tokens:
        verb, adjective = rng.choice(list(VERBS)), rng.choice(PRAISE + REPROACH)
        words = f"{rng.choice(SUBJECTS)} {verb} {adjective} {rng.choice(ENDINGS)}".split()
        row[: len(words)] = [NUMBERS[word] for word in words]
        classes.append(int((adjective in PRAISE) != VERBS[verb]))
    train, test = slice(num_train), slice(num_train, None)
    labels = np.array(classes)
    return {
        "train": (tokens[train], labels[train]),
        "test": (tokens[test], labels[test]),
        "classes": ["not good", "good"],
    }


def make_bert(num_classes: int, width: int = 32, depth: int = 2) -> nn.Module:
    """Build it from a configuration: nothing is downloaded. Its output is an object with logits, which are taken."""
    config = BertConfig(
        vocab_size=1 + len(WORDS),
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=LENGTH,
        num_labels=num_classes,
    )
    return BertForSequenceClassification(config)

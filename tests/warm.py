"""Loaded where processes are forked: what a process asks git and the system once, all of them know already."""

import torch

from vgtemplate.training.environment import describe_environment

describe_environment(torch.device("cpu"))

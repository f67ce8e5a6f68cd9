"""Configuration: what an experiment, an arm and a claim are."""

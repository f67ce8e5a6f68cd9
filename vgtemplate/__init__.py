"""Population networks, probes and a judge for claims about vanishing and exploding gradients."""

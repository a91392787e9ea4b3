"""Training and evaluation: losses, schedule, steps, checkpoints, the folder of a run.

Not here: the networks (nets), the data (features, dataloader.py).
Imports: nets, base, llp, metrics, features.
"""

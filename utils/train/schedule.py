"""The optimizer, and its learning rate over the epochs."""

import math

import torch
from torch import Tensor, nn


def learning_rate(
    epoch: int,
    *,
    scheduler: str,
    lr: float,
    epochs: int,
    stepsize: int,
    gamma: float,
    warm_up_epoch: int,
    lr_min: float,
) -> float:
    """Learning rate of epoch 1..epochs.

    steplr: multiplied by gamma after every `stepsize` epochs. warm_up_cos_anneal: linear to lr over `warm_up_epoch`
    epochs, then half a cosine down to lr_min; if no epoch is left for the cosine, the last epoch has lr.
    """
    if scheduler == "steplr":
        for _ in range((epoch - 1) // stepsize):  # one product a step, as StepLR does: the same rounding
            lr = lr * gamma
        return lr
    if epoch < warm_up_epoch:
        return lr * epoch / warm_up_epoch
    if epochs == warm_up_epoch:
        return lr
    progress = (epoch - warm_up_epoch) / (epochs - warm_up_epoch)
    return lr_min + (lr - lr_min) / 2 * (1 + math.cos(math.pi * progress))


def make_optimizer(
    net: nn.Module, device: torch.device, kind: str, *, fused: bool, capturable: bool = False, **settings
) -> torch.optim.Optimizer:
    """`adamw`, or `adam` with weight decay in the gradient.

    Args:
        fused: in one kernel. capturable: CUDA graphs can record it. settings: lr, betas, eps, weight_decay.
    """
    optimizer_class = torch.optim.AdamW if kind == "adamw" else torch.optim.Adam
    optimizer = optimizer_class(net.parameters(), fused=fused, capturable=capturable, **settings)
    place_learning_rate(optimizer, device)
    return optimizer


def place_learning_rate(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Put the learning rate on the device, where CUDA graphs read it."""
    for group in optimizer.param_groups:
        if group["capturable"]:
            group["lr"] = torch.tensor(float(group["lr"]), device=device)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group, in place if it is a tensor (CUDA graphs read it there)."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr

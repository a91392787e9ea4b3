"""The optimizer, and its learning rate over the epochs."""

import argparse
import math

import torch
from torch import Tensor

from nets import MMIL_Net


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
    epochs, then half a cosine down to lr_min; where no epoch is left for the cosine, the last epoch has lr.
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


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set it for all parameters; where it lies on the device, as recorded graphs need it, in its place."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def make_optimizer(args: argparse.Namespace, net: MMIL_Net, device: torch.device) -> torch.optim.Optimizer:
    """AdamW, or Adam with weight decay in the gradient; in one kernel, but for --exact."""
    kind = torch.optim.AdamW if args.optimizer == "adamw" else torch.optim.Adam
    optimizer = kind(
        net.parameters(),
        lr=args.lr,
        betas=(args.beta1, args.beta2),
        eps=args.eps,
        weight_decay=args.weight_decay,
        fused=not args.exact,
        capturable=device.type == "cuda" and not args.exact,
    )
    place_learning_rate(optimizer, device)
    return optimizer


def place_learning_rate(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Put the learning rate on the device, where recorded graphs read it."""
    for group in optimizer.param_groups:
        if group["capturable"]:
            group["lr"] = torch.tensor(float(group["lr"]), device=device)

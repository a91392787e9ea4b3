"""Multi-head attention over few segments, or over many in blocks of queries."""

import functools

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nets.fast import dropout
from nets.fast.linear import linear

BLOCK = 2**20  # scores of a head of a video that are held at once: more than 1024 segments go in blocks of queries


def softmax(scores: Tensor) -> Tensor:
    """Softmax over the last axis: (N, T, S) -> (N, T, S)."""
    if scores.device.type == "cuda":
        return torch.softmax(scores, -1)
    # On a CPU, torch takes short rows one by one, but the columns of a matrix in vectors: four times as fast.
    columns = scores.view(-1, scores.shape[-1]).t().contiguous()
    return torch.softmax(columns, 0).t().reshape(scores.shape)


class FastAttention(nn.MultiheadAttention):
    """nn.MultiheadAttention by `linear` and `dropout_mask`, without the mean of the attention weights."""

    product_dtype = torch.float32

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """(T, B, D), (S, B, D), (S, B, D) -> (T, B, D) in the dtype of the products, None.

        key_padding_mask: (B, S) bool, keys that have no part.
        """
        dtype = self.product_dtype
        inputs = {id(x): x.to(dtype) for x in (query, key, value)}  # each once: in self attention they are one tensor
        weights, biases = self.in_proj_weight.to(dtype).chunk(3), self.in_proj_bias.to(dtype).chunk(3)
        q, k, v = (
            linear(inputs[id(x)], weight, bias, dtype).view(len(x), -1, self.head_dim).transpose(0, 1)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )  # (B * H, T | S, d)
        hidden = None if key_padding_mask is None else key_padding_mask.repeat_interleave(self.num_heads, 0)[:, None]
        if len(query) * len(key) <= BLOCK:
            context = self._context(q, k, v, hidden)
        else:
            run = self._context
            if torch.is_grad_enabled():  # computed again in the backward pass, with the same dropout
                run = functools.partial(checkpoint, run, use_reentrant=False)
            blocks = q.split(max(1, BLOCK // len(key)), dim=1)
            context = torch.cat([run(block, k, v, hidden) for block in blocks], dim=1)
        context = context.transpose(0, 1).reshape(query.shape)
        return linear(context, self.out_proj.weight, self.out_proj.bias, dtype), None

    def _context(self, q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None) -> Tensor:
        """(N, T, d), (N, S, d), (N, S, d), (N, 1, S) bool -> (N, T, d), of N = B * H heads."""
        scores = torch.bmm(q * self.head_dim**-0.5, k.transpose(1, 2))  # (N, T, S)
        prob = softmax(scores if hidden is None else scores.masked_fill(hidden, -torch.inf))
        if self.training and self.dropout:
            prob = prob * dropout.dropout_mask(prob.shape, self.dropout, prob)
        return torch.bmm(prob, v)

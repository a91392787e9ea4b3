"""Multi-head attention over few segments."""

import torch
from torch import Tensor, nn

from nets.fast import dropout
from nets.fast.linear import linear


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

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, None]:
        """(T, B, D), (S, B, D), (S, B, D) -> (T, B, D) in the dtype of the products, None."""
        dtype = self.product_dtype
        inputs = {id(x): x.to(dtype) for x in (query, key, value)}  # each once: in self attention they are one tensor
        weights, biases = self.in_proj_weight.to(dtype).chunk(3), self.in_proj_bias.to(dtype).chunk(3)
        q, k, v = (
            linear(inputs[id(x)], weight, bias, dtype).view(len(x), -1, self.head_dim).transpose(0, 1)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )  # (B * H, T | S, d)
        prob = softmax(torch.bmm(q * self.head_dim**-0.5, k.transpose(1, 2)))  # (B * H, T, S)
        if self.training and self.dropout:
            prob = prob * dropout.dropout_mask(prob.shape, self.dropout, prob)
        context = torch.bmm(prob, v).transpose(0, 1).reshape(query.shape)
        return linear(context, self.out_proj.weight, self.out_proj.bias, dtype), None

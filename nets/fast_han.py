"""HAN's layer with its gradient written out: the numbers of nets/han.py, from a third of its operations.

Autograd would record some eighty small operations a layer and keep what none of them needs. Here a layer is one node:
cross-modal and self attention share a batch, queries, keys and values a product, masks bring dropout's scale with them,
and gradients of weights that both streams share are added up by the products that make them.

Source: as nets/han.py. Axes: T segments, B videos, D hidden, F feed-forward, H heads; tensors are (T, B, D), sequence
first and contiguous, as in nets/han.py, since a seed's dropout masks depend on it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nets.linear import add_product, product

Draw = Callable[[Sequence[tuple[int, ...]], float, Tensor], list[Tensor]]


class LayerSettings(NamedTuple):
    """What a layer does beside its weights.

    Attributes:
        nhead: H.
        pre_norm: norms before the blocks instead of after them.
        dropout: probability, 0 in evaluation.
        draw: makes the masks of one update of a stream.
        dtype: of matrix products and attention; streams, norms and gradients of weights stay in the weights' own.
    """

    nhead: int
    pre_norm: bool
    dropout: float
    draw: Draw
    dtype: torch.dtype


class AttentionWeights(NamedTuple):
    """Of `nn.MultiheadAttention`: (3D, D), (3D,), (D, D), (D,); query, key and value rows."""

    in_weight: Tensor
    in_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor


class LayerWeights(NamedTuple):
    """A layer's parameters, in the order in which `flat` lists them."""

    cross: AttentionWeights
    within: AttentionWeights
    linear1: tuple[Tensor, Tensor]
    linear2: tuple[Tensor, Tensor]
    norm1: tuple[Tensor, Tensor]
    norm2: tuple[Tensor, Tensor]

    def flat(self) -> list[Tensor]:
        return [tensor for group in self for tensor in group]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> "LayerWeights":
        """The inverse of `flat`."""
        cross, within = AttentionWeights(*tensors[:4]), AttentionWeights(*tensors[4:8])
        return cls(cross, within, *(tuple(tensors[i : i + 2]) for i in range(8, 16, 2)))

    @classmethod
    def of_layer(cls, layer: nn.Module) -> "LayerWeights":
        """The parameters of a `HANLayer`."""
        attention = [
            AttentionWeights(a.in_proj_weight, a.in_proj_bias, a.out_proj.weight, a.out_proj.bias)
            for a in (layer.cm_attn, layer.self_attn)
        ]
        pairs = [(m.weight, m.bias) for m in (layer.linear1, layer.linear2, layer.norm1, layer.norm2)]
        return cls(*attention, *pairs)


# ----------------------------------------------------------------------------------------------- gradients and norms


CROSS, WITHIN, LINEAR1, LINEAR2, NORM1, NORM2 = 0, 4, 8, 10, 12, 14  # positions in LayerWeights.flat()
EPS = 1e-5  # of torch's layer norms


class _Gradients:
    """Gradients of a layer's weights, to which both streams add theirs: in the type of the products, but for norms."""

    def __init__(self, weights: LayerWeights, dtype: torch.dtype):
        self.weights = weights.flat()
        self.sums = [torch.empty_like(w, dtype=w.dtype if i >= NORM1 else dtype) for i, w in enumerate(self.weights)]
        self.written = set()

    def add_linear(self, index: int, grad: Tensor, inputs: Tensor, rows: slice = slice(None)):
        """Add those of y = x W^T + b: `index` is that of W, and of b less one; rows: of both."""
        old = self._is_written(index, rows.start)
        self.sums[index][rows].addmm_(grad.t(), inputs, beta=old)
        self._add(index + 1, rows, grad.sum(0), old)

    def add_norm(self, index: int, weight: Tensor, bias: Tensor):
        """Add those of a layer norm, whose weight has `index`."""
        old = self._is_written(index)
        self._add(index, slice(None), weight, old)
        self._add(index + 1, slice(None), bias, old)

    def result(self) -> list[Tensor]:
        """All of them, in the weights' types."""
        return [total.to(w.dtype) for total, w in zip(self.sums, self.weights, strict=True)]

    def _is_written(self, index: int, start: int | None = None) -> bool:
        """Whether there is something to add to; from now on there is."""
        old = (index, start) in self.written
        self.written.add((index, start))
        return old

    def _add(self, index: int, rows: slice, value: Tensor, old: bool):
        total = self.sums[index][rows]
        total.add_(value) if old else total.copy_(value)


def _norm(x: Tensor, weights: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Layer norm of (n, D), and what its gradient needs."""
    out, mean, rstd = torch.ops.aten.native_layer_norm(x, [x.shape[1]], *weights, EPS)
    return out, (x, mean, rstd)


def _norm_backward(grad: Tensor, saved, weights: tuple[Tensor, Tensor], index: int, gradients: _Gradients) -> Tensor:
    x, mean, rstd = saved
    grad_x, *grads = torch.ops.aten.native_layer_norm_backward(
        grad, x, [x.shape[1]], mean, rstd, *weights, [True, True, True]
    )
    gradients.add_norm(index, *grads)
    return grad_x


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


# ----------------------------------------------------------------------------------------------------------- attention


def _softmax(scores: Tensor) -> Tensor:
    """Over the last axis of (m, T, T)."""
    if scores.device.type == "cuda":
        return torch.softmax(scores, -1)
    # torch takes short rows one by one, but the columns of a matrix in vectors
    columns = scores.view(-1, scores.shape[-1]).t().contiguous()
    return torch.softmax(columns, 0).t().reshape(scores.shape)


def _softmax_backward(grad: Tensor, prob: Tensor) -> Tensor:
    """The gradient of the scores, (m, T, T)."""
    if grad.device.type == "cuda":
        return torch.ops.aten._softmax_backward_data(grad, prob, -1, prob.dtype)
    x = grad * prob
    if x.dtype == torch.bfloat16:  # a sum and its broadcast as one product: both are slow in this type
        ones = x.new_ones(x.shape[-1], x.shape[-1])
        sums = (x.view(-1, x.shape[-1]) @ ones).view(x.shape)
    else:
        sums = x.sum(-1, keepdim=True)
    return torch.addcmul(x, prob, sums, value=-1)


class _Attention:
    """Cross-modal and self attention of one stream, side by side in one batch, and their gradient.

    The batch is (2, B, H), of which the first axis is the kind: cross-modal, then self attention.
    """

    def __init__(self, shape: tuple[int, int, int], nhead: int):
        self.T, self.B, self.D = shape
        self.H, self.d = nhead, self.D // nhead
        self.batch = 2 * self.B * nhead, self.T
        self.scale = self.d**-0.5

    def to_heads(self, x: Tensor, target: Tensor) -> None:
        """(n, P * D), n = T * B -> (P, B, H, T, d), into `target`."""
        target.copy_(x.view(self.T, self.B, len(target), self.H, self.d).permute(2, 1, 3, 0, 4))

    def from_heads(self, x: Tensor) -> Tensor:
        """The inverse of `to_heads`."""
        return x.permute(3, 1, 0, 2, 4).reshape(self.T * self.B, len(x) * self.D)

    def forward(self, seen: Tensor, other: Tensor, cross: AttentionWeights, within: AttentionWeights, mask):
        """Attend from `seen` to `other` and to itself, (n, D) each; mask: (2 * B * H, T, T) or None.

        Returns:
            what cross-modal attention gives and what self attention gives, (n, D) each, and what `backward` needs.
        """
        D, shape = self.D, (self.B, self.H, self.T, self.d)
        heads = seen.new_empty(3, 2, *shape)  # queries, keys and values of both
        self.to_heads(product(seen, cross.in_weight[:D], cross.in_bias[:D]), heads[:1, 0])
        self.to_heads(product(other, cross.in_weight[D:], cross.in_bias[D:]), heads[1:, 0])
        self.to_heads(product(seen, within.in_weight, within.in_bias), heads[:, 1])
        q, k, v = heads.view(3, *self.batch, self.d)
        scores = q.new_empty(*self.batch, self.T).baddbmm_(q, k.transpose(1, 2), beta=0, alpha=self.scale)
        prob = _softmax(scores)
        dropped = _masked(prob, mask)
        context = torch.bmm(dropped, v).view(2, 1, *shape)
        contexts = [self.from_heads(x) for x in context]
        out = [product(x, w.out_weight, w.out_bias) for x, w in zip(contexts, (cross, within), strict=True)]
        return *out, (q, k, v, prob, dropped, contexts)

    def backward(self, grads, saved, seen, other, cross, within, mask, gradients: _Gradients, to_seen, to_other):
        """Add the gradients of the inputs to `to_seen` and `to_other`, and return both sums."""
        D, shape = self.D, (self.B, self.H, self.T, self.d)
        q, k, v, prob, dropped, contexts = saved
        heads = q.new_empty(2, 1, *shape)
        for i, (grad, weights, index) in enumerate(zip(grads, (cross, within), (CROSS, WITHIN), strict=True)):
            gradients.add_linear(index + 2, grad, contexts[i])
            self.to_heads(product(grad, weights.out_weight.t()), heads[i])
        g = heads.view(*self.batch, self.d)
        grad_prob = _masked(torch.bmm(g, v.transpose(1, 2)), mask)
        grad_scores = _softmax_backward(grad_prob, prob)
        heads = q.new_empty(3, *self.batch, self.d)
        heads[0].baddbmm_(grad_scores, k, beta=0, alpha=self.scale)
        heads[1].baddbmm_(grad_scores.transpose(1, 2), q, beta=0, alpha=self.scale)
        torch.bmm(dropped.transpose(1, 2), g, out=heads[2])
        heads = heads.view(3, 2, *shape)
        queries, others = self.from_heads(heads[:1, 0]), self.from_heads(heads[1:, 0])
        own = self.from_heads(heads[:, 1])
        gradients.add_linear(CROSS, queries, seen, slice(0, D))
        gradients.add_linear(CROSS, others, other, slice(D, None))
        gradients.add_linear(WITHIN, own, seen)
        to_seen = add_product(to_seen, queries, cross.in_weight[:D].t())
        to_seen = add_product(to_seen, own, within.in_weight.t())
        return to_seen, add_product(to_other, others, cross.in_weight[D:].t())


# --------------------------------------------------------------------------------------------------------- the layer


class _Update(NamedTuple):
    """What the gradient of one stream's update needs of its forward pass."""

    inputs: tuple[Tensor, Tensor]  # what attention saw of the query stream and of the other
    attention: tuple
    masks: list[Tensor]
    norms: list  # of norm1 and norm2
    normed: Tensor  # the feed-forward block's input
    hidden: Tensor  # its hidden units, after ReLU and dropout


class _Layer:
    """One HAN layer: how it updates a stream from itself and the other, forward and backward."""

    def __init__(self, settings: LayerSettings, weights: LayerWeights, shape: tuple[int, int, int]):
        self.settings, self.shape = settings, shape
        self.norms = weights.norm1, weights.norm2
        self.weights = LayerWeights.of([tensor.to(settings.dtype) for tensor in weights.flat()])
        self.attention = _Attention(shape, settings.nhead)

    @functools.cached_property
    def scaled_linear2(self) -> Tensor:
        """Weights of the second linear layer, with the scale of the dropout before it."""
        return self.weights.linear2[0] / (1 - self.settings.dropout)

    def update(self, query: Tensor, other: Tensor) -> tuple[Tensor, _Update]:
        """(n, D), (n, D) -> the stream of `query`, updated: (n, D)."""
        s, w, dtype = self.settings, self.weights, self.settings.dtype
        masks = self._draw(query) if s.dropout else [None] * 5
        m_scores, m_cross, m_within, m_hidden, m_after = masks
        norms = []

        def norm(x, which):
            out, saved = _norm(x, self.norms[which])
            norms.append(saved)
            return out

        inputs = (norm(query, 0) if s.pre_norm else query).to(dtype), other.to(dtype)
        cross, within, saved = self.attention.forward(*inputs, w.cross, w.within, m_scores)
        x = _add_dropped(_add_dropped(query, cross, m_cross), within, m_within)
        x = norm(x, 1) if s.pre_norm else norm(x, 0)
        normed, residual = x.to(dtype), (norms[1][0] if s.pre_norm else x)
        hidden = product(normed, *w.linear1, relu=True)
        if m_hidden is not None:
            hidden.mul_(m_hidden)
        x = _add_dropped(residual, product(hidden, *w.linear2), m_after)
        x = x if s.pre_norm else norm(x, 1)
        return x, _Update(inputs, saved, masks, norms, normed, hidden)

    def backward(self, grad: Tensor, saved: _Update, gradients: _Gradients, to_other: Tensor):
        """Gradients of the query stream and of the other one, to which those `to_other` are added."""
        s, w, dtype = self.settings, self.weights, self.settings.dtype
        m_scores, m_cross, m_within, _, m_after = saved.masks

        def norm_backward(g, which):
            return _norm_backward(g, saved.norms[which], self.norms[which], (NORM1, NORM2)[which], gradients)

        grad = grad if s.pre_norm else norm_backward(grad, 1)
        g = _masked(grad, m_after).to(dtype)
        gradients.add_linear(LINEAR2, g, saved.hidden)
        # Hidden units that are 0 were dropped or below 0, and nothing flows back; what was kept was scaled.
        g = product(g, self.scaled_linear2.t())
        torch.ops.aten.threshold_backward.grad_input(g, saved.hidden, 0, grad_input=g)
        gradients.add_linear(LINEAR1, g, saved.normed)
        if s.pre_norm:
            grad = grad + norm_backward(product(g, w.linear1[0].t()).to(grad.dtype), 1)
        else:
            grad = norm_backward(add_product(grad, g, w.linear1[0].t()), 0)

        grads = [_masked(grad, mask).to(dtype) for mask in (m_cross, m_within)]
        total = torch.zeros_like(grad) if s.pre_norm else grad  # under pre-norm, attention saw the norm of the stream
        total, to_other = self.attention.backward(
            grads, saved.attention, *saved.inputs, w.cross, w.within, m_scores, gradients, total, to_other
        )
        return (norm_backward(total, 0) + grad if s.pre_norm else total), to_other

    def _draw(self, like: Tensor) -> list[Tensor]:
        """Masks of the probabilities of both kinds of attention, of what they give, and of the feed-forward block."""
        T, B, D = self.shape
        scores, stream = (2 * B * self.settings.nhead, T, T), (T * B, D)
        hidden = (T * B, len(self.weights.linear1[1]))
        keep = 1 - self.settings.dropout
        return self.settings.draw(
            [scores, stream, stream, hidden, stream], keep, like.new_empty((), dtype=self.settings.dtype)
        )


def _add_dropped(x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
    """x + dropout(y)."""
    if mask is None:
        return x + y
    return torch.addcmul(x, y, mask) if y.dtype == x.dtype else x + y * mask


class _LayerFunction(torch.autograd.Function):
    """Both streams' update by one layer, as one node of autograd's graph."""

    @staticmethod
    def forward(ctx, audio, visual, settings, *weights):
        shape, inputs = audio.shape, (audio, visual)
        layer = _Layer(settings, LayerWeights.of(weights), tuple(shape))
        audio, visual = (x.reshape(-1, shape[2]) for x in (audio, visual))
        audio, saved_audio = layer.update(audio, visual)
        visual, saved_visual = layer.update(visual, audio)
        if any(ctx.needs_input_grad):
            ctx.layer, ctx.saved = layer, (saved_audio, saved_visual)
            ctx.save_for_backward(*inputs, *weights)  # for autograd to notice whoever changes them
        return audio.view(shape), visual.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_audio, grad_visual):
        layer, (saved_audio, saved_visual) = ctx.layer, ctx.saved
        weights, shape = LayerWeights.of(ctx.saved_tensors[2:]), grad_audio.shape
        gradients = _Gradients(weights, layer.settings.dtype)
        grad_audio, grad_visual = (g.reshape(-1, shape[2]) for g in (grad_audio, grad_visual))
        # visual was updated last, from the audio stream already updated
        grad_visual, grad_audio = layer.backward(grad_visual, saved_visual, gradients, grad_audio)
        grad_audio, grad_visual = layer.backward(grad_audio, saved_audio, gradients, grad_visual)
        return grad_audio.view(shape), grad_visual.view(shape), None, *gradients.result()


def update_streams(audio: Tensor, visual: Tensor, settings: LayerSettings, weights: LayerWeights):
    """Audio from itself and visual, then visual from itself and the new audio: (T, B, D) each, in and out.

    Gradients flow to both streams and all weights. They cannot be differentiated again.
    """
    return _LayerFunction.apply(audio, visual, settings, *weights.flat())

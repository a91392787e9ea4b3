"""HAN's layer with its gradient written out: the numbers of nets/han.py, from a third of its operations.

Autograd would record some eighty small operations a layer and keep what none of them needs. Here a layer is one node:
scale factors (of dropout, of attention) ride on matrix products, gradients of weights that both streams share are added
up by the products that make them, and nothing is copied to change its layout but what attention needs.

Source: as nets/han.py. Axes: T segments, B videos, D hidden, F feed-forward, H heads; tensors are (T, B, D), sequence
first and contiguous, as in nets/han.py, since a seed's dropout masks depend on it.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

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


# ------------------------------------------------------------------------------------------------------ dropout masks


def draw_published(shapes: Sequence[tuple[int, ...]], keep: float, like: Tensor) -> list[Tensor]:
    """Masks of 0 and 1, the numbers that torch's own dropout would take from the generator, in its order."""
    return [torch.empty(shape, dtype=like.dtype, device=like.device).bernoulli_(keep) for shape in shapes]


def draw_at_once(shapes: Sequence[tuple[int, ...]], keep: float, like: Tensor) -> list[Tensor]:
    """Masks of 0 and 1 from one draw for all of them: on CUDA one kernel; on a CPU a quarter of the random numbers."""
    sizes = [math.prod(shape) for shape in shapes]
    if like.device.type == "cpu":  # four masks from one number of 64 bits; `keep` is rounded to 16 bits
        numbers = torch.empty((sum(sizes) + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        kept = numbers.view(torch.int16)[: sum(sizes)] < round(keep * 2**16) - 2**15
        masks = kept.to(like.dtype)
    else:
        masks = torch.empty(sum(sizes), dtype=like.dtype, device=like.device).bernoulli_(keep)
    return [mask.view(shape) for mask, shape in zip(masks.split(sizes), shapes, strict=True)]


# ------------------------------------------------------------------------------------------- products and their scale


def _times(a: Tensor, b: Tensor, scale: float = 1.0) -> Tensor:
    """scale * a b."""
    return torch.mm(a, b) if scale == 1 else torch.addmm(a.new_empty(1), a, b, beta=0, alpha=scale)


class _Gradients:
    """Gradients of a layer's weights, to which both streams add theirs."""

    def __init__(self, weights: LayerWeights):
        self.sums = [torch.empty_like(w) for w in weights.flat()]
        self.written = set()

    def add_linear(self, index, grad, inputs, scale=1.0, rows=slice(None), bias_scale=1.0):
        """Add those of y = scale * (x W^T) + bias_scale * b: `index` is that of W, and of b less one; rows: of both."""
        weight = self.sums[index][rows]
        first = (index, rows.start) not in self.written
        self.written.add((index, rows.start))
        if grad.dtype == weight.dtype:
            weight.addmm_(grad.t(), inputs, beta=0 if first else 1, alpha=scale)
        elif first:
            weight.copy_(torch.mm(grad.t(), inputs)).mul_(scale)
        else:
            weight.add_(torch.mm(grad.t(), inputs), alpha=scale)
        self._add(index + 1, rows, grad.sum(0, dtype=weight.dtype).mul_(bias_scale), first)

    def add_norm(self, index: int, weight: Tensor, bias: Tensor):
        """Add those of a layer norm, whose weight has `index`."""
        first = index not in self.written
        self.written.add(index)
        self._add(index, slice(None), weight, first)
        self._add(index + 1, slice(None), bias, first)

    def _add(self, index: int, rows: slice, value: Tensor, first: bool):
        target = self.sums[index][rows]
        target.copy_(value) if first else target.add_(value)


CROSS, WITHIN, LINEAR1, LINEAR2, NORM1, NORM2 = 0, 4, 8, 10, 12, 14  # positions in LayerWeights.flat()
EPS = 1e-5  # of torch's layer norms


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


# ----------------------------------------------------------------------------------------------------------- attention


class _Attention:
    """Multi-head attention of one stream, (n, D) -> (n, D), n = T * B, and its gradient."""

    def __init__(self, shape: tuple[int, int, int], nhead: int):
        self.T, self.B, self.D = shape
        self.nhead = nhead
        self.scale = (self.D // nhead) ** -0.5
        self.rows = [slice(i * self.D, (i + 1) * self.D) for i in range(3)]  # of query, key and value

    def split(self, x: Tensor) -> Tensor:
        """(n, D) -> (B * H, T, D / H), without a copy."""
        return x.view(self.T, self.B * self.nhead, self.D // self.nhead).transpose(0, 1)

    def join(self, x: Tensor) -> Tensor:
        """(B * H, T, D / H) -> (n, D)."""
        return x.transpose(0, 1).reshape(self.T * self.B, self.D)

    def forward(self, query: Tensor, other: Tensor, weights: AttentionWeights, mask: Tensor | None, scale: float):
        """Attend from `query` to `other`; scale: 1 / keep, of dropout. Returns the output and what `backward` needs."""
        w, b = weights.in_weight, weights.in_bias
        q, k, v = (
            torch.addmm(b[rows], x, w[rows].t(), beta=s, alpha=s)  # attention's scale, for nothing
            for x, rows, s in zip((query, other, other), self.rows, (self.scale, 1, 1), strict=True)
        )
        prob = torch.softmax(torch.bmm(self.split(q), self.split(k).transpose(1, 2)), dim=-1)  # (B * H, T, T)
        dropped = _masked(prob, mask)
        context = self.join(torch.bmm(dropped, self.split(v)))
        out = torch.addmm(weights.out_bias, context, weights.out_weight.t(), alpha=scale)
        return out, (q, k, v, prob, dropped, context)

    def backward(self, grad, saved, query, other, weights, mask, scale, index, gradients, to_query, to_other):
        """Add the gradients of the inputs to `to_query` and `to_other`, None for none so far, and return both.

        Where `query` is `other`, all goes to the first.
        """
        q, k, v, prob, dropped, context = saved
        gradients.add_linear(index + 2, grad, context, scale)
        g = self.split(_times(grad, weights.out_weight, scale))
        grad_v = self.join(torch.bmm(dropped.transpose(1, 2), g))
        grad_prob = _masked(torch.bmm(g, self.split(v).transpose(1, 2)), mask)
        grad_scores = torch.ops.aten._softmax_backward_data(grad_prob, prob, -1, prob.dtype)
        grad_q = self.join(torch.bmm(grad_scores, self.split(k)))
        grad_k = self.join(torch.bmm(grad_scores.transpose(1, 2), self.split(q)))
        parts = ((grad_q, query, self.scale), (grad_k, other, 1.0), (grad_v, other, 1.0))
        for (part, inputs, s), rows in zip(parts, self.rows, strict=True):
            gradients.add_linear(index, part, inputs, s, rows, bias_scale=s)
        w_q, w_k, w_v = (weights.in_weight[rows] for rows in self.rows)
        to_query = _add_product(to_query, grad_q, w_q, self.scale)
        if query is other:
            return _add_product(_add_product(to_query, grad_k, w_k), grad_v, w_v), to_other
        return to_query, _add_product(_add_product(to_other, grad_k, w_k), grad_v, w_v)


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def _add_product(total: Tensor | None, a: Tensor, b: Tensor, scale: float = 1.0) -> Tensor:
    """total += scale * a b, in the type of `total`; where that is None, a new one."""
    if total is None:
        return _times(a, b, scale)
    return total.addmm_(a, b, alpha=scale) if total.dtype == a.dtype else total.add_(torch.mm(a, b), alpha=scale)


# --------------------------------------------------------------------------------------------------------- the layer


class _Update(NamedTuple):
    """What the gradient of one stream's update needs of its forward pass."""

    inputs: tuple[Tensor, Tensor]  # what attention saw of the query stream and of the other
    cross: tuple[Tensor, ...]
    within: tuple[Tensor, ...]
    masks: list[Tensor]
    norms: list  # of norm1 and norm2
    normed: Tensor  # the feed-forward block's input
    hidden: Tensor  # its hidden units, after ReLU and dropout


class _Layer:
    """One HAN layer: how it updates a stream from itself and the other, forward and backward."""

    def __init__(self, settings: LayerSettings, weights: LayerWeights, shape: tuple[int, int, int]):
        self.settings, self.shape = settings, shape
        self.norms = weights.norm1, weights.norm2
        cast = [tensor.to(settings.dtype) for tensor in weights.flat()]
        self.weights = LayerWeights.of(cast)
        self.attention = _Attention(shape, settings.nhead)
        self.keep = 1 - settings.dropout
        self.scale = 1 / self.keep

    def update(self, query: Tensor, other: Tensor) -> tuple[Tensor, _Update | None]:
        """(n, D), (n, D) -> the stream of `query`, updated: (n, D)."""
        s, w, dtype = self.settings, self.weights, self.settings.dtype
        masks = self._draw(query) if s.dropout else [None] * 6
        m_cross, m_within, m_after_cross, m_after_within, m_hidden, m_after = masks
        norms = []

        def norm(x, which):
            out, saved = _norm(x, self.norms[which])
            norms.append(saved)
            return out

        seen = norm(query, 0) if s.pre_norm else query
        inputs = seen.to(dtype), other.to(dtype)
        cross, saved_cross = self.attention.forward(*inputs, w.cross, m_cross, self.scale)
        within, saved_within = self.attention.forward(inputs[0], inputs[0], w.within, m_within, self.scale)
        x = self._add_dropped(self._add_dropped(query, cross, m_after_cross), within, m_after_within)
        x = norm(x, 1) if s.pre_norm else norm(x, 0)
        normed, residual = x.to(dtype), (norms[1][0] if s.pre_norm else x)
        hidden = torch.addmm(w.linear1[1], normed, w.linear1[0].t()).relu_()
        if m_hidden is not None:
            hidden.mul_(m_hidden)
        out = torch.addmm(w.linear2[1], hidden, w.linear2[0].t(), alpha=self.scale)
        x = self._add_dropped(residual, out, m_after)
        x = x if s.pre_norm else norm(x, 1)
        return x, _Update(inputs, saved_cross, saved_within, masks, norms, normed, hidden)

    def backward(self, grad: Tensor, saved: _Update, gradients: _Gradients, to_other: Tensor | None):
        """Gradients of the query stream and of the other one, to which those `to_other` are added."""
        s, w, dtype = self.settings, self.weights, self.settings.dtype
        m_cross, m_within, m_after_cross, m_after_within, _, m_after = saved.masks

        def norm_backward(g, which):
            return _norm_backward(g, saved.norms[which], self.norms[which], (NORM1, NORM2)[which], gradients)

        def dropped(g, mask):
            # a copy in any case: `g` itself is added to further down
            return (g.clone() if mask is None else (g * mask).mul_(self.scale)).to(dtype)

        grad = grad if s.pre_norm else norm_backward(grad, 1)
        g = dropped(grad, m_after)
        gradients.add_linear(LINEAR2, g, saved.hidden, self.scale)
        # hidden units that are 0 were dropped or below 0: in both cases nothing flows back
        g = torch.ops.aten.threshold_backward(_times(g, w.linear2[0], self.scale), saved.hidden, 0)
        gradients.add_linear(LINEAR1, g, saved.normed)
        if s.pre_norm:
            grad = norm_backward(_times(g, w.linear1[0]).to(grad.dtype), 1).add_(grad)
        else:
            grad = norm_backward(_add_product(grad, g, w.linear1[0]), 0)

        through_cross, through_within = dropped(grad, m_after_cross), dropped(grad, m_after_within)
        total = torch.zeros_like(grad) if s.pre_norm else grad  # under pre-norm, attention saw the norm of the stream
        seen, other = saved.inputs
        total, to_other = self.attention.backward(
            through_cross, saved.cross, seen, other, w.cross, m_cross, self.scale, CROSS, gradients, total, to_other
        )
        total, _ = self.attention.backward(
            through_within, saved.within, seen, seen, w.within, m_within, self.scale, WITHIN, gradients, total, None
        )
        return (norm_backward(total, 0).add_(grad) if s.pre_norm else total), to_other

    def _draw(self, like: Tensor) -> list[Tensor]:
        T, B, D = self.shape
        scores, stream = (B * self.settings.nhead, T, T), (T * B, D)
        hidden = (T * B, len(self.weights.linear1[1]))
        shapes = [scores, scores, stream, stream, hidden, stream]
        return self.settings.draw(shapes, self.keep, like.new_empty((), dtype=self.settings.dtype))

    def _add_dropped(self, x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
        """x + dropout(y)."""
        if mask is None:
            return x + y
        return torch.addcmul(x, y, mask, value=self.scale) if y.dtype == x.dtype else x + y.mul_(mask).mul_(self.scale)


class _LayerFunction(torch.autograd.Function):
    """Both streams' update by one layer, as one node of autograd's graph."""

    @staticmethod
    def forward(ctx, audio, visual, settings, *weights):
        shape = audio.shape
        layer = _Layer(settings, LayerWeights.of(weights), tuple(shape))
        audio, visual = (x.reshape(-1, shape[2]) for x in (audio, visual))
        audio, saved_audio = layer.update(audio, visual)
        visual, saved_visual = layer.update(visual, audio)
        if any(ctx.needs_input_grad):
            ctx.layer, ctx.saved = layer, (saved_audio, saved_visual)
            ctx.save_for_backward(*weights)  # for autograd to notice whoever changes them
        return audio.view(shape), visual.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_audio, grad_visual):
        layer, (saved_audio, saved_visual) = ctx.layer, ctx.saved
        gradients, shape = _Gradients(LayerWeights.of(ctx.saved_tensors)), grad_audio.shape
        grad_audio, grad_visual = (g.reshape(-1, shape[2]) for g in (grad_audio, grad_visual))
        # visual was updated last, from the audio stream already updated
        grad_visual, grad_audio = layer.backward(grad_visual, saved_visual, gradients, grad_audio.clone())
        grad_audio, grad_visual = layer.backward(grad_audio, saved_audio, gradients, grad_visual)
        return grad_audio.view(shape), grad_visual.view(shape), None, *gradients.sums


def update_streams(audio: Tensor, visual: Tensor, settings: LayerSettings, weights: LayerWeights):
    """Audio from itself and visual, then visual from itself and the new audio: (T, B, D) each, in and out.

    Gradients flow to both streams and all weights. They cannot be differentiated again.
    """
    return _LayerFunction.apply(audio, visual, settings, *weights.flat())

"""UWAV's pieces under the names and arguments of the golden values' comparison, which loads this file by its path."""

import numpy as np
import torch

import nets
from utils.features import dense_videos
from utils.features.dense_videos import pool_seconds  # noqa: F401
from utils.metrics.eval_metrics import binarize
from utils.metrics.threshold_sweep import agnostic_threshold, class_thresholds, f1_threshold  # noqa: F401
from utils.train import losses, schedule
from utils.train.losses import video_loss  # noqa: F401
from utils.train.recipe import class_weights, draw_mixup, mix, soft_labels  # noqa: F401
from utils.train.temporal import teacher_loss

RENAMED = {"input_v_2d_dim": "input_v_dim", "input_v_3d_dim": "input_st_dim", "num_han_layers": "num_layers"}


def build_han(pre_norm=False, **arguments):
    """UWAV_Net, from arguments by their published names."""
    settings = {RENAMED.get(name, name): value for name, value in arguments.items()}
    return nets.build("UWAV", **settings, norm_where="pre_norm" if pre_norm else "post_norm")


def han_forward(net, audio, visual, visual_st):
    """The seven outputs, by their names in the golden values."""
    features = net.encode(audio, visual, visual_st)
    output = net.classify(features)
    logits = output.frame_logits
    named = {"global_prob": output.global_prob, "a_prob": output.a_prob, "v_prob": output.v_prob}
    named |= {"a_frame_logits": logits[:, :, 0], "v_frame_logits": logits[:, :, 1]}
    return named | {"a_feat": features[:, :, 0], "v_feat": features[:, :, 1]}


def segment_loss(student, targets, weak, w_pos, w_neg):
    return losses.segment_loss(student, targets, weak, None if w_pos is None else (w_pos, w_neg))


def mixup_loss(features, targets, classifier, lam, perm):
    mixed, mixed_targets = mix(features, targets, lam, perm)
    return losses.segment_loss(classifier(mixed)[None], mixed_targets[None], None, None)


def learning_rate(epoch, lr, lr_min, warm_up, epochs):
    rates = {"lr": lr, "lr_min": lr_min, "warm_up_epoch": warm_up, "epochs": epochs}
    return schedule.learning_rate(epoch, scheduler="warm_up_cos_anneal", stepsize=1, gamma=1.0, **rates)


def decide(global_prob, frame_logits):
    """UWAV decides strictly above 0.5: from the next float32 on."""
    above = np.nextafter(np.float32(0.5), np.float32(1))
    prob = torch.sigmoid(frame_logits)[:, :, None].expand(-1, -1, 2, -1)
    audio, _ = binarize(global_prob.numpy(), prob.numpy(), above, above)  # (B, C, T)
    return torch.from_numpy(audio).transpose(1, 2)


def build_stage1(arguments, text_a, text_v):
    """TemporalTeacher, from arguments by their published names; that of 3D features does nothing."""
    settings = {RENAMED.get(name, name): value for name, value in arguments.items() if name != "input_v_3d_dim"}
    return nets.TemporalTeacher(text_a, text_v, **settings)


def stage1_forward(net, audio, visual, valid):
    return net(audio, visual, valid)


def stage1_loss(logits_a, logits_v, labels, valid, w_pos, w_neg):
    return teacher_loss(logits_a, logits_v, labels, valid, (w_pos, w_neg))


def seconds_labels(duration, annotations, longest, classes):
    """Padded to the longest video."""
    events = [(*annotation["segment"], annotation["label_id"]) for annotation in annotations]
    labels = dense_videos.seconds_labels(duration, events, classes)
    return np.pad(labels, ((0, longest - len(labels)), (0, 0)))

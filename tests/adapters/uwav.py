"""UWAV's pieces under the names and arguments of the golden values' comparison, which loads this file by its path."""

import nets

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

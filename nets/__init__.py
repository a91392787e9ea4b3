"""The paper: HAN encoder, attentive MMIL pooling, the parser. Imports only torch.

Not here: anything about files, training or speed; nets/fast/ has the same layers, faster.
Imports: nothing of this project.
"""

from nets.mmil_net import MMIL_Net

__all__ = ["MMIL_Net"]

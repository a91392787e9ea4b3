"""Pretrained networks that make features: CLIP, CLAP, VGGish, ResNet-152, R(2+1)D-18.

Not here: going through many videos (extract).
Imports: base, llp, media, features.
"""

CLIP_MODEL, CLIP_PRETRAINED = "ViT-L-14-quickgelu", "openai"  # OpenAI trained with QuickGELU

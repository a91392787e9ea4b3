"""Many videos in, files out: restartable, in shards, a bad video costs that video only.

Not here: the networks (encoders), decoding (media).
Imports: base, llp, media, features, encoders.
"""

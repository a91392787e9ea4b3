"""Feature files and what training reads of them: kinds, folders, pooling, packed files, cache, batches.

Not here: how features are computed (encoders).
Imports: nets, base, llp.
"""

"""Video and audio files, decoded as the published pipeline does.

Not here: what networks make of them.
Imports: base, llp.
"""

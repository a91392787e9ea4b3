"""Pages, figures and rows of LaTeX tables of scored predictions.

Not here: the scores (metrics), pages of parsed videos (parse).
Imports: base, llp, metrics.
"""

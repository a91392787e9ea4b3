"""What a data set is, LLP first: classes, splits and weak labels, dense events, annotations, pseudo labels.

Not here: features, scores.
Imports: base.
"""

"""Data sets of other forms, published ones and labels of annotation programs, written in the form that --dataset takes.

Not here: fetching them; what a data set is (llp).
Imports: base, llp, metrics, features.
"""

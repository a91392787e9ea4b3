"""Published data sets of other forms, read and checked, and written in the form that --dataset takes.

Not here: fetching them; what a data set is (llp).
Imports: base, llp, metrics, features.
"""

"""Scores of predictions, on numpy arrays: F-scores, bootstrap intervals, threshold sweeps, tables.

Not here: figures, pages, networks.
Imports: base, llp.
"""

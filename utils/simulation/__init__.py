"""A simulated LLP whose truth is known: label tracks, features, teachers, and the exact posterior of the labels.

Not here: files of the data set (the command utils/simulate.py writes them), networks.
Imports: base, llp, metrics, features.
"""

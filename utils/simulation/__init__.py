"""A simulated LLP whose truth is known: label tracks, features, teachers, and the exact posterior of the labels.

Not here: networks, and training on what is simulated.
Imports: base, llp, metrics, features.
"""

"""Any video to its events, with a trained parser.

Not here: training (train), LLP's clips by the list (extract).
Imports: nets, base, llp, metrics, media, features, encoders, train, report.
"""

"""What is published, fetched and checked: features, models, CSVs, clips.

Not here: computing features (extract).
Imports: base, llp, media, features, extract, train.
"""

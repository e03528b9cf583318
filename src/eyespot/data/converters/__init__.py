"""From other datasets' annotation files to ours (`data.annotations`), a file for each dataset.

Each reader yields `CaptionedImage`s; `pairs.write_pairs` numbers, joins, checks and writes them.
"""

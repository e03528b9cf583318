"""The checker that the test run puts on every function: an int is a float, as in PEP 484."""

from beartype import BeartypeConf, beartype

typechecked = beartype(conf=BeartypeConf(is_pep484_tower=True))

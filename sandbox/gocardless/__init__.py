"""GoCardless's API, version 2015-07-06, as far as Weir uses it."""

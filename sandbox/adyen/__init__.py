"""Adyen's Checkout API, v72, as far as Weir uses it."""

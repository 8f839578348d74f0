"""Committed events, sent to those who don't ask for them."""

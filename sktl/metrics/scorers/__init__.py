"""Scorers of models that have to do in a domain without labels."""

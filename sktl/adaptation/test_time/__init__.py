"""Adaptation while rows come in: statistics of norms, and entropy."""

"""Adaptation step by step along time or another order of domains, by self-training."""

"""Adaptation that trains a network on source and target together."""

"""Learners whose network reads the support set: by memory, in sequence, by attention or by modulation."""

"""Learners that compare codes: prototypes, matching and relation networks."""

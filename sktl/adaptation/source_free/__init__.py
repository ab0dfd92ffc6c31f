"""Adaptation of a fitted classifier to target rows, without the source's."""

"""Data that users hold on a disk, as X and y."""

from sktl.datasets._load_pictures import load_pictures

__all__ = ["load_pictures"]

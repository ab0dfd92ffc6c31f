"""Codes by content: an activation that was computed once, here or in another process, is never computed again."""

from sktl.cache._base import CodeCache
from sktl.cache._disk import DiskCache
from sktl.cache._memory import MemoryCache
from sktl.cache._open import open_cache

__all__ = ["CodeCache", "DiskCache", "MemoryCache", "open_cache"]

"""One general classifier, and a small adapted copy of it for each sub-domain."""

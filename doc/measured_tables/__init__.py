"""The tables and figures of the page "Measured", each made of `benchmarks/results/*.json`."""

"""The benchmark suite: `make bench`. docs/performance.md says what it measures."""

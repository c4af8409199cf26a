"""Comparison of runs."""


def assert_same_results(first, second):
    """Assert that all tables, arrays and weights are equal to the bit."""
    kinds = ("networks/", "tables/", "parts/", "arrays.zarr/")
    hashes = [
        {name: entry.sha256 for name, entry in atlas.entries.items() if name.startswith(kinds)}
        for atlas in (first, second)
    ]
    assert hashes[0] == hashes[1]

"""Comparison of runs."""


def assert_same_results(first, second):
    """Every table, array and weight is the same to the bit."""
    kinds = ("networks/", "tables/", "parts/", "arrays.zarr/")
    hashes = [
        {name: entry.sha256 for name, entry in atlas.entries.items() if name.startswith(kinds)}
        for atlas in (first, second)
    ]
    assert hashes[0] == hashes[1]

"""A study: one TOML file, validated and frozen, and the networks that it names."""

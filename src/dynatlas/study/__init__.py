"""A study: a TOML file, validated and frozen, and the networks that it defines."""

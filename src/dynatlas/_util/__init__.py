"""Messages, representations, arrays and cores: what every package may use."""

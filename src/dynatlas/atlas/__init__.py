"""The atlas folder. Only this package reads or writes it."""

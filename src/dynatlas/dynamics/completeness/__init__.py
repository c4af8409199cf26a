"""What the index sum cannot see: basins, the Morse graph, and the word that a search ends with."""

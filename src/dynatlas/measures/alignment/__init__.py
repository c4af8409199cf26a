"""Measures as objects: fitted to some samples, and scored on others."""

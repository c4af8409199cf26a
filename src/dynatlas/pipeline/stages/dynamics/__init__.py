"""Jobs that find what networks compute: after their training, and on the way."""

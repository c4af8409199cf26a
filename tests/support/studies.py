"""Studies that tests run."""

TINY = """
name = "tiny"
[[tasks]]
kind = "flip_flop"
steps = 6
channels = 1
[population]
architectures = ["vanilla"]
activations = ["tanh"]
units = [4]
l2 = [0.0]
seeds = 2
[training]
iterations = 3
batch_size = 2
validation_trials = 4
[analysis]
fixed_point_starts = 16
"""

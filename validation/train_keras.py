"""Keras' side of imported_networks.py: trains layers on the flip-flop and saves them. Knows no dynatlas.

    KERAS_BACKEND=jax python train_keras.py FOLDER [ITERATIONS]

For SimpleRNN, GRU in both forms and LSTM: FOLDER/NAME.weights.h5, FOLDER/NAME.h5 (the whole model), and FOLDER/NAME.npz
with random states and inputs and the states after one step of the trained cell; for an LSTM (h, c).
"""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

UNITS, CHANNELS, STEPS, BATCH, STATES = 32, 3, 30, 64, 100
LAYERS = {
    "simple_rnn": lambda: layers.SimpleRNN(UNITS, return_sequences=True),
    "gru_reset_after": lambda: layers.GRU(UNITS, return_sequences=True),
    "gru_reset_before": lambda: layers.GRU(UNITS, reset_after=False, return_sequences=True),
    "lstm": lambda: layers.LSTM(UNITS, return_sequences=True),
}


def flip_flop(random, trials):
    """Pulses, and on each channel the sign of the last one."""
    pulses = random.choice([-1.0, 1.0], (trials, STEPS, CHANNELS)) * (random.random((trials, STEPS, CHANNELS)) < 0.2)
    targets = np.zeros_like(pulses)
    for step in range(STEPS):
        before = targets[:, step - 1] if step else 0 * pulses[:, 0]
        targets[:, step] = np.where(pulses[:, step] != 0, pulses[:, step], before)
    return pulses.astype(np.float32), targets.astype(np.float32)


def main():
    """Train and save."""
    folder, iterations = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 600
    for name, make in LAYERS.items():
        keras.utils.set_random_seed(0)
        random = np.random.default_rng(0)
        layer = make()
        model = keras.Sequential([keras.Input((STEPS, CHANNELS)), layer, layers.Dense(CHANNELS)])
        model.compile(keras.optimizers.Adam(0.01, clipnorm=1.0), "mse")
        model.fit(*flip_flop(random, iterations * BATCH), batch_size=BATCH, epochs=1, verbose=0)
        error = model.evaluate(*flip_flop(np.random.default_rng(1), 256), verbose=0)
        model.save_weights(folder / f"{name}.weights.h5")
        model.save(folder / f"{name}.h5")
        states = random.uniform(-1, 1, (STATES, UNITS * (2 if name == "lstm" else 1))).astype(np.float32)
        inputs = random.normal(size=(STATES, CHANNELS)).astype(np.float32)
        given = [states[:, :UNITS], states[:, UNITS:]] if name == "lstm" else [states]
        following = [np.asarray(part) for part in layer.cell(inputs, given)[1]]
        np.savez(
            folder / f"{name}.npz", mse=error, states=states, inputs=inputs, following=np.concatenate(following, axis=1)
        )


if __name__ == "__main__":
    main()

"""Record what Keras' and Flax' recurrent layers answer, as an oracle for ``tests/networks/test_imported_layouts.py``.

Run once, in an environment of its own, and keep the files it writes beside itself:

    python -m venv /tmp/keras-venv && /tmp/keras-venv/bin/pip install keras==3.15.1 flax==0.12.8 jax h5py
    KERAS_BACKEND=jax /tmp/keras-venv/bin/python tests/data/record_keras.py

``keras_*.h5`` are weights and a whole model as Keras saves them; ``keras_runs.npz`` has what each layer makes of random
inputs; ``flax.npz`` has the parameters of Flax' cells by their paths, random states and inputs, and the states after
one step, an LSTM's as (h, c).
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np
from flax import linen, nnx
from keras import layers

N_INPUTS, UNITS, STEPS, TRIALS = 3, 5, 20, 2
HERE = Path(__file__).parent


def record_keras(random):
    """Weights, whole models, and runs."""
    runs = {"inputs": random.normal(size=(TRIALS, STEPS, N_INPUTS)).astype(np.float32)}
    models = {
        "gru_after": [layers.GRU(UNITS, return_sequences=True), layers.Dense(2)],
        "gru_before": [layers.GRU(UNITS, reset_after=False, return_sequences=True), layers.Dense(2)],
        "stack": [
            layers.LSTM(UNITS, return_sequences=True),
            layers.Dropout(0.5),
            layers.GRU(4, activation="relu", return_sequences=True),
            layers.SimpleRNN(3, activation="sigmoid", return_sequences=True),
            layers.Dense(2, activation="softmax"),
        ],
    }
    for name, parts in models.items():
        model = keras.Sequential([keras.Input((None, N_INPUTS)), *parts])
        for weights in model.weights:
            weights.assign(0.6 * random.normal(size=weights.shape))
        if name == "stack":
            model.save(HERE / f"keras_{name}.h5")
            model.save(HERE / f"keras_{name}.keras")
        else:
            model.save_weights(HERE / f"keras_{name}.weights.h5")
        values = runs["inputs"]
        for part in parts:
            shown, values = np.asarray(values), part(values)
        runs[f"{name}_hidden"] = shown
        runs[f"{name}_outputs"] = np.asarray(shown @ np.asarray(parts[-1].kernel) + np.asarray(parts[-1].bias))
    np.savez(HERE / "keras_runs.npz", **runs)


def flat(tree, path):
    """Arrays by their paths."""
    if not hasattr(tree, "items"):
        return {path: np.asarray(tree)}
    return {name: value for key, item in tree.items() for name, value in flat(item, f"{path}/{key}").items()}


def record_flax(random):
    """Parameters and single steps."""
    recorded = {}
    inputs = jnp.asarray(random.normal(size=(8, N_INPUTS)))
    states = jnp.asarray(random.uniform(-1, 1, size=(8, 2 * UNITS)))
    recorded |= {"inputs": inputs, "states": states}

    def carry(name):
        hidden, memory = states[:, :UNITS], states[:, UNITS:]
        return (memory, hidden) if "lstm" in name else hidden

    def keep(name, parameters, following):
        hidden = jnp.concatenate(following[::-1], axis=1) if "lstm" in name else following
        recorded.update(flat(parameters, f"{name}/parameters") | {f"{name}/following": hidden})

    for name, cell in {
        "linen_gru": linen.GRUCell(UNITS, param_dtype=jnp.float64),
        "linen_lstm": linen.LSTMCell(UNITS, param_dtype=jnp.float64),
        "linen_simple": linen.SimpleCell(UNITS, param_dtype=jnp.float64),
    }.items():
        parameters = cell.init(jax.random.key(0), carry(name), inputs)
        parameters = jax.tree.map(lambda leaf: jnp.asarray(0.6 * random.normal(size=leaf.shape)), parameters)
        keep(name, parameters, cell.apply(parameters, carry(name), inputs)[0])
    for name, kind in {
        "nnx_gru": nnx.GRUCell,
        "nnx_lstm": nnx.OptimizedLSTMCell,
        "nnx_simple": nnx.SimpleCell,
    }.items():
        cell = kind(N_INPUTS, UNITS, dtype=jnp.float64, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
        graph, state, rest = nnx.split(cell, nnx.Param, ...)
        state = jax.tree.map(lambda leaf: jnp.asarray(0.6 * random.normal(size=leaf.shape)), state)
        following, _ = nnx.merge(graph, state, rest)(carry(name), inputs)
        keep(name, nnx.to_pure_dict(state), following)
    np.savez(HERE / "flax.npz", **{name: np.asarray(values) for name, values in recorded.items()})


def main():
    """Record everything."""
    random = np.random.default_rng(2019)
    record_keras(random)
    with jax.enable_x64(True):
        record_flax(random)


if __name__ == "__main__":
    main()

"""Random activities, and every variant of the measures of geometry."""

import numpy as np

from dynatlas.measures.registry import MEASURES

# The measures that take [samples, units].
OF_SAMPLES = [name for name, measure in MEASURES.items() if not measure.needs_trials]

SCALED = {"euclidean": True}  # the variant that depends on the scale of activity

HELD_OUT = {"regularization": 0.3, "held_out": 0.4}  # the variant that depends on the order of samples

CORRELATED = {
    "correlation": "cosine",
    "dissimilarity": "correlation",
    "centered": True,
}  # the variant that depends on the number of units

WHITENED = {"alpha": 0}  # the variant that no invertible map changes

VARIANTS = [
    ("svcca", {}),
    ("svcca", {"variance": 0.8}),
    ("svcca", {"variance": 1.0}),
    ("svcca", {"components": 4}),
    ("pwcca", {}),
    ("cca", {}),
    ("cca", {"regularization": 0}),
    ("cca", HELD_OUT),
    ("cka", {}),
    ("cka", {"debiased": True}),
    ("procrustes", {}),
    ("procrustes", SCALED),
    ("rsa", {}),
    ("rsa", {"correlation": "pearson"}),
    ("rsa", CORRELATED),
    ("procrustes", {"alpha": 0.3}),
    ("procrustes", WHITENED),
    ("rbf_cka", {}),
    ("rbf_cka", {"bandwidth": 0.3}),
    ("soft_matching", {}),
    ("predictivity", {}),
    ("predictivity", {"held_out": 0.4, "folds": 3}),
]


def networks(*widths, seed=0, samples=120):
    """Return activities that share six latent variables, so that no distance is near 0 or near its maximum."""
    random = np.random.default_rng(seed)
    latents = random.normal(size=(samples, 6)) * [3, 2, 1.5, 1, 0.7, 0.5]
    return [
        np.tanh(latents @ random.normal(size=(6, width)) / 2)
        + 0.3 * random.normal(size=(samples, width))
        + random.normal(size=width)
        for width in widths
    ]


def rotation(units, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(units, units)))[0]


def cka(X, Y, debiased=False):
    """Compute CKA from samples × samples kernels; debiased by HSIC without diagonals (Song et al. 2012, equation 5)."""
    n = len(X)
    centring = np.eye(n) - 1 / n

    def hsic(A, B):
        if not debiased:
            return np.trace(A @ A.T @ centring @ B @ B.T @ centring)
        K, L = A @ A.T, B @ B.T
        np.fill_diagonal(K, 0)
        np.fill_diagonal(L, 0)
        ones = np.ones(n)
        return (
            np.trace(K @ L)
            + (ones @ K @ ones) * (ones @ L @ ones) / ((n - 1) * (n - 2))
            - 2 / (n - 2) * (ones @ K @ L @ ones)
        ) / (n * (n - 3))

    return 1 - hsic(X, Y) / np.sqrt(hsic(X, X) * hsic(Y, Y))

"""Former name of ``dynatlas.measures``. Plug-ins import it, and their bytes are hashed into ids."""

from dynatlas.measures import (
    CCA,
    CKA,
    MEASURES,
    PWCCA,
    RSA,
    SVCCA,
    Measure,
    Procrustes,
    distance,
    distance_matrix,
    register_measure,
)

__all__ = [
    "CCA",
    "CKA",
    "MEASURES",
    "PWCCA",
    "RSA",
    "SVCCA",
    "Measure",
    "Procrustes",
    "distance",
    "distance_matrix",
    "register_measure",
]

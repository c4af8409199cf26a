"""Distances between networks from their activity on the same samples.

Every measure works in two steps: ``reduce`` does the work per network, once; ``between`` or ``tile`` compares reduced
networks. All are *distances*: 0 for a network and itself. Shifting a unit or reordering units changes none of them, nor
does a common scale of all units (except procrustes with ``euclidean``). dsa and input_dsa compare dynamics, and take
[trials, time, units]; a shift changes these two unless ``centered``. The last column lists the other maps of X that
leave its distance from Y unchanged:

| measure | distance | metric | also unchanged by |
|---|---|---|---|
| svcca | 1 − mean canonical correlation of the leading principal subspaces | no | rotation (``variance=1``: any |
| | | | invertible linear map) |
| pwcca | 1 − canonical correlations weighted by the activity along them | no | nothing (though X and its invertible |
| | | | linear images are 0 apart) |
| cca | 1 − mean regularised canonical correlation | no | rotation (``regularization=0``: any invertible map) |
| cka | 1 − linear centred kernel alignment, biased or debiased | no | rotation |
| procrustes | angle or distance between the best-aligned configurations | yes | rotation |
| rsa | 1 − correlation of the dissimilarities between samples | no | rotation (``dissimilarity="euclidean"``) |
| rbf_cka | 1 − centred alignment of Gaussian kernels | no | rotation |
| soft_matching | √ of the mean squared difference of units under their best assignment | yes | nothing |
| predictivity | 1 − mean R² of linear predictions in both directions, on samples held out | no | rotation |
| dsa | 2-Wasserstein distance between the eigenvalues of the maps that step activity | yes | any invertible linear |
| | ahead | | map (with ``rank``: rotation) |
| input_dsa | the same, of the maps beside the inputs | yes | the same |
"""

from dynatlas.measures.alignment.alignment import Alignment as Alignment
from dynatlas.measures.behavior import profile_distance as profile_distance
from dynatlas.measures.description import intrinsic_dimension as intrinsic_dimension
from dynatlas.measures.description import participation_ratio as participation_ratio
from dynatlas.measures.description import selectivity as selectivity
from dynatlas.measures.distances import distance as distance
from dynatlas.measures.distances import distance_matrix as distance_matrix
from dynatlas.measures.distances import reduced as reduced
from dynatlas.measures.distances import settings_of as settings_of
from dynatlas.measures.distances import similarity as similarity
from dynatlas.measures.dynamics.dsa import DSA as DSA
from dynatlas.measures.dynamics.dsa import InputDSA as InputDSA
from dynatlas.measures.geometry.cca import CCA as CCA
from dynatlas.measures.geometry.cca import PWCCA as PWCCA
from dynatlas.measures.geometry.cca import SVCCA as SVCCA
from dynatlas.measures.geometry.cka import CKA as CKA
from dynatlas.measures.geometry.predictivity import Predictivity as Predictivity
from dynatlas.measures.geometry.procrustes import Procrustes as Procrustes
from dynatlas.measures.geometry.rbf_cka import RBFCKA as RBFCKA
from dynatlas.measures.geometry.rsa import RSA as RSA
from dynatlas.measures.geometry.soft_matching import SoftMatching as SoftMatching
from dynatlas.measures.measure import Measure as Measure
from dynatlas.measures.registry import BUILT_IN as BUILT_IN
from dynatlas.measures.registry import MEASURES as MEASURES
from dynatlas.measures.registry import measure_of as measure_of
from dynatlas.measures.registry import register_measure as register_measure

"""Out-of-distribution distance: how unlike the training cells a cell is. No torch here.

Mahalanobis distance, in the features before the last layer, to the nearest class (Lee et al. 2018,
arXiv:1807.03888, without its input noise and layer weights), averaged over the members.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

_SHRINKAGE = 1e-3
# features of wide networks hardly vary in more directions than this, and a whitening of all of them is as
# large as the network
_MOST_DIRECTIONS = 256


@dataclass(frozen=True, slots=True, eq=False)
class OodReference:
    """Features of the training cells, for m members with d features each.

    Attributes
    ----------
    whitening : ndarray of float32, shape (m, d, r)
        Features times this have unit covariance within the classes; r is d, of wide features the 256
        directions in which they vary most.
    centres : ndarray of float32, shape (m, k, r)
        Means of the classes, whitened.
    """

    whitening: NDArray[np.float32]
    centres: NDArray[np.float32]

    @classmethod
    def of(cls, features: NDArray[np.float32], labels: NDArray[np.int64]) -> OodReference:
        """Reference from features (m, n, d) of n cells and their classes (n,)."""
        pairs = [_reference(member.astype(np.float64), labels) for member in features]
        whitening, centres = zip(*pairs, strict=True)
        return cls(np.stack(whitening).astype(np.float32), np.stack(centres).astype(np.float32))

    def joined(self, features: NDArray[np.float32], labels: NDArray[np.integer]) -> OodReference:
        """With the class means of more cells, features (m, n, d) and classes (n,), in the same spread."""
        classes = np.unique(labels)
        means = np.stack([features[:, labels == k].mean(axis=1) for k in classes], axis=1)
        more = np.einsum("mkd,mde->mke", means, self.whitening)
        return OodReference(self.whitening, np.concatenate([self.centres, more], axis=1).astype(np.float32))

    def distance(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Distance (n,) of cells with features (m, n, d), in standard deviations a feature."""
        members = np.stack([self.member_distance(i, member) for i, member in enumerate(features)])
        distance: NDArray[np.float32] = members.mean(axis=0, dtype=np.float64).astype(np.float32)
        return distance

    def member_distance(self, member: int, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same (n,) by one member alone, from its features (n, d)."""
        centres, white = self.centres[member], features @ self.whitening[member]
        gaps = (white**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * white @ centres.T
        distance: NDArray[np.float32] = np.sqrt(np.maximum(gaps.min(axis=1), 0) / white.shape[1])
        return distance

    def to_bytes(self) -> bytes:
        """As a file of a bundle: safetensors."""
        return save({"whitening": self.whitening, "centres": self.centres})

    @classmethod
    def from_bytes(cls, content: bytes) -> OodReference:
        """What :meth:`to_bytes` wrote."""
        arrays = load(content)
        return cls(arrays["whitening"], arrays["centres"])


def _reference(
    features: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if features.shape[1] > _MOST_DIRECTIONS:
        _, directions = np.linalg.eigh(np.cov(features, rowvar=False))  # in ascending order of variance
        widest = directions[:, -_MOST_DIRECTIONS:]
        whitening, means = _reference(features @ widest, labels)
        return widest @ whitening, means
    classes = np.unique(labels)
    means = np.stack([features[labels == k].mean(axis=0) for k in classes])
    within = features - means[np.searchsorted(classes, labels)]
    covariance = within.T @ within / len(within)
    d = len(covariance)
    # few cells leave directions without any spread; a little of the mean spread goes to each
    covariance += np.eye(d) * (_SHRINKAGE * np.trace(covariance) / d + np.finfo(np.float32).tiny)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    return whitening, means @ whitening

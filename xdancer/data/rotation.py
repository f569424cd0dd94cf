"""Rotations as matrices and quaternions, vectorised over leading axes. Quaternions are (w, x, y, z), unit."""

import numpy as np


def unit(v: np.ndarray, eps: float = 1e-9) -> np.ndarray:
    """Vectors scaled to length 1 along the last axis; a null vector stays null."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), eps)


def to_quaternion(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) rotation matrices -> (..., 4) unit quaternions, by the largest of the four candidates."""
    m = np.asarray(matrix, dtype=np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    squares = np.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], axis=-1)
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    rows = np.stack(
        [
            np.stack([squares[..., 0], a, b, c], axis=-1),
            np.stack([a, squares[..., 1], d, e], axis=-1),
            np.stack([b, d, squares[..., 2], f], axis=-1),
            np.stack([c, e, f, squares[..., 3]], axis=-1),
        ],
        axis=-2,
    )
    best = np.argmax(squares, axis=-1)
    return unit(np.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :])


def to_matrix(quaternion: np.ndarray) -> np.ndarray:
    """(..., 4) quaternions of any length -> (..., 3, 3) rotation matrices."""
    q = unit(np.asarray(quaternion))
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    out = np.empty((*q.shape[:-1], 3, 3), dtype=q.dtype)
    out[..., 0, 0], out[..., 0, 1], out[..., 0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)
    out[..., 1, 0], out[..., 1, 1], out[..., 1, 2] = 2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)
    out[..., 2, 0], out[..., 2, 1], out[..., 2, 2] = 2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)
    return out


def blend(a: np.ndarray, b: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
    """Normalised interpolation of quaternions (..., 4) along the shorter arc: weight 0 gives `a`, 1 gives `b`."""
    weight = np.asarray(weight)
    sign = np.where((a * b).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    return unit((1 - weight) * a + weight * sign * b)


def continuous(quaternion: np.ndarray) -> np.ndarray:
    """Quaternions (T, ..., 4) with signs chosen so that neighbours in time lie on the same side of the sphere."""
    dots = (quaternion[1:] * quaternion[:-1]).sum(-1)
    signs = np.cumprod(np.where(dots < 0, -1.0, 1.0), axis=0)
    return np.concatenate([quaternion[:1], quaternion[1:] * signs[..., None]])


def about(axis: np.ndarray, angle: np.ndarray | float) -> np.ndarray:
    """Rotation matrices (..., 3, 3) by `angle` (...) radians about unit `axis` (..., 3)."""
    half = np.asarray(angle, dtype=np.float64)[..., None] / 2
    vector = np.sin(half) * np.asarray(axis)
    scalar = np.broadcast_to(np.cos(half), (*vector.shape[:-1], 1))
    return to_matrix(np.concatenate([scalar, vector], axis=-1))


def turn(vectors: np.ndarray, axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rodrigues: `vectors` (..., 3) turned by `angle` (...) about unit `axis` (..., 3); all broadcast."""
    cos, sin = np.cos(angle)[..., None], np.sin(angle)[..., None]
    along = (vectors * axis).sum(-1, keepdims=True)
    return vectors * cos + np.cross(axis, vectors) * sin + axis * along * (1 - cos)


def frame(primary: np.ndarray, secondary: np.ndarray) -> np.ndarray:
    """Right-handed orthonormal frames (..., 3, 3), columns: along `primary`, towards `secondary`, and their cross."""
    x = unit(primary)
    z = unit(np.cross(x, secondary))
    return np.stack([x, np.cross(z, x), z], axis=-1)

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xdancer.data import rotation

seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_quaternions_and_matrices_agree(seed: int) -> None:
    q = rotation.unit(np.random.default_rng(seed).normal(size=(7, 3, 4)))
    back = rotation.to_quaternion(rotation.to_matrix(q))
    np.testing.assert_allclose(np.abs((q * back).sum(-1)), 1, atol=1e-9)
    matrix = rotation.to_matrix(q)
    np.testing.assert_allclose(
        matrix @ np.swapaxes(matrix, -1, -2), np.broadcast_to(np.eye(3), matrix.shape), atol=1e-9
    )


def test_half_turns_survive() -> None:
    for axis in np.eye(3):
        matrix = rotation.about(axis, np.pi)
        np.testing.assert_allclose(rotation.to_matrix(rotation.to_quaternion(matrix)), matrix, atol=1e-9)


def test_a_quarter_turn_about_y_carries_z_to_x() -> None:
    np.testing.assert_allclose(rotation.about(np.array([0.0, 1, 0]), np.pi / 2) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    turned = rotation.turn(np.array([0.0, 0, 1]), np.array([0.0, 1, 0]), np.array(np.pi / 2))
    np.testing.assert_allclose(turned, [1, 0, 0], atol=1e-12)


@given(seeds)
def test_blend_goes_the_shorter_way(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rotation.unit(rng.normal(size=(2, 4)))
    middle = rotation.blend(a, b, 0.5)
    np.testing.assert_allclose(abs(middle @ a), abs(middle @ b), atol=1e-9)
    assert abs(middle @ a) >= np.cos(np.pi / 4) - 1e-9
    np.testing.assert_allclose(
        rotation.to_matrix(rotation.blend(a, -b, 0.3)), rotation.to_matrix(rotation.blend(a, b, 0.3)), atol=1e-9
    )


def test_continuous_only_changes_signs() -> None:
    q = rotation.unit(np.random.default_rng(0).normal(size=(20, 2, 4)))
    smooth = rotation.continuous(q)
    np.testing.assert_allclose(rotation.to_matrix(smooth), rotation.to_matrix(q), atol=1e-12)
    assert ((smooth[1:] * smooth[:-1]).sum(-1) >= 0).all()

"""Pose to picture."""

from xdancer.renderer.skeleton import SkeletonRenderer, SkeletonStream

__all__ = ["SkeletonRenderer", "SkeletonStream"]

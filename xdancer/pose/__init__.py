"""Poses: the 60-joint layout on the canvas."""

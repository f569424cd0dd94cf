"""The diffusion renderer."""

from xdancer.renderer.diffusion.renderer import PictureStream, Renderer

__all__ = ["PictureStream", "Renderer"]

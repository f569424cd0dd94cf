"""Raw motion capture, rigged avatars and songs to a training corpus."""

import zipfile
import zlib

# What reading a damaged npz, BVH or GLB may raise.
DAMAGED = (OSError, KeyError, ValueError, IndexError, EOFError, zipfile.BadZipFile, zlib.error)

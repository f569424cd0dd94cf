"""Reading the pickles of others without running their code: numpy arrays in plain containers, nothing else."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

ALLOWED = {
    ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"), ("collections", "OrderedDict"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
}  # fmt: skip


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may call: how numpy rebuilds its arrays."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it wants {module}.{name}, and only numpy arrays are read")
        return super().find_class(module, name)


def read_arrays(path: Path) -> Any:
    """What a pickle, or an npy (also one that holds a pickled object), contains.

    Raises ValueError in one line where it holds anything but arrays, numbers, text and containers of these, or is
    damaged; OSError where it cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            if file.read(6) != b"\x93NUMPY":
                file.seek(0)
                return _Arrays(file).load()
            file.seek(0)
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            if dtype.hasobject:
                held = _Arrays(file).load()
                return held.item() if shape == () else held
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
        except OSError:
            raise
        except Exception as error:  # a damaged pickle raises almost anything
            raise ValueError(f"{type(error).__name__}: {error}".splitlines()[0]) from error

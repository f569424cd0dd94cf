"""Being here puts tests/engine/ on the import path: tests take their stand-ins from `fakes`."""

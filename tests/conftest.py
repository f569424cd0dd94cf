"""Being here puts tests/ on the import path: tests take tiny models from `models`."""

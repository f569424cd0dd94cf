"""X-Dancer's own choreographer (arXiv 2502.17414, section 3.3): one flat GPT-2 over all tokens, in segments of 64
frames. Beside the live two-level model it is what comparisons are made with; it streams, trains and renders as that
does, as fast as the machine is."""

"""The clock of the show: exact clocks from outside, what a hand taps, and how the dance follows them and the sound."""

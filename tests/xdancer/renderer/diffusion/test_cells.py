"""What is around: means by running sums, against those of a library."""

import pytest
import torch
from torch.nn import functional as F

from xdancer.renderer.diffusion.cells import mean_around


@pytest.mark.parametrize("reach", [1, 4, 20])
def test_means_are_those_of_a_window_however_wide(reach: int) -> None:
    values = torch.rand(2, 3, 30, 17, generator=torch.Generator().manual_seed(reach)) - 0.5
    wide = F.pad(values, (reach, reach, reach, reach))  # 0 beyond the edge
    torch.testing.assert_close(mean_around(values, reach), F.avg_pool2d(wide, 2 * reach + 1, 1), atol=1e-6, rtol=1e-4)

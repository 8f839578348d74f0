"""Networks of PyTorch with seeded weights, as their authors write them; imported where torch is, not by tests."""

from itertools import pairwise

import torch
from torch import nn

STRIDES = (8, 16, 32)
HEIGHT, WIDTH = 64, 96
CLASSES = 3


class Backbone(nn.Module):
    """Convolution, normalisation and SiLU at strides 2 to 32; gives the levels of strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 8, 16, 24, 32, 48)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.SiLU())
            for before, after in pairwise(widths)
        )

    def forward(self, picture: torch.Tensor) -> list[torch.Tensor]:
        levels = []
        for stage in self.stages:
            picture = stage(picture)
            levels.append(picture)
        return levels[2:]


class YoloxLike(nn.Module):
    """Raw rows `[b, n, 5 + C]`, as YOLOX gives them with `decode_in_inference` off."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.boxes = nn.ModuleList(nn.Conv2d(width, 4, 1) for width in (24, 32, 48))
        self.objectness = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in (24, 32, 48))
        self.classes = nn.ModuleList(nn.Conv2d(width, CLASSES, 1) for width in (24, 32, 48))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        levels = [
            torch.cat([box(level), objectness(level).sigmoid(), classes(level).sigmoid()], 1)
            for level, box, objectness, classes in zip(
                self.backbone(picture / 255), self.boxes, self.objectness, self.classes, strict=True
            )
        ]
        return torch.cat([level.flatten(start_dim=2) for level in levels], dim=2).permute(0, 2, 1)


class Yolov8Like(nn.Module):
    """Decoded columns `[b, 4 + C, n]` of a head with box distributions, as YOLOv8 exports them."""

    def __init__(self, bins: int = 16) -> None:
        super().__init__()
        self.bins = bins
        self.backbone = Backbone()
        self.boxes = nn.ModuleList(nn.Conv2d(width, 4 * bins, 1) for width in (24, 32, 48))
        self.classes = nn.ModuleList(nn.Conv2d(width, CLASSES, 1) for width in (24, 32, 48))
        cells = [(y + 0.5, x + 0.5, s) for s in STRIDES for y in range(HEIGHT // s) for x in range(WIDTH // s)]
        y, x, stride = torch.tensor(cells).T
        self.register_buffer("anchors", torch.stack([x, y])[None])
        self.register_buffer("stride", stride[None, None])
        self.register_buffer("steps", torch.arange(bins, dtype=torch.float32).view(1, bins, 1, 1))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        levels = self.backbone(picture)
        box = torch.cat([conv(level).flatten(2) for level, conv in zip(levels, self.boxes, strict=True)], 2)
        score = torch.cat([conv(level).flatten(2) for level, conv in zip(levels, self.classes, strict=True)], 2)
        rows = box.view(box.shape[0], 4, self.bins, -1).transpose(1, 2).softmax(1)
        near, far = (rows * self.steps).sum(1).chunk(2, 1)
        first, last = self.anchors - near, self.anchors + far
        return torch.cat([torch.cat([(first + last) / 2, last - first], 1) * self.stride, score.sigmoid()], 1)


class ClassifierLike(nn.Module):
    """Logits `[b, C]` behind a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.head = nn.Linear(48, 5)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(picture)[-1].mean((2, 3)))


class Undecided(nn.Module):
    """Does what its picture says."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return picture * 2 if picture.sum() > 0 else picture


def _seeded(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    network = kind()
    for parameter in network.parameters():  # wide enough that scores pass a threshold
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=1.2 / parameter[0].numel() ** 0.5)
    return network.eval()


def yolox_like() -> nn.Module:
    return _seeded(YoloxLike)


def yolov8_like() -> nn.Module:
    return _seeded(Yolov8Like)


def classifier() -> nn.Module:
    return _seeded(ClassifierLike)


def undecided() -> nn.Module:
    return Undecided()


def state() -> dict[str, torch.Tensor]:
    return yolox_like().state_dict()


def broken() -> nn.Module:
    raise ValueError("weights.pt is not here")

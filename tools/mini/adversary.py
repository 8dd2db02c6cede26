"""Adversarial examples: pictures optimised against the current student.

An encoder trained on photographs and paintings only is easily fooled: a picture optimised against
it fills with patterns that it, unlike VGG19, takes for the style. So a few pictures are optimised
towards paintings by Gatys' method on the current student, and fed to both networks: the student
learns the teacher's features along its own optimisation paths.
"""

from __future__ import annotations

from typing import Any

import torch
from tools.mini.corpus import Corpus
from torch import Generator, Tensor
from torch.optim import Adam

from atelier.nn.losses import content_loss, gram, gram_loss
from atelier.nn.pretrained.mini import Mini

CONTENT = "relu4_1"
STEPS, VISITS = 4, 12
"""Optimiser steps per visit; visits until all pictures are replaced."""
LR = 0.04
"""Learning rate in [0, 1] units; the entry ``gatys`` has the equivalent 0.2 ImageNet deviations."""

TENSORS = ("content", "style", "weight", "image")


class Adversary:
    """``count`` pictures being optimised from a photograph (or noise) towards a style."""

    def __init__(self, corpus: Corpus, count: int, device: str) -> None:
        self.corpus, self.count, self.device, self.age = corpus, count, device, 0

    def visit(self, student: Mini, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Optimise the pictures further; return them, their contents and their styles."""
        if self.age % VISITS == 0:
            self._replace(generator)
        self.age += 1
        with torch.no_grad():
            of_content = student(self.content)[CONTENT]
            of_style = {tap: gram(value) for tap, value in student(self.style).items()}
        for _ in range(STEPS):
            self._step(student, of_content, of_style)
        return self.image.detach().clone(), self.content, self.style

    def _replace(self, generator: Generator) -> None:
        content, style = (self.corpus.draw(self.count, generator) for _ in range(2))
        # From a hundredth to ten times the weight in the entry `gatys`, for diverse paths.
        exponent = 3.5 + 3 * torch.rand(self.count, generator=generator)
        noise = 0.3 * torch.randn(content.shape, generator=generator)
        noisy = (torch.rand((self.count, 1, 1, 1), generator=generator) < 0.3).float()
        self._start(content, style, 10**exponent, (content + noisy * noise).clamp(0, 1))

    def _start(self, content: Tensor, style: Tensor, weight: Tensor, image: Tensor) -> None:
        self.content, self.style = content.to(self.device), style.to(self.device)
        self.weight = weight.to(self.device)
        self.image = image.to(self.device).clone().requires_grad_()
        self.optimizer = Adam([self.image], lr=LR)

    def _step(self, student: Mini, of_content: Tensor, of_style: dict[str, Tensor]) -> None:
        found = student(self.image)
        style = torch.stack([gram_loss(found[tap], target) for tap, target in of_style.items()])
        loss = content_loss(found[CONTENT], of_content) + self.weight * style.sum(0)
        (self.image.grad,) = torch.autograd.grad(loss.sum(), self.image)
        self.optimizer.step()
        with torch.no_grad():
            self.image.clamp_(0, 1)

    def state(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        tensors = {name: getattr(self, name).detach() for name in TENSORS}
        return {"age": self.age, **tensors, "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from ``state``."""
        self.age = state["age"]
        self._start(**{name: state[name] for name in TENSORS})
        self.optimizer.load_state_dict(state["optimizer"])

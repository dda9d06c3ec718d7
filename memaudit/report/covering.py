"""How images were corrupted, and how much of them a level leaves, in the words of a report."""

from __future__ import annotations

from dataclasses import dataclass, replace

from memaudit.config import RESTORATIONS
from memaudit.run.record import Record


@dataclass(frozen=True)
class Covering:
    """What a report says of one way to corrupt images, noise or what hides a part of them.

    `done` is what was done to an image, `made` what the model makes of it, `tells` what its coming
    back tells; `finding` names a finding of reproduction and `means` says what it means.
    """

    hides: bool
    done: str
    made: str
    tells: str
    finding: str
    means: str
    copy: str
    under: str
    begins: str
    axis: str
    easy: str
    other: str

    def left(self, snr_db: float) -> str:
        """How much of an image a level leaves, in dB and in words."""
        return f"{decibels(snr_db)}: {self.parts(snr_db)}"

    def parts(self, snr_db: float) -> str:
        """The same as parts of picture and of noise, by their amplitudes, or as the share seen."""
        if self.hides:
            ratio = 10 ** (snr_db / 10)
            return f"{ratio / (1 + ratio):.2g} of the picture was seen"
        sigma = 10 ** (-snr_db / 20)
        if sigma >= 1:
            return f"1 part picture to {sigma:.2g} parts noise"
        return f"{1 / sigma:.2g} parts picture to 1 part noise"


NOISE = Covering(
    hides=False,
    done="covered with strong noise",
    made="reconstruction",
    tells=(
        "A model that has memorized an image may bring it back from noise through which other "
        "models cannot."
    ),
    finding="Recovered from a noised copy",
    means=(
        "the image was covered with so much noise that at most 1 in 100 controls come back as a "
        "copy, and a copy came back, by the measure that compared the pictures. This is evidence "
        "that the model can restore it from a noised copy, and that it was trained on, too."
    ),
    copy=(
        "the embedder calls what came back from noise a copy, from noise from which at most 1 in "
        "100 controls come back as one"
    ),
    under="under noise",
    begins="a noised copy of the image",
    axis="Signal that the noise left, dB (left: less)",
    easy="at weak noise any image comes back",
    other="the most similar other image",
)
DONE = {  # by the attacks that hide a part of an image
    RESTORATIONS["mask-random"]: "hidden here and there, pixel by pixel",
    RESTORATIONS["mask-box"]: "hidden in a box",
    RESTORATIONS["mask-half"]: "hidden in one half",
    RESTORATIONS["mask-object"]: "hidden where it shows an object",
    RESTORATIONS["noise+mask"]: "hidden here and there, and covered with noise elsewhere",
    RESTORATIONS["downsample"]: "made smaller",
    RESTORATIONS["blur"]: "blurred",
}
HIDDEN = Covering(
    hides=True,
    done="hidden in part",
    made="restoration",
    tells=(
        "A model that has memorized an image may restore what was hidden of it, where other models "
        "can only guess."
    ),
    finding="Restored where it was hidden",
    means=(
        "the hidden part of the image came back as a copy, by the measure that compared the "
        "pictures, although so much was hidden that this happens for at most 1 in 100 controls. "
        "This is evidence that the model can restore the image from a part of it, and that it was "
        "trained on, too."
    ),
    copy=(
        "the embedder calls what was restored a copy of what was hidden, where so much was hidden "
        "that at most 1 in 100 controls come back so"
    ),
    under="with a part hidden",
    begins="a part of the image",
    axis="What was seen against what was hidden, dB (left: less seen)",
    easy="where much is seen any image is restored",
    other="the other image whose hidden part is nearest by pixels",
)


def covering(record: Record) -> Covering:
    """How the images of a scan were corrupted, by the attack that reproduction rests on."""
    primary = record.prepared.primary
    return replace(HIDDEN, done=DONE[primary.attack]) if primary.hides else NOISE


def decibels(snr_db: float) -> str:
    """A ratio in dB, with a true minus sign."""
    return f"{snr_db:.1f} dB".replace("-", "\N{MINUS SIGN}")

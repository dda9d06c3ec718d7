"""How much of an image a noise level leaves, in words."""

from __future__ import annotations


def decibels(snr_db: float) -> str:
    """A signal-to-noise ratio, with a true minus sign."""
    return f"{snr_db:.1f} dB".replace("-", "\N{MINUS SIGN}")


def parts(snr_db: float) -> str:
    """The same as parts of picture and of noise, by their amplitudes."""
    sigma = 10 ** (-snr_db / 20)
    if sigma >= 1:
        return f"1 part picture to {sigma:.2g} parts noise"
    return f"{1 / sigma:.2g} parts picture to 1 part noise"


def left(snr_db: float) -> str:
    """What the corruption left, in dB and in words."""
    return f"{decibels(snr_db)}: {parts(snr_db)}"

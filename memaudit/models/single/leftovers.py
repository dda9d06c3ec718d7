"""Tensors of single files that no part of a model needs, and why: anything else is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Beside the parts, or in them: what begins names, or all of it, and the reason. None is looked at.
BESIDE = {
    r"(sqrt_(one_minus_|recip_|recipm1_)?|log_one_minus_)?alphas_cumprod(_prev)?": "noise schedule",
    r"posterior_(variance|log_variance_clipped|mean_coef[12])": "noise schedule",
    r"betas|logvar|lvlb_weights|denoiser\.(log_)?sigmas|model_sampling\..*": "noise schedule",
    r"global_step": "count of training steps",
    r"v_pred|ztsnr": "says what the network predicts",
    r".*\.embeddings\.position_ids": "counts from 0",
    r"(cond_stage_model|conditioner|text_encoders)\..*logit_scale": "training of CLIP alone",
    r"cond_stage_model\.model\.attn_mask": "mask of causal attention",
    r"first_stage_model\.loss\..*": "training of the VAE alone",
    r"model_ema\.(decay|num_updates)": "training alone",
    r"scaled_fp8|.*\.scaled_fp8": "says that fp8 weights are scaled",
    r".*\.scale_weight": "scale of fp8 weights",
    r".*\.scale_input": "scale of activations in fp8, in which nothing is computed here",
}
# In the parts, where what is made of these does without.
INSIDE = {
    r".*\.resblocks\.23\..*": "Stable Diffusion 2 hears the layer before the last",
    r".*text_projection(\.weight)?": "the encoder is heard before its projection",
    r"(.*\.)?norm_final\.weight": "no layer uses it",
    r"(.*\.)?pos_embed": "places are computed",
    r"(.*\.)?y_embedder\.y_embedding": "what training showed for no caption",
}


def beside(names: Iterable[str]) -> dict[str, str]:
    """Those of these names that nothing needs, with the reason."""
    return _found(BESIDE, names)


def inside(names: Iterable[str]) -> dict[str, str]:
    """Those of these names that a part does without, with the reason."""
    return _found(INSIDE, names)


def _found(reasons: dict[str, str], names: Iterable[str]) -> dict[str, str]:
    patterns = {re.compile(pattern): reason for pattern, reason in reasons.items()}
    return {
        name: reason
        for name in names
        for pattern, reason in patterns.items()
        if pattern.fullmatch(name)
    }

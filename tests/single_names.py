"""Names of tensors in single files, made of those of diffusers and transformers."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

type Tensors = dict[str, Tensor]

RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("time_emb_proj", "emb_layers.1"),
    ("conv_shortcut", "skip_connection"),
)
OF_UNET = (
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
)


def unet(tensors: Tensors) -> Tensors:
    """The UNet of Stable Diffusion as LDM names it."""
    resnets = [re.match(r"down_blocks\.0\.resnets\.(\d+)", name) for name in tensors]
    layers = 1 + max(int(match[1]) for match in resnets if match)
    attending = {name.split(".")[1] for name in tensors if re.match(r"up_blocks\.\d+\.att", name)}

    def renamed(name: str) -> str:
        for ours, theirs in OF_UNET:
            if name.startswith(f"{ours}."):
                return theirs + name.removeprefix(ours)
        block, rest = name.split(".", 1)
        if block == "mid_block":
            kind, k, inner = rest.split(".", 2)
            place = 1 if kind == "attentions" else 2 * int(k)
            return f"middle_block.{place}.{_inner(kind, inner)}"
        b, kind, k, inner = rest.split(".", 3)
        first = int(b) * (layers + 1)
        if kind == "upsamplers":
            return f"output_blocks.{first + layers}.{2 if b in attending else 1}.{inner}"
        if kind == "downsamplers":
            return f"input_blocks.{1 + first + layers}.0.op.{inner.removeprefix('conv.')}"
        side = f"input_blocks.{1 + first + int(k)}"
        if block == "up_blocks":
            side = f"output_blocks.{first + int(k)}"
        return f"{side}.{1 if kind == 'attentions' else 0}.{_inner(kind, inner)}"

    return {renamed(name): one for name, one in tensors.items()}


def _inner(kind: str, inner: str) -> str:
    if kind == "attentions":
        return inner
    for ours, theirs in RESNET:
        inner = re.sub(rf"^{ours}\.", f"{theirs}.", inner)
    return inner


def vae(tensors: Tensors) -> Tensors:
    """An AutoencoderKL as LDM names it."""
    blocks = 1 + max(int(name.split(".")[2]) for name in tensors if "decoder.up_blocks." in name)

    def renamed(name: str) -> str:
        for ours, theirs in (
            (r"\.down_blocks\.(\d+)\.resnets\.(\d+)\.", r".down.\1.block.\2."),
            (r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".down.\1.downsample."),
            (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
            (r"\.conv_norm_out\.", ".norm_out."),
            (r"\.conv_shortcut\.", ".nin_shortcut."),
            (r"\.group_norm\.", ".norm."),
            (r"\.to_([qkv])\.", r".\1."),
            (r"\.to_out\.0\.", ".proj_out."),
        ):
            name = re.sub(ours, theirs, name)
        name = re.sub(
            r"\.up_blocks\.(\d+)\.", lambda match: f".up.{blocks - 1 - int(match[1])}.", name
        )
        name = re.sub(
            r"\.mid_block\.resnets\.(\d)", lambda match: f".mid.block_{int(match[1]) + 1}", name
        )
        return name.replace(".resnets.", ".block.").replace(".upsamplers.0.", ".upsample.")

    made = {renamed(name): one for name, one in tensors.items()}
    convolved = re.compile(r".*\.mid\.attn_1\.(q|k|v|proj_out)\.weight")
    return {n: one[..., None, None] if convolved.fullmatch(n) else one for n, one in made.items()}


def clip(tensors: Tensors) -> Tensors:
    """A CLIP of transformers, with the names of old."""
    return {
        name if name.startswith("text_") else f"text_model.{name}": one
        for name, one in tensors.items()
    }


def open_clip(tensors: Tensors) -> Tensors:
    """A CLIP as OpenCLIP names it, with what only its training needs."""
    made: Tensors = {"logit_scale": torch.tensor(4.6)}
    names = {
        r"^text_model\.": "",
        r"embeddings\.token_embedding": "token_embedding",
        r"embeddings\.position_embedding\.weight": "positional_embedding",
        r"final_layer_norm": "ln_final",
        r"text_projection\.weight": "text_projection",
        r"encoder\.layers": "transformer.resblocks",
        r"layer_norm": "ln_",
        r"mlp\.fc1": "mlp.c_fc",
        r"mlp\.fc2": "mlp.c_proj",
        r"self_attn": "attn",
    }
    for name, one in renamed(clip(tensors), names).items():
        made[name] = one.T.contiguous() if name == "text_projection" else one
    return fused(made, "", ("q_proj", "k_proj", "v_proj"), "in_proj_")


def fused(tensors: Tensors, where: str, parts: tuple[str, ...], joined: str) -> Tensors:
    """Join in one tensor what diffusers splits; `where` is what names begin with."""
    made = dict(tensors)
    for name in tensors:
        match = re.fullmatch(rf"({where}.*\.){re.escape(parts[0])}\.(weight|bias)", name)
        if match is not None:
            split = [made.pop(f"{match[1]}{part}.{match[2]}") for part in parts]
            made[f"{match[1]}{joined}{match[2]}"] = torch.cat(split)
    return made


def renamed(tensors: Tensors, names: Mapping[str, str]) -> Tensors:
    """Every pattern replaced, one after the other."""
    for ours, theirs in names.items():
        tensors = {re.sub(ours, theirs, name): one for name, one in tensors.items()}
    return tensors


def swapped(tensors: Tensors, *names: str) -> Tensors:
    """What diffusers calls scale and shift is the other way round in files."""
    halves = {
        name: torch.cat([*one.chunk(2)][::-1])
        for name, one in tensors.items()
        if name.removesuffix(".weight").removesuffix(".bias") in names
    }
    return tensors | halves


QKV = ("attn.to_q", "attn.to_k", "attn.to_v")
ADDED = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")


def sd3(tensors: Tensors) -> Tensors:
    """The transformer of Stable Diffusion 3."""
    last = max(int(name.split(".")[1]) for name in tensors if name.startswith("transformer_blocks"))
    made = swapped(tensors, "norm_out.linear", f"transformer_blocks.{last}.norm1_context.linear")
    made = fused(made, "transformer", QKV, "x_block.attn.qkv.")
    made = fused(made, "transformer", ADDED, "context_block.attn.qkv.")
    made = fused(made, "transformer", tuple(f"attn2.to_{k}" for k in "qkv"), "x_block.attn2.qkv.")
    return renamed(
        made,
        {
            r"\.attn(2?)\.to_out\.0\.": r".x_block.attn\1.proj.",
            r"\.attn(2?)\.norm_([qk])\.": r".x_block.attn\1.ln_\2.",
            r"\.attn\.norm_added_([qk])\.": r".context_block.attn.ln_\1.",
            r"\.attn\.to_add_out\.": ".context_block.attn.proj.",
            r"\.norm1\.linear\.": ".x_block.adaLN_modulation.1.",
            r"\.norm1_context\.linear\.": ".context_block.adaLN_modulation.1.",
            r"\.ff\.net\.0\.proj\.": ".x_block.mlp.fc1.",
            r"\.ff\.net\.2\.": ".x_block.mlp.fc2.",
            r"\.ff_context\.net\.0\.proj\.": ".context_block.mlp.fc1.",
            r"\.ff_context\.net\.2\.": ".context_block.mlp.fc2.",
            r"^transformer_blocks\.": "joint_blocks.",
            r"^pos_embed\.proj\.": "x_embedder.proj.",
            r"^pos_embed\.pos_embed$": "pos_embed",
            r"^time_text_embed\.timestep_embedder\.": "t_embedder.",
            r"^time_text_embed\.text_embedder\.": "y_embedder.",
            r"^([ty]_embedder)\.linear_1\.": r"\1.mlp.0.",
            r"^([ty]_embedder)\.linear_2\.": r"\1.mlp.2.",
            r"^proj_out\.": "final_layer.linear.",
            r"^norm_out\.linear\.": "final_layer.adaLN_modulation.1.",
        },
    )


OF_FLUX = {  # 1 and 2
    r"\.attn\.norm_q\.weight": ".img_attn.norm.query_norm.scale",
    r"\.attn\.norm_k\.weight": ".img_attn.norm.key_norm.scale",
    r"\.attn\.norm_added_q\.weight": ".txt_attn.norm.query_norm.scale",
    r"\.attn\.norm_added_k\.weight": ".txt_attn.norm.key_norm.scale",
    r"\.attn\.to_out\.0\.": ".img_attn.proj.",
    r"\.attn\.to_add_out\.": ".txt_attn.proj.",
    r"\.norm1\.linear\.": ".img_mod.lin.",
    r"\.norm1_context\.linear\.": ".txt_mod.lin.",
    r"\.ff\.(net\.0\.proj|linear_in)\.": ".img_mlp.0.",
    r"\.ff\.(net\.2|linear_out)\.": ".img_mlp.2.",
    r"\.ff_context\.(net\.0\.proj|linear_in)\.": ".txt_mlp.0.",
    r"\.ff_context\.(net\.2|linear_out)\.": ".txt_mlp.2.",
    r"^(single_transformer_blocks\.\d+)\.img_attn\.norm\.": r"\1.norm.",
    r"^(single_transformer_blocks\.\d+)\.norm\.linear\.": r"\1.modulation.lin.",
    r"^(single_transformer_blocks\.\d+)\.(proj_out|attn\.to_out)\.": r"\1.linear2.",
    r"^(single_transformer_blocks\.\d+)\.attn\.to_qkv_mlp_proj\.": r"\1.linear1.",
    r"^single_transformer_blocks\.": "single_blocks.",
    r"^transformer_blocks\.": "double_blocks.",
    r"^time_(text|guidance)_embed\.timestep_embedder\.": "time_in.",
    r"^time_text_embed\.text_embedder\.": "vector_in.",
    r"^time_(text|guidance)_embed\.guidance_embedder\.": "guidance_in.",
    r"^(time|vector|guidance)_in\.linear_1\.": r"\1_in.in_layer.",
    r"^(time|vector|guidance)_in\.linear_2\.": r"\1_in.out_layer.",
    r"^(double|single)_stream_modulation(.*)\.linear\.": r"\1_stream_modulation\2.lin.",
    r"^context_embedder\.": "txt_in.",
    r"^x_embedder\.": "img_in.",
    r"^proj_out\.": "final_layer.linear.",
    r"^norm_out\.linear\.": "final_layer.adaLN_modulation.1.",
}


def flux(tensors: Tensors) -> Tensors:
    """The transformer of FLUX.1 or 2."""
    made = swapped(tensors, "norm_out.linear")
    if any(".proj_mlp." in name for name in made):
        made = fused(made, "single_transformer_blocks", (*QKV, "proj_mlp"), "linear1.")
    made = fused(made, "transformer_blocks", QKV, "img_attn.qkv.")
    return renamed(fused(made, "transformer_blocks", ADDED, "txt_attn.qkv."), OF_FLUX)


def z_image(tensors: Tensors) -> Tensors:
    """The transformer of Z-Image."""
    parts = ("attention.to_q", "attention.to_k", "attention.to_v")
    return renamed(
        fused(tensors, "", parts, "attention.qkv."),
        {
            r"^all_(final_layer|x_embedder)\.2-1\.": r"\1.",
            r"\.attention\.to_out\.0\.": ".attention.out.",
            r"\.attention\.norm_([qk])\.": r".attention.\1_norm.",
        },
    ) | {"norm_final.weight": torch.ones(4)}


def lumina2(tensors: Tensors) -> Tensors:
    """The transformer of Lumina-Image 2.0."""
    return renamed(
        fused(tensors, "", QKV, "attention.qkv."),
        {
            r"^time_caption_embed\.caption_embedder\.": "cap_embedder.",
            r"^time_caption_embed\.timestep_embedder\.linear_1\.": "t_embedder.mlp.0.",
            r"^time_caption_embed\.timestep_embedder\.linear_2\.": "t_embedder.mlp.2.",
            r"^norm_out\.linear_1\.": "final_layer.adaLN_modulation.1.",
            r"^norm_out\.linear_2\.": "final_layer.linear.",
            r"\.attn\.to_out\.0\.": ".attention.out.",
            r"\.attn\.norm_([qk])\.": r".attention.\1_norm.",
            r"\.linear_([123])\.": r".w\1.",
            r"\.norm1\.linear\.": ".adaLN_modulation.1.",
            r"(\d)\.norm1(\.norm)?\.": r"\1.attention_norm1.",
            r"(\d)\.norm2\.": r"\1.attention_norm2.",
        },
    ) | {"norm_final.weight": torch.ones(4)}


def sana(tensors: Tensors) -> Tensors:
    """The transformer of Sana, with what its training kept beside it."""
    made = fused(tensors, "", ("attn1.to_q", "attn1.to_k", "attn1.to_v"), "attn.qkv.")
    made = fused(made, "", ("attn2.to_k", "attn2.to_v"), "cross_attn.kv_linear.")
    return renamed(
        made,
        {
            r"\.attn2\.to_q\.": ".cross_attn.q_linear.",
            r"\.attn2\.to_out\.0\.": ".cross_attn.proj.",
            r"\.attn1\.to_out\.0\.": ".attn.proj.",
            r"\.ff\.conv_inverted\.": ".mlp.inverted_conv.conv.",
            r"\.ff\.conv_depth\.": ".mlp.depth_conv.conv.",
            r"\.ff\.conv_point\.": ".mlp.point_conv.conv.",
            r"^transformer_blocks\.": "blocks.",
            r"^patch_embed\.": "x_embedder.",
            r"^time_embed\.emb\.timestep_embedder\.linear_1\.": "t_embedder.mlp.0.",
            r"^time_embed\.emb\.timestep_embedder\.linear_2\.": "t_embedder.mlp.2.",
            r"^time_embed\.linear\.": "t_block.1.",
            r"^caption_projection\.linear_([12])\.": r"y_embedder.y_proj.fc\1.",
            r"^caption_norm\.": "attention_y_norm.",
            r"^proj_out\.": "final_layer.linear.",
            r"^scale_shift_table$": "final_layer.scale_shift_table",
        },
    ) | {"pos_embed": torch.zeros(1, 4, 4), "y_embedder.y_embedding": torch.zeros(4, 4)}


def same(tensors: Tensors) -> Tensors:
    """Names that single files share with diffusers and transformers."""
    return dict(tensors)

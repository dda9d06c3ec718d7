"""Tiny pipelines of every family, with random weights and tokenizers that were trained on words."""

import json
from collections.abc import Callable
from pathlib import Path

from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    LDMPipeline,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    UNet2DModel,
    VQModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tiny import WIDTH, text_config, write_sd, write_sdxl, write_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizerFast,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PixtralImageProcessor,
    PixtralProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

WORDS = ["a photo of a cat", "two cats on a mat", "a red boat at sea", "a house, by night"] * 20
TOKENS, T5_TOKENS = 310, 34  # rows of the text encoders; a little more than there are tokens
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
SMALL = {"hidden_size": WIDTH, "intermediate_size": 48, **HEADS}
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] if "
    "message['content'] is string else message['content'][0]['text'] }}<|im_end|>\n{% endfor %}"
)


def write_sd3(folder: Path, t5: bool = True, channels: int = 16) -> Path:
    """Images of 32 px, latents of 16 cells in patches of two."""
    clip = write_tokenizer(folder / "tokenizer")
    return _save(
        folder,
        StableDiffusion3Pipeline,
        vae=_vae(16, scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=CLIPTextModelWithProjection(text_config()),
        text_encoder_2=CLIPTextModelWithProjection(text_config()),
        text_encoder_3=T5EncoderModel(_t5(2 * WIDTH)) if t5 else None,
        tokenizer=clip,
        tokenizer_2=clip,
        tokenizer_3=t5_tokenizer() if t5 else None,
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=channels,
            out_channels=16,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=2 * WIDTH,
            caption_projection_dim=16,
            pooled_projection_dim=2 * WIDTH,
            pos_embed_max_size=24,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def write_flux(folder: Path, guided: bool = True) -> Path:
    """Images of 32 px if asked for, with or without distilled guidance."""
    return _save(
        folder,
        FluxPipeline,
        vae=_vae(4, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=CLIPTextModel(text_config()),
        text_encoder_2=T5EncoderModel(_t5(WIDTH)),
        tokenizer=write_tokenizer(folder / "tokenizer"),
        tokenizer_2=t5_tokenizer(),
        transformer=FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            guidance_embeds=guided,
            axes_dims_rope=(4, 6, 6),
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )


def write_flux2(folder: Path) -> Path:
    """Told by a Mistral of thirty-one layers, of which three are heard."""
    text = {**SMALL, "num_hidden_layers": 31, "vocab_size": TOKENS, "model_type": "mistral"}
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8}
    config = Mistral3Config(
        text_config=text,
        vision_config={**vision, "intermediate_size": 16, "model_type": "pixtral"},
        image_token_index=3,
    )
    return _save(
        folder,
        Flux2Pipeline,
        vae=_vae_of_flux2(),
        text_encoder=Mistral3ForConditionalGeneration(config),
        tokenizer=PixtralProcessor(
            image_processor=PixtralImageProcessor(), tokenizer=_bpe(PreTrainedTokenizerFast)
        ),
        transformer=_transformer_of_flux2(guided=True),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )


def write_flux2_klein(folder: Path) -> Path:
    """Told by a Qwen3 of twenty-eight layers."""
    config = Qwen3Config(**SMALL, num_hidden_layers=28, vocab_size=TOKENS)
    return _save(
        folder,
        Flux2KleinPipeline,
        vae=_vae_of_flux2(),
        text_encoder=Qwen3ForCausalLM(config),
        tokenizer=_bpe(Qwen2Tokenizer),
        transformer=_transformer_of_flux2(guided=False),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )


def write_pixart(folder: Path, kind: type = PixArtAlphaPipeline, sized: bool = True) -> Path:
    """With a learned variance; `sized`: told the size of the image, too."""
    return _save(
        folder,
        kind,
        vae=_vae(4, scaling_factor=0.18215),
        text_encoder=T5EncoderModel(_t5(WIDTH)),
        tokenizer=t5_tokenizer(),
        transformer=PixArtTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=4,
            out_channels=8,
            num_layers=1,
            cross_attention_dim=24,
            sample_size=16,
            caption_channels=WIDTH,
            use_additional_conditions=sized,
        ),
        scheduler=DPMSolverMultistepScheduler(beta_schedule="linear"),
    )


def write_pixart_sigma(folder: Path) -> Path:
    """Told no size."""
    return write_pixart(folder, PixArtSigmaPipeline, sized=False)


def write_sana(folder: Path) -> Path:
    """Over latents of an AutoencoderDC."""
    return _save(
        folder,
        SanaPipeline,
        vae=AutoencoderDC(
            latent_channels=4,
            attention_head_dim=4,
            encoder_block_types=("ResBlock", "EfficientViTBlock"),
            decoder_block_types=("ResBlock", "EfficientViTBlock"),
            encoder_block_out_channels=(8, 8),
            decoder_block_out_channels=(8, 8),
            encoder_qkv_multiscales=((), (5,)),
            decoder_qkv_multiscales=((), (5,)),
            encoder_layers_per_block=(1, 1),
            decoder_layers_per_block=(1, 1),
            upsample_block_type="interpolate",
            downsample_block_type="stride_conv",
            scaling_factor=0.41407,
        ),
        text_encoder=Gemma2Model(_gemma()),
        tokenizer=_bpe(GemmaTokenizerFast),
        transformer=SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=1,
            num_cross_attention_heads=2,
            cross_attention_head_dim=8,
            cross_attention_dim=16,
            caption_channels=WIDTH,
            sample_size=16,
        ),
        scheduler=DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )


def write_lumina2(folder: Path) -> Path:
    """Its time runs backwards."""
    return _save(
        folder,
        Lumina2Pipeline,
        vae=_vae(4, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=Gemma2Model(_gemma()),
        tokenizer=_bpe(GemmaTokenizerFast),
        transformer=Lumina2Transformer2DModel(
            sample_size=16,
            in_channels=4,
            hidden_size=24,
            num_layers=1,
            num_refiner_layers=1,
            num_attention_heads=2,
            num_kv_heads=1,
            multiple_of=8,
            axes_dim_rope=(4, 4, 4),
            axes_lens=(300, 32, 32),
            cap_feat_dim=WIDTH,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
    )


def write_qwen_image(folder: Path) -> Path:
    """Over latents of a video VAE."""
    text = {**SMALL, "num_hidden_layers": 2, "vocab_size": TOKENS, "max_window_layers": 2}
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "type": "default"}
    config = Qwen2_5_VLConfig(
        text_config={**text, "rope_scaling": rope, "rope_theta": 1000000.0},
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
        },
        vision_start_token_id=3,
        vision_end_token_id=4,
        image_token_id=5,
        video_token_id=6,
    )
    return _save(
        folder,
        QwenImagePipeline,
        vae=AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 1],
            num_res_blocks=1,
            temperal_downsample=[False],
            latents_mean=[0.1, -0.2, 0.0, 0.3],
            latents_std=[1.1, 0.9, 2.0, 1.5],
        ),
        text_encoder=Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=_bpe(Qwen2Tokenizer),
        transformer=QwenImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            axes_dims_rope=(4, 6, 6),
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )


def write_z_image(folder: Path) -> Path:
    """Its time runs backwards, and it is asked for lists."""
    return _save(
        folder,
        ZImagePipeline,
        vae=_vae(16, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=Qwen3Model(Qwen3Config(**SMALL, num_hidden_layers=2, vocab_size=TOKENS)),
        tokenizer=_bpe(Qwen2Tokenizer),
        transformer=ZImageTransformer2DModel(
            in_channels=16,
            dim=32,
            n_layers=1,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=WIDTH,
            axes_dims=[4, 6, 6],
            axes_lens=[256, 32, 32],
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def write_ldm(folder: Path) -> Path:
    """Unconditional, over latents of a VQModel."""
    return _save(
        folder,
        LDMPipeline,
        vqvae=VQModel(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=3,
            num_vq_embeddings=32,
            norm_num_groups=4,
        ),
        unet=UNet2DModel(
            sample_size=16,
            in_channels=3,
            out_channels=3,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D",) * 2,
            up_block_types=("UpBlock2D",) * 2,
            norm_num_groups=4,
            layers_per_block=1,
        ),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.0015, beta_end=0.0195, clip_sample=False
        ),
    )


WRITERS: dict[str, Callable[[Path], Path]] = {
    "StableDiffusionPipeline": write_sd,
    "StableDiffusionXLPipeline": write_sdxl,
    "StableDiffusion3Pipeline": write_sd3,
    "FluxPipeline": write_flux,
    "Flux2Pipeline": write_flux2,
    "Flux2KleinPipeline": write_flux2_klein,
    "PixArtAlphaPipeline": write_pixart,
    "PixArtSigmaPipeline": write_pixart_sigma,
    "SanaPipeline": write_sana,
    "Lumina2Pipeline": write_lumina2,
    "QwenImagePipeline": write_qwen_image,
    "ZImagePipeline": write_z_image,
    "LDMPipeline": write_ldm,
}


def t5_tokenizer() -> T5TokenizerFast:
    """A Unigram tokenizer, as that of T5, trained on a few words."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(WORDS, trainer)
    vocabulary = [tuple(each) for each in json.loads(tokenizer.to_str())["model"]["vocab"]]
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=512)


def _save(folder: Path, kind: type, **parts: object) -> Path:
    kind(**parts).save_pretrained(folder)
    return folder


def _bpe(kind: type) -> object:
    """A tokenizer of bytes, as those of Qwen, trained on a few words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(WORDS, trainer)
    if kind is PreTrainedTokenizerFast:
        made = kind(
            tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", chat_template=CHAT
        )
    else:
        content = json.loads(tokenizer.to_str())["model"]
        merges = [tuple(each) for each in content["merges"]]
        made = kind(vocab=content["vocab"], merges=merges, model_max_length=512)
        made.pad_token, made.chat_template = "<pad>", CHAT
    return made


def _vae(channels: int, **more: object) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=32,
        **more,
    )


def _vae_of_flux2() -> AutoencoderKLFlux2:
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
    )
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 2)
    return vae


def _transformer_of_flux2(guided: bool) -> Flux2Transformer2DModel:
    return Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * WIDTH,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guided,
    )


def _t5(width: int) -> T5Config:
    return T5Config(vocab_size=T5_TOKENS, d_model=width, d_kv=8, d_ff=32, num_layers=2, num_heads=2)


def _gemma() -> Gemma2Config:
    return Gemma2Config(**SMALL, num_hidden_layers=2, vocab_size=TOKENS, query_pre_attn_scalar=16)

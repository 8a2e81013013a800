"""What we do with GGUF files ourselves: read one fact, rewrite what OpenVINO cannot read, write the smallest one.

OpenVINO GenAI reads the quantisations in `READABLE` and gives up on any other. `requantise` copies a
file and turns only the tensors of another kind into Q8_0, whose error is far below that of the five bits
they come from. The other choice, Q4_1, makes the engine a fifth faster on one text and no faster on
twelve, and takes one bit in five away from models that have none to spare.
"""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType, ReaderField, quants

from ..errors import ModelFileError

READABLE = frozenset({Kind.F32, Kind.F16, Kind.BF16, Kind.Q4_0, Kind.Q4_1, Kind.Q8_0, Kind.Q4_K, Kind.Q6_K})
_ARCHITECTURE = "general.architecture"
_FILE_TYPE = "general.file_type"
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # of GGUF's value types, in bytes
_STRING, _ARRAY = 8, 9


def context_length(path: Path) -> int:
    """Read from a GGUF file how many tokens its model was made for.

    `GGUFReader` would take seconds to list a vocabulary that nobody asked for; this takes microseconds.
    """
    with path.open("rb") as file:
        _magic, _version, _tensors, fields = struct.unpack("<4sIQQ", file.read(24))
        for _ in range(fields):
            name, kind = _string(file), _number(file, 4)
            if name.endswith(b".context_length"):
                return _number(file, _WIDTHS[kind])
            _skip(file, kind)
    raise ModelFileError(f"{path} does not say how many tokens its model takes")


def requantise(source: Path, target: Path, *, on_tensor: Callable[[int, int], None]) -> None:
    """Copy *source* to *target*, with every tensor in a quantisation that OpenVINO can read.

    Args:
        on_tensor: Told after each tensor how many are done, of how many.
    """
    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields[_ARCHITECTURE].contents())
    for field in reader.fields.values():
        _copy_field(field, writer)
    for done, tensor in enumerate(reader.tensors, 1):
        if tensor.tensor_type in READABLE:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        else:
            values = quants.dequantize(tensor.data, tensor.tensor_type)
            writer.add_tensor(tensor.name, quants.quantize(values, Kind.Q8_0), raw_dtype=Kind.Q8_0)
        on_tensor(done, len(reader.tensors))
    _write(writer)


def write_blank(path: Path) -> None:
    """Write the smallest model that OpenVINO loads: one layer of zeros, three tokens.

    It answers nothing sensible, and takes a tenth of a second to load.
    """
    width, tokens = 64, ["<end>", "a", "b", "ab"]
    writer = GGUFWriter(path, "llama")
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_block_count(1)
    writer.add_context_length(width)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 1, 1, 1])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    writer.add_tensor("token_embd.weight", np.zeros((len(tokens), width), np.float16))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((width, width), np.float16))
    _write(writer)


def _copy_field(field: ReaderField, writer: GGUFWriter) -> None:
    if field.name.startswith("GGUF.") or field.name == _ARCHITECTURE:
        return  # the writer's own
    if field.name == _FILE_TYPE:
        writer.add_file_type(LlamaFileType.MOSTLY_Q8_0)
        return
    kind = field.types[0]
    writer.add_key_value(field.name, field.contents(), kind, field.types[-1] if kind is GGUFValueType.ARRAY else None)


def _write(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _number(file: BinaryIO, width: int) -> int:
    return int.from_bytes(file.read(width), "little")


def _string(file: BinaryIO) -> bytes:
    return file.read(_number(file, 8))


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        _string(file)
    elif kind == _ARRAY:
        inner, count = _number(file, 4), _number(file, 8)
        if inner in _WIDTHS:
            file.seek(count * _WIDTHS[inner], os.SEEK_CUR)
        else:
            for _ in range(count):
                _skip(file, inner)
    else:
        file.seek(_WIDTHS[kind], os.SEEK_CUR)

"""How are codes unpacked and scaled, value by value? Compiled loops of `unpacking`, which checks their arguments."""

from __future__ import annotations

import numpy as np

from qanalysis.kernels.lanes import compiled

# Unsigned indices: numba then leaves out the wrap-around of negative ones, and LLVM can use vector stores.


@compiled()
def split_nibbles(rows, first_shift, codes):
    """Both nibbles of each byte, that at `first_shift` first."""
    first, second = np.uint8(first_shift), np.uint8(4 - first_shift)
    pairs = np.uint64(codes.shape[1] // 2)
    for row in range(rows.shape[0]):
        source, target = rows[row], codes[row]
        for i in range(pairs):
            target[i + i] = (source[i] >> first) & np.uint8(15)
            target[i + i + np.uint64(1)] = (source[i] >> second) & np.uint8(15)
        if codes.shape[1] % 2:
            target[pairs + pairs] = (source[pairs] >> first) & np.uint8(15)


@compiled()
def split_bytes(rows, bits, codes):
    """The codes of each byte from its highest bits down."""
    per_byte, mask = 8 // bits, np.uint8((1 << bits) - 1)
    for row in range(rows.shape[0]):
        for k in range(codes.shape[1]):
            codes[row, k] = (rows[row, k // per_byte] >> np.uint8(8 - bits * (k % per_byte + 1))) & mask


@compiled()
def unpack_stream(rows, bits, codes):
    """The stream of codes of each row, eight at a time: they fill `bits` bytes."""
    mask, width = np.uint64((1 << bits) - 1), np.uint64(bits)
    blocks = codes.shape[1] // 8
    for row in range(rows.shape[0]):
        source, target = rows[row], codes[row]
        for block in range(blocks):
            word = np.uint64(0)
            for i in range(bits):
                word |= np.uint64(source[np.uint64(block * bits + i)]) << np.uint64(8 * i)
            place = np.uint64(8 * block)
            for j in range(np.uint64(8)):
                target[place + j] = np.uint8((word >> (width * j)) & mask)
        for k in range(8 * blocks, codes.shape[1]):
            place = k * bits
            word = np.uint64(source[place // 8])
            if place % 8 + bits > 8:
                word |= np.uint64(source[place // 8 + 1]) << np.uint64(8)
            target[k] = np.uint8((word >> np.uint64(place % 8)) & mask)


@compiled()
def split_words(words, bits, order, codes):
    """Each field of the words as a row of its own."""
    per_word, mask = order.size, np.uint32((1 << bits) - 1)
    for group in range(words.shape[0]):
        for field in range(per_word):
            source, target = words[group], codes[group * per_word + order[field]]
            shift = np.uint32(field * bits)
            for k in range(np.uint64(words.shape[1])):
                target[k] = np.uint8((source[k] >> shift) & mask)


@compiled()
def scale_groups(codes, zeros, scales, length, values):
    for row in range(codes.shape[0]):
        source, target = codes[row], values[row]
        for group in range(scales.shape[1]):
            zero, scale = zeros[row, group], scales[row, group]
            for k in range(np.uint64(group * length), np.uint64(min((group + 1) * length, codes.shape[1]))):
                target[k] = (np.float32(source[k]) - zero) * scale


@compiled()
def scale_by_index(codes, zeros, scales, index, values):
    for row in range(codes.shape[0]):
        source, target, zero, scale = codes[row], values[row], zeros[row], scales[row]
        for k in range(np.uint64(codes.shape[1])):
            group = np.uint64(index[k])
            target[k] = (np.float32(source[k]) - zero[group]) * scale[group]


@compiled()
def shift_groups(codes, scales, offsets, length, values):
    for row in range(codes.shape[0]):
        source, target = codes[row], values[row]
        for group in range(scales.shape[1]):
            offset, scale = offsets[row, group], scales[row, group]
            for k in range(np.uint64(group * length), np.uint64(min((group + 1) * length, codes.shape[1]))):
                target[k] = np.float32(source[k]) * scale + offset


@compiled()
def look_up_groups(codes, table, scales, length, values):
    mask = np.uint64(table.size - 1)
    for row in range(codes.shape[0]):
        source, target = codes[row], values[row]
        for group in range(scales.shape[1]):
            scale = scales[row, group]
            for k in range(np.uint64(group * length), np.uint64(min((group + 1) * length, codes.shape[1]))):
                target[k] = table[np.uint64(source[k]) & mask] * scale

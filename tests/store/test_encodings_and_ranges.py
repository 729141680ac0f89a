"""Small inverses: states through their encodings, sets of numbers through their ranges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deformer_qa.cli.options import ENCODINGS
from deformer_qa.store import ENCODING_NAMES, InvalidRecord
from deformer_qa.store.encodings import encoding_named
from deformer_qa.store.segments import ranges


def tables(largest: float):
    numbers = st.floats(-largest, largest, width=32)
    return st.integers(1, 5).flatmap(
        lambda width: st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=1, max_size=6)
    )


@given(tables(float(np.float32(3e38))))
def test_int8_is_off_by_at_most_half_a_scale(table):
    states = np.array(table, dtype=np.float32)
    encoded = encoding_named("int8").encode(states)
    decoded = encoding_named("int8").decode(encoded)
    assert (encoded.values.dtype, encoded.scales.dtype, decoded.dtype) == (np.int8, np.float32, np.float32)
    smallest = 127 * float(np.finfo(np.float32).smallest_subnormal)
    bound = np.abs(states.astype(np.float64)).max(axis=1) / 254 * (1 + 1e-4) + smallest
    assert (np.abs(decoded.astype(np.float64) - states).max(axis=1) <= bound).all()


@given(tables(65504.0))
def test_fp16_is_off_by_at_most_one_part_in_2048(table):
    states = np.array(table, dtype=np.float32)
    decoded = encoding_named("fp16").decode(encoding_named("fp16").encode(states))
    assert (np.abs(decoded - states) <= np.abs(states) / 2048 + 2.0**-24).all()


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 1000), st.sampled_from([1e-4, 1.0, 3e5]))
def test_int4_is_off_by_at_most_half_a_scale_of_its_group(half_width, n_tokens, seed, size):
    states = (np.random.default_rng(seed).standard_normal((n_tokens, 2 * half_width)) * size / 6).astype(np.float32)
    encoding = encoding_named("int4")
    encoded = encoding.encode(states)
    assert (encoded.values.shape[1], encoded.scales.shape[1]) == encoding.widths(2 * half_width)
    decoded = encoding.decode(encoded)
    for first in range(0, 2 * half_width, 32):
        group = states[:, first : first + 32]
        bound = np.abs(group).max(axis=1) * (0.5 / 7 + 7 * 2**-11) + 7 * 2.0**-24  # the scale is in half precision
        assert (np.abs(decoded[:, first : first + 32] - group).max(axis=1) <= bound).all()


@pytest.mark.parametrize("name", ["fp16", "int8", "int4"])
def test_zeros_stay_zeros(name):
    encoding = encoding_named(name)
    assert not encoding.decode(encoding.encode(np.zeros((3, 4), np.float32))).any()


@pytest.mark.parametrize("name", ["fp16", "int4"])
def test_values_that_an_encoding_cannot_hold_are_refused(name):
    with pytest.raises(InvalidRecord, match=f"found a value of 1e\\+06, {name} holds up to"):
        encoding_named(name).encode(np.full((1, 4), 1e6, np.float32))


@pytest.mark.parametrize(("name", "width"), [("int4", 7), ("pq4", 6), ("pq6", 8)])
def test_states_of_a_width_that_an_encoding_cannot_take_are_refused(name, width):
    with pytest.raises(InvalidRecord, match=f"found states {width} wide, expected"):
        encoding_named(name).widths(width)


def test_every_encoding_has_a_name_for_the_command_line():
    assert set(ENCODINGS) == set(ENCODING_NAMES)


@given(st.sets(st.integers(0, 80)), st.lists(st.integers(0, 80), max_size=20))
def test_ranges_hold_exactly_the_numbers_they_were_made_from(numbers, others):
    made = ranges.from_numbers(numbers)
    probes = np.arange(-2, 90)
    assert ranges.to_numbers(made).tolist() == sorted(numbers)
    assert ranges.count(made) == len(numbers)
    assert ranges.contains(made, probes).tolist() == [probe in numbers for probe in probes.tolist()]
    assert all(ranges.contains_one(made, probe) == (probe in numbers) for probe in range(5))
    assert ranges.are_valid(made, 81)
    assert not made or not ranges.are_valid(made, max(numbers))
    assert ranges.to_numbers(ranges.without(made, np.array(others, np.int64))).tolist() == sorted(numbers - set(others))


@given(st.lists(st.integers(-3, 20), max_size=6))
def test_only_ascending_pairs_within_the_limit_are_ranges(borders):
    made = tuple(borders)
    expected = len(made) % 2 == 0 and list(made) == sorted(set(made)) and all(0 <= number <= 15 for number in made)
    assert ranges.are_valid(made, 15) == expected

"""Tests of efficientnet_lite0.py that need no weights; what it makes of the weights is pinned by hash."""

import io
import os
import pickle
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import efficientnet_lite0 as converter


class Reading(unittest.TestCase):
    def test_any_other_global_is_refused(self):
        for harmful in (os.system, eval, print):
            with self.assertRaisesRegex(pickle.UnpicklingError, "not allowed"):
                converter.Reader(io.BytesIO(pickle.dumps(harmful, protocol=2))).load()

    def test_a_tensor_stored_in_another_order_is_put_in_order(self):
        # Stored as [kernel, in, out] = [2, 3, 2], read as [out, in, kernel].
        stored = struct.pack("<12f", *range(12))
        got = struct.unpack("<12f", converter.contiguous(stored, (2, 3, 2), (1, 2, 6)))
        want = tuple(float(k * 6 + i * 2 + o) for o in range(2) for i in range(3) for k in range(2))
        self.assertEqual(got, want)

    def test_axes_of_one_element_are_kept_in_order(self):
        stored = struct.pack("<4f", *range(4))
        self.assertEqual(converter.contiguous(stored, (4, 1, 1), (1, 4, 4)), stored)
        self.assertEqual(converter.contiguous(stored[:4], (), ()), stored[:4])

    def test_a_tensor_that_is_not_the_whole_of_its_storage_is_refused(self):
        storage = ("FloatStorage", "0", 6)
        for offset, shape, stride in ((1, (5,), (1,)), (0, (5,), (1,)), (0, (2, 3), (0, 1)), (0, (2, 3), (4, 1))):
            with self.assertRaises(pickle.UnpicklingError):
                converter.rebuild_tensor(storage, offset, shape, stride)
        self.assertEqual(converter.rebuild_tensor(storage, 0, (2, 3), (1, 2)).shape, (2, 3))

    def test_a_file_of_another_layout_is_refused(self):
        with self.assertRaises(ValueError):
            converter.read_weights(pickle.dumps(1) + pickle.dumps(converter.PROTOCOL))


class Writing(unittest.TestCase):
    def test_numbers_are_written_as_protocol_buffers_do(self):
        # Examples of the encoding's description: 150 is 96 01; field 1 with 150 is 08 96 01.
        self.assertEqual(converter.varint(150), b"\x96\x01")
        self.assertEqual(converter.number(1, 150), b"\x08\x96\x01")
        self.assertEqual(converter.chunk(2, "testing"), b"\x12\x07testing")


if __name__ == "__main__":
    unittest.main()

"""Makes smaller and faster variants of an ONNX file: int8 by static quantization, or float16.

`serve models optimize` runs this program, and measures what it makes. It needs onnx and onnxruntime, and imports nothing of the
package, so that it also runs alone:

    python quantize.py --model model.onnx --rows rows --out out --to int8 --weight-bits 7 --methods entropy,percentile

rows has one file NNNNN-INPUT.npy per image and input, and inputs.json with the names of the inputs: what the server's
preprocessing makes of calibration images. Standard output has one JSON object per line: {"progress": TEXT} or
{"candidate": FILE, "method": METHOD, "left_out": [NODES]}.
"""

import argparse
import json
import logging
import pathlib
import sys

import numpy
import onnx
import onnxruntime

# Operators with weights, between which activations are quantized.
COMPUTE = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
# How ranges of activations are found, as onnxruntime.quantization.CalibrationMethod names it.
METHODS = {"percentile": "Percentile", "entropy": "Entropy", "minmax": "MinMax"}


def say(**values):
    print(json.dumps(values), flush=True)


class Rows:
    """The calibration data, as onnxruntime.quantization.CalibrationDataReader has it."""

    def __init__(self, folder, method):
        folder = pathlib.Path(folder)
        self.names = json.loads((folder / "inputs.json").read_text())
        self.files = sorted(folder.glob("*-0.npy"))
        self.method = method
        self.at, self.end = 0, len(self.files)

    def __len__(self):
        return len(self.files)

    def set_range(self, start_index, end_index):
        self.at, self.end = start_index, end_index

    def get_next(self):
        if self.at >= self.end:
            return None
        first = self.files[self.at]
        self.at += 1
        if self.at % 10 == 0 or self.at == len(self.files):
            say(progress=f"calibrating by {self.method}: {self.at} of {len(self.files)} images")
        number = first.name.split("-")[0]
        return {name: numpy.load(first.with_name(f"{number}-{i}.npy")) for i, name in enumerate(self.names)}

    def __iter__(self):
        return self

    def __next__(self):
        data = self.get_next()
        if data is None:
            raise StopIteration
        return data


def ends(model):
    """Returns the nodes with weights that nothing with weights precedes or follows, in the order of the graph."""
    graph = model.graph
    producers = {output: node for node in graph.node for output in node.output}
    consumers = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)

    def reach(names, step):
        found, seen, open_names = [], set(), list(names)
        while open_names:
            name = open_names.pop()
            if name in seen:
                continue
            seen.add(name)
            for node in step(name):
                if node.op_type in COMPUTE:
                    found.append(node.name)
                else:
                    open_names.extend(node.output if step is forward else node.input)
        return found

    def forward(name):
        return consumers.get(name, [])

    def backward(name):
        return [producers[name]] if name in producers else []

    initial = {i.name for i in graph.initializer}
    picked = set(reach([i.name for i in graph.input if i.name not in initial], forward))
    picked |= set(reach([o.name for o in graph.output], backward))
    return [node.name for node in graph.node if node.name in picked]


def prepare(source, work):
    """Folds constants and batch normalizations, infers shapes, and gives every node a name. Returns the path of the result.

    onnxruntime's quant_pre_process would do the same, but without its symbolic shapes it drops what it has folded.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(work / "folded.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    path = work / "prepared.onnx"
    onnx.shape_inference.infer_shapes_path(work / "folded.onnx", path)
    model = onnx.load(path)
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{i}"
    onnx.save(model, path)
    return path


def keep_metadata(path, source, record):
    """Gives a file the metadata of the original, and a record of how it was made."""
    model = onnx.load(path)
    properties = {p.key: p.value for p in onnx.load(source, load_external_data=False).metadata_props}
    properties["fovea.optimized"] = json.dumps(record)
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, path)


def int8(options):
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    work = options.out / "work"
    work.mkdir(exist_ok=True)
    say(progress="preparing the model")
    prepared = prepare(options.model, work)
    left_out = ends(onnx.load(prepared, load_external_data=False)) if options.leave_out == "ends" else []
    for method in options.methods.split(","):
        say(progress=f"quantizing by {method}")
        out = options.out / f"int8-{method}-{options.leave_out}.onnx"
        quantize_static(
            str(prepared), str(out), Rows(options.rows, method),
            quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=options.weight_bits == 7,
            # uint8 by int8, which x86 and ARM multiply directly
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_exclude=left_out,
            calibrate_method=CalibrationMethod[METHODS[method]],
            # one image at a time, since the calibrator keeps every activation of what it gets at once
            extra_options={"CalibStridedMinMax": 1, "CalibPercentile": 99.99, "CalibTensorRangeSymmetric": False},
            calibration_cache_path=str(work / f"{method}.json"))
        record = {"to": "int8", "weight_bits": options.weight_bits, "calibration": method, "left_out": left_out}
        keep_metadata(out, options.model, record)
        say(candidate=str(out), method=method, left_out=left_out)


def float16(options):
    from onnxruntime.transformers.float16 import convert_float_to_float16

    say(progress="converting to float16")
    out = options.out / "float16.onnx"
    onnx.save(convert_float_to_float16(onnx.load(options.model), keep_io_types=True), out)
    keep_metadata(out, options.model, {"to": "fp16"})
    say(candidate=str(out), method="float16", left_out=[])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="the ONNX file")
    parser.add_argument("--rows", type=pathlib.Path, help="folder with calibration data; required for int8")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder that the candidates are written to")
    parser.add_argument("--to", choices=["int8", "fp16"], default="int8")
    parser.add_argument("--weight-bits", type=int, choices=[7, 8], default=8,
                        help="7 where the processor adds products in 16 bits, which 8 overflow: x86 without VNNI")
    parser.add_argument("--methods", default=",".join(METHODS), help="how ranges of activations are found")
    parser.add_argument("--leave-out", choices=["none", "ends"], default="none",
                        help="ends: the first and last layers keep float32")
    options = parser.parse_args(arguments)
    logging.getLogger().setLevel(logging.ERROR)  # its advice to prepare the model, which is done
    options.out.mkdir(parents=True, exist_ok=True)
    if options.to == "int8":
        if options.rows is None:
            parser.error("--rows is required for int8")
        if unknown := set(options.methods.split(",")) - METHODS.keys():
            parser.error(f"--methods: {', '.join(sorted(unknown))} is none of {', '.join(METHODS)}")
    {"int8": int8, "fp16": float16}[options.to](options)


if __name__ == "__main__":
    sys.exit(main())

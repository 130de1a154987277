package exporter

import "fovea/internal/onnxwriter"

// oneScoreLayouts are classifiers with one output value, which are those of two classes or of a class and its absence.
func oneScoreLayouts() []layout {
	fixed := in("input", float, "b", 3, 224, 224)
	one := out("y", float, "b", 1)
	return []layout{
		{what: "one score after Sigmoid", model: modelOf(fixed, op("Sigmoid", "y", "x"), one), want: "output.decode: probabilities; output.multi_label: true; labels: none?"},
		{what: "one logit with a label", model: modelOf(fixed, op("Gemm", "y", "x"), one), set: said("labels", "ok"), want: "output.decode: sigmoid?; output.multi_label: true?; labels: labels.txt; input.shortest_edge: 256?"},
		{what: "one logit of four dimensions", model: modelOf(fixed, op("Conv", "y", "x"), out("y", float, "b", 1, 1, 1)), set: said("exporter", "classifier"), want: "output.decode: sigmoid?"},
		{what: "one logit of Keras", model: modelOf(in("input_1", float, "n", 160, 160, 3), op("Add", "y", "x"), one), set: map[string]string{"task": "classification", "normalization": "inception"}, want: "output.decode: sigmoid?; input.resize: stretch?"},
		{what: "one logit, said to be a probability", model: modelOf(fixed, op("Clip", "y", "x"), one), set: said("decode", "probabilities"), want: "output.decode: probabilities"},
		{what: "one logit of transformers", model: modelOf(fixed, op("Gemm", "logits", "x"), out("logits", float, "b", 1)), files: map[string]string{"config.json": `{"model_type": "vit", "id2label": {"0": "ok"}}`, "preprocessor_config.json": `{"size": 224}`},
			want: "output.decode: sigmoid?"},
		{what: "a regression of transformers", model: modelOf(fixed, op("Gemm", "logits", "x"), out("logits", float, "b", 1)), files: map[string]string{"config.json": `{"model_type": "vit", "problem_type": "regression"}`}, err: "regression"},
		{what: "one number without a label, which may be a measure", model: modelOf(fixed, op("Gemm", "y", "x"), one), err: "say exporter=classifier"},
		{what: "one score for two labels", model: modelOf(fixed, op("Sigmoid", "y", "x"), one), set: said("labels", "cat,dog"), err: "labels=dog"},
		{what: "one score for three labels", model: modelOf(fixed, op("Sigmoid", "y", "x"), one), set: said("labels", "a,b,c"), err: "has 1 classes, but there are 3 labels"},
		{what: "a softmax of one class", model: modelOf(fixed, op("Softmax", "y", "x"), one), set: said("labels", "ok"), err: "always 1"},
		{what: "one number among other outputs", model: modelOf(fixed, one, out("z", float, "b", 3, 9)), err: "no known classifier"},
		{what: "one number among other outputs, said", model: modelOf(fixed, op("Sigmoid", "y", "x"), one, out("z", float, "b", 3, 9)), set: said("output", "y"), want: `output.name: "y"; output.multi_label: true`},
		{what: "a number of an integer type", model: modelOf(fixed, out("y", onnxwriter.Int64, "b", 1)), err: "no known classifier"},
	}
}

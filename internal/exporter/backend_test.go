package exporter

import "fovea/internal/onnxwriter"

// preprocessingLayouts are crops, filters and inverses that depend on the libraries and their versions.
func preprocessingLayouts() []layout {
	open := in("pixel_values", float, "b", 3, "h", "w")
	model := func() *onnxwriter.Model { return modelOf(open, out("logits", float, "b", 3)) }
	files := func(version, processor string) map[string]string {
		config := `{"model_type": "deit", "id2label": {"0": "a", "1": "b", "2": "c"}`
		if version != "" {
			config += `, "transformers_version": "` + version + `"`
		}
		return map[string]string{"config.json": config + "}", "preprocessor_config.json": processor}
	}
	const deit = `"size": {"height": 256, "width": 256}, "crop_size": {"height": 224, "width": 192}, "resample": 3}`
	timm := func(cfg string) map[string]string {
		return map[string]string{"config.json": `{"architecture": "x", "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], ` + cfg + `}}`}
	}
	rect := func() *onnxwriter.Model {
		return modelOf(in("x", float, "b", 3, 128, 384), out("y", float, "b", 3))
	}
	yolo := func(version string) *onnxwriter.Model {
		return modelOf(image, out("output0", float, 1, 7, 1680), meta(ultralyticsOf("detect", "version", version)...))
	}
	detector := func(h, w any) *onnxwriter.Model {
		return modelOf(in("input", float, 1, 3, h, w), out("dets", float, 1, 100, 5), out("labels", whole, 1, 100))
	}
	pipeline := func(steps string) map[string]string {
		return map[string]string{"pipeline.json": `{"pipeline": {"tasks": [{"transforms": [` + steps + `, {"type": "Normalize", "mean": [1, 2, 3], "std": [4, 5, 6]}]}]}}`}
	}
	return []layout{
		{what: "DeiT of transformers 5, with torchvision", model: model(), files: files("5.2.0", `{"image_processor_type": "DeiTImageProcessor", `+deit),
			want: "input.resize: stretch; input.resize_width: 256; input.resize_height: 256; input.width: 192; input.height: 224; input.crop_offset: truncate; input.interpolation: torch_antialias_bicubic"},
		{what: "DeiT of transformers 5, with Pillow", model: model(), files: files("5.2.0", `{"image_processor_type": "DeiTImageProcessorPil", `+deit),
			want: "input.resize_width: 256; input.crop_offset: floor; input.interpolation: pillow_bicubic"},
		{what: "DeiT of transformers 4", model: model(), files: files("4.30.2", `{"image_processor_type": "DeiTImageProcessor", `+deit),
			want: "input.resize_width: 256; input.crop_offset: floor; input.interpolation: pillow_bicubic"},
		{what: "DeiT of an unknown version", model: model(), files: files("", `{"image_processor_type": "DeiTImageProcessor", `+deit),
			want: "input.resize_width: 256; input.crop_offset: floor?; input.interpolation: pillow_bicubic?"},
		{what: "a fast one, which cropped with torchvision's center_crop", model: model(), files: files("4.56.2", `{"image_processor_type": "DeiTImageProcessorFast", `+deit),
			want: "input.crop_offset: round; input.interpolation: torch_antialias_bicubic"},
		{what: "a fast one, which crops by itself", model: model(), files: files("4.57.0", `{"image_processor_type": "DeiTImageProcessorFast", `+deit),
			want: "input.crop_offset: truncate; input.interpolation: torch_antialias_bicubic"},
		{what: "processor_config.json, which precedes", model: model(), files: map[string]string{"config.json": files("5.0.0", "")["config.json"],
			"processor_config.json":    `{"image_processor": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "resample": 2}}`,
			"preprocessor_config.json": `{"image_processor_type": "ViTImageProcessor"}`},
			want: "input.resize: shortest_edge; input.shortest_edge: 40; input.width: 32; input.crop_offset: truncate; input.interpolation: torch_antialias"},
		{what: "Lanczos of tensors, which depends on torchvision's version", model: model(), files: files("5.0.0", `{"image_processor_type": "ViTImageProcessor", "resample": 1}`), want: "input.interpolation: torch_antialias_lanczos?; input.resize_width: "},
		{what: "a filter that does not exist", model: model(), files: files("5.0.0", `{"image_processor_type": "ViTImageProcessor", "resample": 6}`), want: "input.interpolation: "},
		{what: "the nearest pixel of tensors", model: model(), files: files("5.0.0", `{"image_processor_type": "EfficientNetImageProcessor", "resample": 0}`), want: "input.interpolation: torch_nearest_exact"},
		{what: "a box, which tensors do not have", model: model(), files: files("5.0.0", `{"image_processor_type": "ViTImageProcessor", "resample": 4}`), want: "input.interpolation: pillow_box"},
		{what: "MobileViT, whose crop is larger than the edge", model: model(), files: files("4.30.0", `{"image_processor_type": "MobileViTImageProcessor", "size": {"shortest_edge": 224}, "crop_size": {"height": 256, "width": 256}}`),
			want: "input.resize: shortest_edge; input.shortest_edge: 224; input.width: 256; input.crop_offset: floor"},
		{what: "Perceiver, which crops before it resizes", model: model(), files: files("4.30.0", `{"image_processor_type": "PerceiverImageProcessor"}`), want: "input.resize: crop; input.resize_width: 256; input.resize_height: 256; input.crop_offset: floor; input.width: 224"},
		{what: "a file of another size than the processor's stretch", model: modelOf(in("x", float, "b", 3, 384, 384), out("logits", float, "b", 3)), files: files("5.2.0", `{"image_processor_type": "DeiTImageProcessor", `+deit),
			want: "input.resize: stretch?; input.resize_width: ; input.crop_offset: "},
		{what: "a file of another size than the processor's crop", model: modelOf(in("x", float, "b", 3, 448, 448), out("logits", float, "b", 3)),
			files: files("5.2.0", `{"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}`), want: "input.resize: shortest_edge?; input.shortest_edge: 512?"},
		{what: "timm, an input that is not square", model: rect(), files: timm(`"input_size": [3, 128, 384], "crop_pct": 0.9`),
			want: "input.resize: cover; input.resize_width: 426; input.resize_height: 142; input.rounding: ; input.interpolation: pillow_bicubic"},
		{what: "timm, an input that is not square and not cropped", model: rect(), files: timm(`"input_size": [3, 128, 384], "crop_pct": 1`), want: "input.resize: cover; input.resize_width: "},
		{what: "timm, squashed and cropped", model: rect(), files: timm(`"input_size": [3, 128, 384], "crop_mode": "squash"`), want: "input.resize: stretch; input.resize_width: 438; input.resize_height: 146"},
		{what: "timm, a border that is cropped", model: rect(), files: timm(`"input_size": [3, 128, 384], "crop_mode": "border", "crop_pct": 0.95`),
			want: "input.resize: letterbox; input.resize_width: 404; input.resize_height: 134; input.fill: [128, 128, 128]; input.rounding: round"},
		{what: "Ultralytics up to 8.4.24", model: yolo("8.4.24"), want: "input.inverse: gain_rounded"},
		{what: "Ultralytics from 8.4.25 on", model: yolo("8.4.25"), want: "input.inverse: gain"},
		{what: "Ultralytics up to 8.4.173", model: yolo("8.4.173"), want: "input.inverse: gain"},
		{what: "Ultralytics from 8.4.174 on", model: yolo("8.4.174"), want: "input.inverse: "},
		{what: "Ultralytics of an unknown version", model: yolo("8.4.x"), want: "input.inverse: "},
		{what: "a letterbox that is said to be a stretch", model: yolo("8.0.0"), set: map[string]string{"resize": "stretch"}, want: "input.resize: stretch; input.place: ; input.fill: ; input.inverse: ; input.interpolation: opencv_linear"},
		{what: "a stretch that is said to be a letterbox", model: model(), files: files("5.2.0", `{"image_processor_type": "DeiTImageProcessor", `+deit), set: map[string]string{"resize": "letterbox", "fill": "9"}, want: "input.resize: letterbox; input.fill: [9]; input.resize_width: ; input.crop_offset: "},
		{what: "MMDeploy with open sizes", model: detector("h", "w"), files: pipeline(`{"type": "Resize", "scale": [1333, 800], "keep_ratio": true}, {"type": "Pad", "size_divisor": 32}`),
			want: "input.resize: fit; input.shortest_edge: 800; input.longest_edge: 1333; input.stride: 32; input.rounding: half_up; input.width: ; input.inverse: "},
		{what: "MMDeploy with open sizes and another color of the padding", model: detector("h", "w"), files: pipeline(`{"type": "Resize", "size": [640, 640], "keep_ratio": true}, {"type": "Pad", "size_divisor": 32, "pad_val": {"img": [114, 114, 114]}}`),
			want: "input.resize: fit; input.longest_edge: 640; input.fill: [114]"},
		{what: "MMDeploy with open sizes, padded to one", model: detector("h", "w"), files: pipeline(`{"type": "Resize", "scale": [640, 640], "keep_ratio": true}, {"type": "Pad", "size": [640, 640], "pad_val": 114}`),
			want: "input.resize: letterbox?; input.width: 640; input.rounding: half_up?; input.fill: [114]?; input.stride: "},
		{what: "MMDeploy with open sizes, stretched", model: detector("h", "w"), files: pipeline(`{"type": "Resize", "scale": [640, 480], "keep_ratio": false}`), want: "input.resize: stretch; input.width: 640; input.rounding: "},
	}
}

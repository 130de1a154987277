package exporter

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"fovea/internal/config"
	"fovea/internal/repository"
)

// ofResize are keys that depend on input.resize.
var ofResize = []string{"input.resize_width", "input.resize_height", "input.crop_offset", "input.shortest_edge", "input.longest_edge",
	"input.multiple", "input.to_multiple", "input.max_aspect", "input.min_width", "input.stride", "input.rounding", "input.place", "input.inverse", "input.fill"}

// suppressing are the decoders of boxes that overlap.
var suppressing = []string{repository.DecodeYOLO, repository.DecodeYOLOv5, repository.DecodeYOLOv5Raw, repository.DecodeYOLOX, repository.DecodeBoxes}

// dropDependent drops inferred values that were meant for another resize or decoder than what the user says. A shorter side, if the
// user says one, is what images are resized to.
func (b *builder) dropDependent() {
	resize := b.values["input.resize"].text
	if b.settings["input.resize"] == "" && b.settings["input.shortest_edge"] != "" && resize != string(repository.Fit) && resize != string(repository.Limit) {
		b.settings["input.resize"] = string(repository.ShortestEdge)
	}
	if said := b.settings["input.resize"]; said != "" && said != resize {
		for _, key := range ofResize {
			delete(b.values, key)
		}
	}
	if said := b.settings["output.decode"]; said != "" && !slices.Contains(suppressing, said) {
		delete(b.values, "output.iou_threshold")
	}
}

// fitSettings makes what was inferred fit what the user sets: keys that do not apply with the set values are dropped, as is a decoder
// of another task, and keys that the set values need are asked for.
func (b *builder) fitSettings() {
	task, decode := b.values["task"].text, b.values["output.decode"].text
	if allowed := repository.Decoders(repository.Task(task)); allowed != nil && b.settings["output.decode"] == "" && !slices.Contains(allowed, decode) {
		delete(b.values, "output.decode")
		b.ask("output.decode", fmt.Sprintf("%s is not a decoder of task: %s", decode, task), allowed...)
	}
	b.fitChannels()
	for b.dropNotApplicable() {
	}
	b.askShortestEdge()
	b.askOutputs()
}

// invalid lists what is wrong with the values as a definition.
func (b *builder) invalid() config.Errors {
	_, err := repository.ParseDefinition(document(b.origins(), false), "")
	errs, _ := errors.AsType[config.Errors](err)
	return errs
}

func isNotApplicable(err error) bool {
	_, ok := errors.AsType[*repository.NotApplicableError](err)
	return ok
}

// dropNotApplicable drops inferred keys that have no effect with the other values, and reports whether there were any.
func (b *builder) dropNotApplicable() (dropped bool) {
	for _, e := range b.invalid() {
		if _, inferred := b.values[e.Key]; inferred && b.settings[e.Key] == "" && isNotApplicable(e) {
			delete(b.values, e.Key)
			dropped = true
		}
	}
	return dropped
}

// perChannel are the keys with a value for each channel.
var perChannel = []string{"input.mean", "input.std", "input.fill"}

// fitChannels fits values of channels to the color: inferred ones that are the same for all channels become one, and those of a
// named normalization are turned if they are in the other order.
func (b *builder) fitChannels() {
	color := b.values["input.color"].text
	blueFirst := color == repository.ColorBGR || color == repository.ColorBGRA
	turn := b.namedOrder != "" && blueFirst != (b.namedOrder == repository.ColorBGR)
	for _, key := range perChannel {
		v := b.values[key]
		var list []float64
		if json.Unmarshal([]byte(v.text), &list) != nil || len(list) < 2 {
			continue
		}
		switch {
		case turn && key != "input.fill":
			slices.Reverse(list)
			v.text = text(list)
		case b.settings["input.color"] != "" && b.settings[key] == "" && slices.Min(list) == slices.Max(list):
			v.text = text(list[:1])
		}
		b.values[key] = v
	}
}

// askShortestEdge asks for the side that the user's resize scales to: usual ones keep 7/8 of the image, or all of it.
func (b *builder) askShortestEdge() {
	resize := b.values["input.resize"].text
	if _, known := b.values["input.shortest_edge"]; known || resize != string(repository.ShortestEdge) && resize != string(repository.Fit) {
		return
	}
	var candidates []string
	if width, height := b.size(); width > 0 && height > 0 {
		side := max(width, height)
		candidates = []string{strconv.FormatInt(side*8/7, 10), strconv.FormatInt(side, 10)}
	}
	b.ask("input.shortest_edge", "resize: "+resize+" needs it", candidates...)
}

// askOutputs asks for the outputs that the user's decoder reads, and for the unit of their boxes.
func (b *builder) askOutputs() {
	decode := b.values["output.decode"].text
	if decode != repository.DecodeBoxes && decode != repository.DecodeDETR {
		return
	}
	ask := func(key string, candidates ...string) {
		if _, known := b.values[key]; !known {
			b.ask(key, "decode: "+decode+" needs it", candidates...)
		}
	}
	ask("output.boxes", tensorNames(b.graph.Outputs)...)
	ask("output.scores", tensorNames(b.graph.Outputs)...)
	if decode == repository.DecodeBoxes {
		ask("output.box_space", repository.SpaceInput, repository.SpaceUnit, repository.SpaceOriginal)
	}
}

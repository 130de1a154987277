package verify

import (
	"encoding/json"
	"errors"
	"fmt"
)

const cocoResults = "COCO results"

// cocoNotes is what COCO's annotation file tells about results: the names of categories and the files of images.
type cocoNotes struct {
	categories map[int]string
	files      map[string]string // by the image's id
}

func parseAnnotations(data []byte) (*cocoNotes, error) {
	var file struct {
		Images []struct {
			ID       json.RawMessage `json:"id"`
			FileName string          `json:"file_name"`
		} `json:"images"`
		Categories []struct {
			ID   int    `json:"id"`
			Name string `json:"name"`
		} `json:"categories"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("is not COCO's annotation file: %w", err)
	}
	if len(file.Categories) == 0 {
		return nil, errors.New("is not COCO's annotation file: it has no categories")
	}
	n := &cocoNotes{map[int]string{}, map[string]string{}}
	for _, c := range file.Categories {
		n.categories[c.ID] = c.Name
	}
	for _, image := range file.Images {
		id, err := imageID(image.ID)
		if err != nil {
			return nil, err
		}
		n.files[id] = image.FileName
	}
	return n, nil
}

// imageID is a number or a text. Ultralytics' results name files that are not numbered without their extension.
func imageID(data json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(data, &text) == nil {
		return text, nil
	}
	var number json.Number
	if err := json.Unmarshal(data, &number); err != nil || len(data) == 0 {
		return "", fmt.Errorf("an image's id, %.40q, is neither a number nor a text", data)
	}
	return number.String(), nil
}

// parseCOCO reads results as pycocotools does: a list of {image_id, category_id, bbox: [x, y, width, height], score}, in pixels. Ultralytics'
// predictions.json is the same.
func parseCOCO(data json.RawMessage, notes *cocoNotes) (*Expected, error) {
	var results []struct {
		ImageID    json.RawMessage `json:"image_id"`
		FileName   string          `json:"file_name"`
		CategoryID *float64        `json:"category_id"`
		Box        []float64       `json:"bbox"`
		Score      *float64        `json:"score"`
	}
	if err := json.Unmarshal(data, &results); err != nil {
		return nil, err
	}
	e := &Expected{Format: cocoResults, Detection: true, Silent: true}
	if notes == nil {
		e.Numbering = Category
	}
	for i, r := range results {
		image, err := imageID(r.ImageID)
		switch {
		case err != nil:
		case r.CategoryID == nil:
			err = errors.New("has no category_id")
		case len(r.Box) != 4:
			err = fmt.Errorf("has a bbox of %d numbers; want x, y, width and height", len(r.Box))
		}
		c := Class{-1, "", unknown}
		if err == nil {
			c.Number, err = wholeNumber(*r.CategoryID)
		}
		if err == nil && r.Score != nil {
			c.Score, err = probability(*r.Score)
		}
		if err == nil && notes != nil {
			c, image, err = notes.apply(c, image)
		}
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		if r.FileName != "" {
			image = r.FileName
		}
		a := e.answer(image)
		a.Boxes = append(a.Boxes, Box{c, r.Box[0], r.Box[1], r.Box[0] + r.Box[2], r.Box[1] + r.Box[3]})
	}
	return e, nil
}

// apply replaces a category's id by its name, and an image's id by its file.
func (n *cocoNotes) apply(c Class, image string) (Class, string, error) {
	name, ok := n.categories[c.Number]
	if !ok {
		return c, image, fmt.Errorf("category_id %d is not in the annotation file", c.Number)
	}
	if file := n.files[image]; file != "" {
		image = file
	}
	return Class{-1, name, c.Score}, image, nil
}

// cocoCategories are the ids of COCO's 80 categories in the order of their labels: 1 to 90 without ten that COCO left out
// (data/coco.yaml of Ultralytics, coco80_to_coco91_class).
var cocoCategories = func() (ids []int) {
	skipped := map[int]bool{12: true, 26: true, 29: true, 30: true, 45: true, 66: true, 68: true, 69: true, 71: true, 83: true}
	for id := 1; id <= 90; id++ {
		if !skipped[id] {
			ids = append(ids, id)
		}
	}
	return ids
}()

// numberings are the meanings that category ids may have with so many labels, 0 if that is unknown: each maps an id to
// a class, -1 for none. The first that fits all ids is the likeliest.
func (e *Expected) numberings(labels int) (names []string, maps []func(int) int) {
	add := func(name string, f func(int) int) {
		for _, a := range e.answers {
			for _, b := range a.Boxes {
				if n := f(b.Number); n < 0 || labels > 0 && n >= labels {
					return
				}
			}
		}
		names, maps = append(names, name), append(maps, f)
	}
	if labels == len(cocoCategories) {
		byID := map[int]int{}
		for class, id := range cocoCategories {
			byID[id] = class
		}
		add("the ids of COCO's 80 categories", func(id int) int {
			if class, ok := byID[id]; ok {
				return class
			}
			return -1
		})
	}
	add("category_id from 0", func(id int) int { return id })
	add("category_id from 1", func(id int) int { return id - 1 })
	return names, maps
}

// renumbered returns the answers with other class numbers.
func (e *Expected) renumbered(f func(int) int) *Expected {
	out := *e
	out.Numbering, out.answers = FromZero, map[string]*Answer{}
	for name, a := range e.answers {
		b := *a
		b.Boxes = make([]Box, len(a.Boxes))
		for i, box := range a.Boxes {
			box.Number = f(box.Number)
			b.Boxes[i] = box
		}
		out.answers[name] = &b
	}
	return &out
}

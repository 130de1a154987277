package api

import (
	"context"
	"net/http"
	"reflect"
	"testing"

	"fovea/inference"
	"fovea/internal/repository"
	"fovea/postprocess"
)

func TestParametersReachTheEngine(t *testing.T) {
	var got postprocess.Params
	s := open(t, func(_ *Config, e *engine) {
		e.predict = func(ctx context.Context, r inference.Request) (*inference.Response, error) {
			got = r.Params
			return echo(ctx, r)
		}
	})
	half := 0.5
	form, formBody := parts("classes=cat", "image=one", "max_boxes=7", "classes= 3,dog ")
	for name, test := range map[string]struct {
		query, contentType, body string
		want                     postprocess.Params
	}{
		"none":                          {"", "image/jpeg", "pixels", postprocess.Params{}},
		"numbers in the query":          {"?max_boxes=1000&score_threshold=0.5&iou_threshold=0.5", "image/jpeg", "pixels", postprocess.Params{MaxBoxes: 1000, Score: &half, IoU: &half}},
		"classes in one value":          {"?classes=cat,dog", "image/jpeg", "pixels", postprocess.Params{Classes: []string{"cat,dog"}}},
		"classes in several values":     {"?classes=cat&classes=0", "image/jpeg", "pixels", postprocess.Params{Classes: []string{"cat", "0"}}},
		"classes in parts":              {"", form, formBody, postprocess.Params{Classes: []string{"cat", "3,dog"}, MaxBoxes: 7}},
		"an array in JSON":              {"", "application/json", images(`{"classes":["fire \u0061nt",3,"5"],"max_boxes":2}`, "one"), postprocess.Params{Classes: []string{"fire ant", "3", "5"}, MaxBoxes: 2}},
		"a label in JSON":               {"", "application/json", images(`{"classes":"cat"}`, "one"), postprocess.Params{Classes: []string{"cat"}}},
		"a number in JSON":              {"", "application/json", images(`{"classes":12}`, "one"), postprocess.Params{Classes: []string{"12"}}},
		"classes in the query and JSON": {"?classes=cat", "application/json", images(`{"classes":[1]}`, "one"), postprocess.Params{Classes: []string{"cat", "1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			if a := s.post("/predict"+test.query, test.contentType, test.body); a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("parameters %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestTilesReachTheEngine(t *testing.T) {
	var got inference.TileParams
	s := open(t, func(_ *Config, e *engine) {
		e.predict = func(ctx context.Context, r inference.Request) (*inference.Response, error) {
			got = r.Tiles
			return echo(ctx, r)
		}
	})
	square, wide := repository.TileSize{Width: 640, Height: 640}, repository.TileSize{Width: 640, Height: 480}
	form, formBody := parts("tile=640x480", "image=one", "overlap= 0.25", "whole_image=true")
	for name, test := range map[string]struct {
		query, contentType, body string
		want                     inference.TileParams
	}{
		"none":         {"", "image/jpeg", "pixels", inference.TileParams{}},
		"in the query": {"?tile=640&overlap=0.2", "image/jpeg", "pixels", inference.TileParams{Size: &square, Overlap: new(0.2)}},
		"all of them": {"?tile=640x480&overlap=0&merge=nms&merge_metric=iou&merge_threshold=1&whole_image=false", "image/jpeg", "pixels",
			inference.TileParams{Size: &wide, Overlap: new(0.0), Merge: "nms", Metric: "iou", Threshold: new(1.0), WholeImage: new(false)}},
		"in parts": {"", form, formBody, inference.TileParams{Size: &wide, Overlap: new(0.25), WholeImage: new(true)}},
		"in JSON": {"", "application/json", images(`{"tile":640,"overlap":2e-1,"merge":"nmm","merge_metric":"ios","merge_threshold":0.5,"whole_image":true}`, "one"),
			inference.TileParams{Size: &square, Overlap: new(0.2), Merge: "nmm", Metric: "ios", Threshold: new(0.5), WholeImage: new(true)}},
		"a text in JSON":   {"", "application/json", images(`{"tile":"640x480"}`, "one"), inference.TileParams{Size: &wide}},
		"no tiles in JSON": {"", "application/json", images(`{"tile":"none"}`, "one"), inference.TileParams{Size: &repository.TileSize{}}},
		"in both places":   {"?tile=640", "application/json", images(`{"overlap":0.5}`, "one"), inference.TileParams{Size: &square, Overlap: new(0.5)}},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			if a := s.post("/predict"+test.query, test.contentType, test.body); a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("parameters %+v, want %+v", got, test.want)
			}
		})
	}
}

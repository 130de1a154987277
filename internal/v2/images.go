package v2

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"fovea/inference"
	"fovea/internal/apierror"
	"fovea/internal/panics"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// inferImages predicts each image, concurrently. If one fails, so does the request.
func (s *Server) inferImages(ctx context.Context, m *opened, r *Request, in Input, outputs []OutputRequest) (*Response, error) {
	n, _ := elements(in.Shape)
	data, err := in.Data.Read(in.Name, in.Datatype, n)
	if err != nil {
		return nil, err
	}
	images, err := SplitBytes(data, n, in.Name)
	if err != nil {
		return nil, err
	}
	for i, image := range images {
		if int64(len(image)) > s.limits.ImageSize {
			return nil, apierror.New(apierror.BodyTooLarge, "image %d is larger than the limit of %d bytes", i, s.limits.ImageSize)
		}
	}
	params, err := predictionParams(r.Parameters, &m.info.Definition)
	if err != nil {
		return nil, err
	}
	tiles, err := tileParams(r.Parameters)
	if err != nil {
		return nil, err
	}
	q := inference.Request{Params: params, Tiles: tiles, Waited: r.Waited, Client: r.Client, ClientShare: r.ClientShare}
	if len(images) == 1 {
		q.Decoded = r.Decoded
	}
	r.Accepted = true
	predictions, err := predictAll(ctx, m, q, images)
	if err != nil {
		return nil, err
	}
	tensors := m.view.empty(len(images))
	for row, p := range predictions {
		m.view.write(tensors, row, p)
	}
	response := &Response{Rows: len(images)}
	for _, o := range outputs {
		out := tensors[slices.IndexFunc(tensors, func(t Output) bool { return t.Name == o.Name })]
		if o.Classes > 0 {
			var err error
			if out, err = m.classify(out, o.Classes); err != nil {
				return nil, err
			}
		}
		response.Outputs = append(response.Outputs, out)
	}
	return response, nil
}

// predictAll returns the predictions in the order of the images, or the error of the first image that has one. An error ends the
// others.
func predictAll(ctx context.Context, m *opened, q inference.Request, images [][]byte) ([]postprocess.Prediction, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	list, errs := make([]postprocess.Prediction, len(images)), make([]error, len(images))
	predict := func(i int) {
		q := q
		q.Image = images[i]
		errs[i] = panics.Catch(func() error {
			response, err := m.Predict(ctx, q)
			if err != nil {
				return err
			}
			list[i] = response.Prediction
			return nil
		})
		if errs[i] != nil {
			cancel()
		}
	}
	var others sync.WaitGroup
	for i := range images[1:] {
		others.Go(func() { predict(i + 1) })
	}
	predict(0)
	others.Wait()
	return list, firstError(errs)
}

// firstError is the first error that did not follow from another.
func firstError(errs []error) error {
	var canceled error
	for i, err := range errs {
		if err == nil {
			continue
		}
		if errors.Is(err, context.Canceled) {
			canceled = err
			continue
		}
		apiErr := apierror.From(err)
		if len(errs) > 1 && apiErr.Code.AboutImage() {
			return apierror.Wrap(apiErr.Code, apiErr.Cause, "image %d: %s", i, apiErr.Message)
		}
		return err
	}
	return canceled
}

// predictionParams are the parameters that predictions have, as with POST /predict. All classes of a classifier are returned.
func predictionParams(given Parameters, d *repository.Definition) (p postprocess.Params, err error) {
	if d.Task == repository.Classification {
		return postprocess.Params{All: true}, nil
	}
	if p.Score, err = unit(given, "score_threshold"); err != nil {
		return p, err
	}
	if p.IoU, err = unit(given, "iou_threshold"); err != nil {
		return p, err
	}
	if value, ok := given["max_boxes"]; ok {
		n, isNumber := number(value)
		most := min(d.Output.MaxBoxes, postprocess.MaxBoxes)
		if !isNumber || n < 1 || n > float64(most) || n != float64(int(n)) {
			return p, apierror.New(apierror.InvalidParameter, "parameter max_boxes is %s; allowed: a whole number from 1 to %d", show(value), most)
		}
		p.MaxBoxes = int(n)
	}
	if value, ok := given["classes"]; ok {
		text, isText := value.(string)
		if !isText || text == "" {
			return p, apierror.New(apierror.InvalidParameter, "parameter classes is %s; allowed: a string of labels or numbers of classes, separated by commas", show(value))
		}
		p.Classes = strings.Split(text, ",")
	}
	return p, nil
}

// tileParams are the parameters about tiles, as with POST /predict. Some clients can send text only.
func tileParams(given Parameters) (p inference.TileParams, err error) {
	for _, name := range inference.TileParameters() {
		value, ok := given[name]
		if !ok {
			continue
		}
		if n, isNumber := number(value); isNumber && name != inference.TileParam {
			value = n
		}
		if err := p.Set(name, value); err != nil {
			return p, err
		}
	}
	return p, nil
}

// unit is a parameter from 0 to 1; nil without it.
func unit(given Parameters, name string) (*float64, error) {
	value, ok := given[name]
	if !ok {
		return nil, nil
	}
	if n, isNumber := number(value); isNumber && n >= 0 && n <= 1 {
		return &n, nil
	}
	return nil, apierror.New(apierror.InvalidParameter, "parameter %s is %s; allowed: a number from 0 to 1", name, show(value))
}

// number is a parameter as a number. Some clients can send text only.
func number(value any) (n float64, ok bool) {
	switch v := value.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case string:
		n, err := strconv.ParseFloat(v, 64)
		return n, err == nil
	}
	return 0, false
}

func show(value any) string { return apierror.Quote(fmt.Sprint(value)) }

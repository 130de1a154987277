package api

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"fovea/internal/apierror"
)

func bomb() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(make([]byte, 10<<20))
	_ = w.Close()
	return b.String()
}

func TestBadRequests(t *testing.T) {
	s := open(t, func(c *Config, _ *engine) {
		c.MaxImageBytes, c.MaxBodyBytes, c.MaxImages = 1<<20, 4<<20, 8
	})
	const path = "/v1/models/cats/predict"
	form := func(pairs ...string) [2]string {
		contentType, body := parts(pairs...)
		return [2]string{contentType, body}
	}
	json := func(body string) [2]string { return [2]string{"application/json", body} }
	image := func(body string) [2]string { return [2]string{"image/jpeg", body} }
	large := strings.Repeat("x", 1<<20+1)
	for name, test := range map[string]struct {
		path string
		send [2]string // content type and body
		want int
		code apierror.Code
		says string // part of the message
	}{
		"empty body":                      {path, image(""), 400, apierror.Malformed, "the body is empty; send one image as image/*"},
		"one byte":                        {path, image("x"), 415, apierror.UnsupportedFormat, "allowed are JPEG"},
		"a truncated image":               {path, image("truncated"), 422, apierror.Undecodable, "truncated"},
		"an image of too many pixels":     {path, image("huge"), 413, apierror.ImageTooLarge, "the limit is 50 megapixels"},
		"an image of too many bytes":      {path, image(large), 413, apierror.BodyTooLarge, "larger than the limit of 1048576 bytes"},
		"a much too large body":           {path, image(strings.Repeat(large, 17)), 413, apierror.BodyTooLarge, "larger than the limit of 1048576 bytes"},
		"no content type":                 {path, [2]string{"", "pixels"}, 415, apierror.UnsupportedMedia, "content type is missing, and the body is not a known image format; send one image as image/*"},
		"a content type that isn't read":  {path, [2]string{"text/html", "pixels"}, 415, apierror.UnsupportedMedia, `"text/html" is not supported; send one image as image/*`},
		"a form's type, as curl sends it": {path, [2]string{"application/x-www-form-urlencoded", "pixels"}, 415, apierror.UnsupportedMedia, `"application/x-www-form-urlencoded" is generic`},
		"no content type and no body":     {path, [2]string{"", ""}, 400, apierror.Malformed, "the body is empty"},
		"no content type, and large":      {path, [2]string{"", "\xff\xd8\xff" + large}, 413, apierror.BodyTooLarge, "larger than the limit of 1048576 bytes"},
		"no content type, broken JSON":    {path, [2]string{"", "{"}, 400, apierror.Malformed, "not JSON of the form"},
		"JSON after two byte order marks": {path, json("\ufeff\ufeff{}"), 400, apierror.Malformed, "not JSON of the form"},
		"a broken content type":           {path, [2]string{"image/;;", "pixels"}, 415, apierror.UnsupportedMedia, "is not supported"},

		"unknown model":                         {"/v1/models/dogs/predict", image("pixels"), 404, apierror.ModelNotFound, `model "dogs" not found; available: boxes, cats`},
		"unknown version":                       {"/v1/models/cats/versions/9/predict", image("pixels"), 404, apierror.ModelNotFound, `no version "9"`},
		"a version that is no number":           {"/v1/models/cats/versions/..%2F1/predict", image("pixels"), 404, apierror.ModelNotFound, "no version"},
		"a model's name with an encoded slash":  {"/v1/models/..%2F..%2Fetc%2Fpasswd/predict", image("pixels"), 404, apierror.ModelNotFound, `"../../etc/passwd"`},
		"an encoded slash that makes a route":   {"/v1/models/cats%2Fversions%2F1/predict", image("pixels"), 404, apierror.ModelNotFound, `"cats/versions/1"`},
		"a model named ..":                      {"/v1/models/../predict", image("pixels"), 404, apierror.ModelNotFound, `".."`},
		"a model named .. in code":              {"/v1/models/%2e%2e/predict", image("pixels"), 404, apierror.ModelNotFound, `".."`},
		"a model's name with a NUL":             {"/v1/models/cats%00/predict", image("pixels"), 404, apierror.ModelNotFound, `"cats\x00"`},
		"a model's name with a new line":        {"/v1/models/cats%0Aforged/predict", image("pixels"), 404, apierror.ModelNotFound, `"cats\nforged"`},
		"a model's name of 5000 letters":        {"/v1/models/" + strings.Repeat("x", 5000) + "/predict", image("pixels"), 404, apierror.ModelNotFound, "xxx\"… not found"},
		"a model's name with an invalid letter": {"/v1/models/%FF%FE/predict", image("pixels"), 404, apierror.ModelNotFound, `"\xff\xfe"`},
		"an empty model name":                   {"/v1/models//predict", image("pixels"), 404, apierror.ModelNotFound, `model "" not found`},
		"an unknown route":                      {"/v3/models", image("pixels"), 404, apierror.NotFound, "GET /openapi.json"},
		"a slash too many":                      {path + "/", image("pixels"), 404, apierror.NotFound, "no route"},

		"an unknown parameter":       {path + "?topk=3", image("pixels"), 400, apierror.InvalidParameter, `"topk"; allowed: annotate, classes, encoding, iou_threshold, max_boxes, merge, merge_metric, merge_threshold, overlap, score_threshold, tile, top_k, whole_image`},
		"a parameter given twice":    {path + "?top_k=3&top_k=3", image("pixels"), 400, apierror.InvalidParameter, "top_k is given twice"},
		"top_k 0":                    {path + "?top_k=0", image("pixels"), 400, apierror.InvalidParameter, "from 1 to 1000"},
		"top_k 1001":                 {path + "?top_k=1001", image("pixels"), 400, apierror.InvalidParameter, "from 1 to 1000"},
		"top_k 2.5":                  {path + "?top_k=2.5", image("pixels"), 400, apierror.InvalidParameter, "from 1 to 1000"},
		"top_k without a value":      {path + "?top_k", image("pixels"), 400, apierror.InvalidParameter, "top_k is not a number"},
		"a threshold NaN":            {path + "?score_threshold=NaN", image("pixels"), 400, apierror.InvalidParameter, "not a number"},
		"a threshold 1e999":          {path + "?score_threshold=1e999", image("pixels"), 400, apierror.InvalidParameter, "not a number"},
		"a threshold above 1":        {path + "?iou_threshold=1.01", image("pixels"), 400, apierror.InvalidParameter, "from 0 to 1"},
		"a threshold in hexadecimal": {path + "?iou_threshold=0x0p0", image("pixels"), 400, apierror.InvalidParameter, "not a number"},
		"classes without a value":    {path + "?classes=", image("pixels"), 400, apierror.InvalidParameter, "classes is empty"},
		"classes that are too long":  {path + "?classes=" + strings.Repeat("x", 4097), image("pixels"), 400, apierror.InvalidParameter, "1000 values of 4096 bytes"},
		"1001 classes":               {path + "?" + strings.Repeat("classes=1&", 1001), image("pixels"), 400, apierror.InvalidParameter, "1000 values of 4096 bytes"},
		"max_boxes 0":                {path + "?max_boxes=0", image("pixels"), 400, apierror.InvalidParameter, "max_boxes must be a whole number from 1 to 1000"},
		"max_boxes 1001":             {path + "?max_boxes=1001", image("pixels"), 400, apierror.InvalidParameter, "from 1 to 1000"},
		"a tile of 31 pixels":        {path + "?tile=31", image("pixels"), 400, apierror.InvalidParameter, `tile: "31" is out of range: each side may have 32–32768 pixels`},
		"a tile of 0":                {path + "?tile=0", image("pixels"), 400, apierror.InvalidParameter, "out of range"},
		"a negative tile":            {path + "?tile=-640", image("pixels"), 400, apierror.InvalidParameter, "neither a number of pixels such as 640, a width and a height such as 640x480, nor none"},
		"half a tile":                {path + "?tile=640x", image("pixels"), 400, apierror.InvalidParameter, "neither"},
		"an overlap of 1":            {path + "?tile=640&overlap=1", image("pixels"), 400, apierror.InvalidParameter, "overlap: 1 is out of range (0–<1)"},
		"an overlap that is a word":  {path + "?tile=640&overlap=some", image("pixels"), 400, apierror.InvalidParameter, `overlap is not a number: "some"`},
		"a merge of another library": {path + "?tile=640&merge=wbf", image("pixels"), 400, apierror.InvalidParameter, `merge is "wbf"; allowed: greedy_nmm, nmm, nms`},
		"a metric in capitals":       {path + "?tile=640&merge_metric=IOU", image("pixels"), 400, apierror.InvalidParameter, "allowed: ios, iou"},
		"a merge threshold of 0":     {path + "?tile=640&merge_threshold=0", image("pixels"), 400, apierror.InvalidParameter, "merge_threshold: 0 is out of range (>0–1)"},
		"maybe the whole image":      {path + "?tile=640&whole_image=maybe", image("pixels"), 400, apierror.InvalidParameter, `whole_image is "maybe"; allowed: true, false`},
		"a tile given twice":         {path + "?tile=640&tile=320", image("pixels"), 400, apierror.InvalidParameter, "tile is given twice"},
		"a query that isn't one":     {path + "?top_k=%zz", image("pixels"), 400, apierror.InvalidParameter, "allowed: annotate, classes"},

		"JSON that is empty":             {path, json(""), 400, apierror.Malformed, "unexpected end of JSON input"},
		"JSON that is truncated":         {path, json(`{"images":[{"b64":"b25`), 400, apierror.Malformed, "unexpected end of JSON input"},
		"JSON that isn't JSON":           {path, json(`images`), 400, apierror.Malformed, `of the form {"images":[{"b64":"…"}]`},
		"JSON that isn't an object":      {path, json(`[]`), 400, apierror.Malformed, "the body is not an object"},
		"JSON that is null":              {path, json(`null`), 400, apierror.Malformed, "the body is not an object"},
		"JSON with trailing data":        {path, json(images("", "one") + "{}"), 400, apierror.Malformed, "after top-level value"},
		"JSON with no images":            {path, json(`{"images":[]}`), 400, apierror.Malformed, "has no image"},
		"JSON without images":            {path, json(`{}`), 400, apierror.Malformed, "has no image"},
		"images that aren't an array":    {path, json(`{"images":{"b64":"b25l"}}`), 400, apierror.Malformed, "images is not an array"},
		"an image that is a string":      {path, json(`{"images":["b25l"]}`), 400, apierror.Malformed, "images[] is not an object"},
		"an image without b64":           {path, json(`{"images":[{"b64":"b25l"},{}]}`), 400, apierror.Malformed, "images[1] has neither b64 nor url"},
		"bad base64":                     {path, json(`{"images":[{"b64":"b25l"},{"b64":"%%%"}]}`), 400, apierror.Malformed, "images[1].b64 is not base64"},
		"base64 of two alphabets":        {path, json(`{"images":[{"b64":"+_+_"}]}`), 400, apierror.Malformed, "images[0].b64 is not base64"},
		"base64 that is a number":        {path, json(`{"images":[{"b64":5}]}`), 400, apierror.Malformed, "images[0].b64 is not a string"},
		"a data: URL that isn't base64":  {path, json(`{"images":[{"b64":"data:text/plain,hello"}]}`), 400, apierror.Malformed, "without ;base64"},
		"an unknown field":               {path, json(`{"images":[],"tint":1}`), 400, apierror.Malformed, `"tint" in the body; allowed: images, parameters, url`},
		"an unknown field of an image":   {path, json(`{"images":[{"uri":"http://x"}]}`), 400, apierror.Malformed, `"uri" in images[]; allowed: b64, url`},
		"a field in capitals":            {path, json(`{"IMAGES":[]}`), 400, apierror.Malformed, "unknown field"},
		"a field given twice":            {path, json(`{"images":[],"images":[]}`), 400, apierror.Malformed, "duplicate"},
		"an unknown parameter in JSON":   {path, json(images(`{"topk":3}`, "one")), 400, apierror.Malformed, `"topk" in parameters; allowed: annotate, classes, encoding, iou_threshold, max_boxes, merge, merge_metric, merge_threshold, overlap, score_threshold, tile, top_k, whole_image`},
		"a parameter that is a string":   {path, json(images(`{"top_k":"3"}`, "one")), 400, apierror.InvalidParameter, "top_k is not a number"},
		"a parameter that is an object":  {path, json(images(`{"top_k":{"a":1}}`, "one")), 400, apierror.InvalidParameter, "top_k is not a number"},
		"a parameter that is true":       {path, json(images(`{"top_k":true}`, "one")), 400, apierror.InvalidParameter, "top_k is not a number"},
		"a tile that is an object":       {path, json(images(`{"tile":{}}`, "one")), 400, apierror.InvalidParameter, "tile: \"{\" is neither"},
		"a tile of half a pixel":         {path, json(images(`{"tile":640.5}`, "one")), 400, apierror.InvalidParameter, "neither"},
		"an overlap that is a string":    {path, json(images(`{"tile":640,"overlap":"0.2"}`, "one")), 400, apierror.InvalidParameter, "overlap is not a number"},
		"a merge that is no string":      {path, json(images(`{"tile":640,"merge":1}`, "one")), 400, apierror.InvalidParameter, "merge is not a string"},
		"the whole image as a string":    {path, json(images(`{"tile":640,"whole_image":"true"}`, "one")), 400, apierror.InvalidParameter, "whole_image is"},
		"classes of none in JSON":        {path, json(images(`{"classes":[]}`, "one")), 400, apierror.InvalidParameter, "classes is empty"},
		"classes that are objects":       {path, json(images(`{"classes":[{}]}`, "one")), 400, apierror.InvalidParameter, "must be an array of labels and numbers"},
		"classes that are nested":        {path, json(images(`{"classes":["a",[1]]}`, "one")), 400, apierror.InvalidParameter, "must be an array of labels and numbers"},
		"a negative class":               {path, json(images(`{"classes":-1}`, "one")), 400, apierror.InvalidParameter, "must be an array of labels and numbers"},
		"parameters that are an array":   {path, json(images(`[]`, "one")), 400, apierror.Malformed, "parameters is not an object"},
		"a parameter in query and JSON":  {path + "?top_k=3", json(images(`{"top_k":3}`, "one")), 400, apierror.InvalidParameter, "given twice"},
		"a thousand nested arrays":       {path, json(`{"images":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}"), 400, apierror.Malformed, "images[] is not an object"},
		"JSON with an image too large":   {path, json(images("", large)), 413, apierror.BodyTooLarge, "images[0].b64 is larger than the limit of 1048576 bytes"},
		"JSON with an image too many":    {path, json(images("", strings.Fields("1a 2a 3a 4a 5a 6a 7a 8a 9a")...)), 400, apierror.Malformed, "more than 8 images"},
		"JSON with all images bad":       {path, json(images("", "truncated", "huge")), 422, apierror.AllFailed, "none of the 2 images"},
		"JSON whose one image is bad":    {path, json(images("", "truncated")), 422, apierror.Undecodable, "truncated"},
		"multipart without a boundary":   {path, [2]string{"multipart/form-data", "pixels"}, 400, apierror.Malformed, "boundary"},
		"multipart, 71-byte boundary":    {path, [2]string{"multipart/form-data; boundary=" + strings.Repeat("x", 71), "pixels"}, 400, apierror.Malformed, "a boundary of 1 to 70 characters"},
		"multipart of another boundary":  {path, [2]string{"multipart/form-data; boundary=other", form("image=one")[1]}, 400, apierror.Malformed, ""},
		"multipart of another kind":      {path, [2]string{"multipart/mixed; boundary=x", "pixels"}, 415, apierror.UnsupportedMedia, "multipart/form-data"},
		"multipart that is empty":        {path, form(), 400, apierror.Malformed, ""},
		"multipart without images":       {path, form("top_k=3"), 400, apierror.Malformed, "has no image"},
		"a part of an unknown name":      {path, form("file=one"), 400, apierror.InvalidParameter, `"file"; send images as parts named image, or their addresses as url`},
		"a parameter given in two parts": {path, form("image=one", "top_k=3", "top_k=3"), 400, apierror.InvalidParameter, "given twice"},
		"a parameter of many bytes":      {path, form("image=one", "top_k="+strings.Repeat("1", 5000)), 400, apierror.InvalidParameter, "not a number"},
		"an empty image in a part":       {path, form("image="), 400, apierror.Malformed, "the image is empty"},
		"a part too large":               {path, form("image=" + large), 413, apierror.BodyTooLarge, "image 0 is larger than the limit of 1048576 bytes"},
		"10,000 parts":                   {path, form(strings.Split(strings.Repeat("image=one,", 9999)+"image=one", ",")...), 400, apierror.Malformed, "more than 8 images"},
		"a part with 10,000 headers":     {path, [2]string{"multipart/form-data; boundary=x", "--x\r\n" + strings.Repeat("A: b\r\n", 10000) + "\r\n\r\n--x--\r\n"}, 400, apierror.Malformed, ""},
		"a part with 17 headers":         {path, [2]string{"multipart/form-data; boundary=x", "--x\r\n" + seventeenHeaders() + "\r\n\r\n--x--\r\n"}, 400, apierror.Malformed, "more than 16 headers"},
		"a part in base64":               {path, [2]string{"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=image\r\nContent-Transfer-Encoding: base64\r\n\r\nb25l\r\n--x--\r\n"}, 415, apierror.UnsupportedMedia, "allowed: 7bit"},
		"a part in b":                    {path, [2]string{"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=image\r\nContent-Transfer-Encoding: b\r\n\r\nb25l\r\n--x--\r\n"}, 415, apierror.UnsupportedMedia, `"b" is not supported; allowed: 7bit 8bit binary`},
		"a part without a name":          {path, [2]string{"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; filename=image 1.jpg\r\n\r\none\r\n--x--\r\n"}, 400, apierror.InvalidParameter, `no readable name in its Content-Disposition "form-data; filename=image 1.jpg"; send images as parts named image, or their addresses as url`},
		"a part of another name":         {path, [2]string{"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=file; filename=image 1.jpg\r\n\r\none\r\n--x--\r\n"}, 400, apierror.InvalidParameter, `unknown part "file"; send images as parts named image, or their addresses as url`},
		"multipart that is truncated":    {path, [2]string{"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=image\r\n\r\npix"}, 400, apierror.Malformed, "ends unexpectedly"},
		"multipart larger than any body": {path, form("image="+large[:1<<19], "image="+large[:1<<20], "image="+large[:1<<20], "image="+large[:1<<20], "image="+large[:1<<20]), 413, apierror.BodyTooLarge, "larger than the limit of 4194304 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			got := s.post(test.path, test.send[0], test.send[1])
			if got.Status != test.want || test.code != "" && got.Code != test.code || !strings.Contains(got.Error, test.says) {
				t.Errorf("got %d %s\nwant %d %s: %s", got.Status, got.Body, test.want, test.code, test.says)
			}
			s.good()
		})
	}
	if bytes, requests := s.server.admission.Bytes(), s.server.admission.Requests(); bytes != 0 || requests != 0 {
		t.Errorf("%d requests of %d bytes are still counted as in flight", requests, bytes)
	}
}

func seventeenHeaders() string {
	var b strings.Builder
	for i := range 17 {
		fmt.Fprintf(&b, "X-%d: y\r\n", i)
	}
	return b.String()
}

func TestContentEncodings(t *testing.T) {
	s := open(t)
	for encoding, want := range map[string]int{"gzip": 415, "br": 415, "identity, gzip": 415, "identity": 200, "Identity": 200} {
		r := s.request("POST", "/predict", "image/jpeg", strings.NewReader(bomb()))
		r.Header.Set("Content-Encoding", encoding)
		if got := s.do(r); got.Status != want || want == 415 && !strings.Contains(got.Error, "send the body without one") {
			t.Errorf("%s: %d %.200s", encoding, got.Status, got.Body)
		}
	}
	r := s.request("POST", "/predict", "image/jpeg", strings.NewReader(bomb()))
	r.Header["Content-Encoding"] = []string{"identity", "gzip"}
	if got := s.do(r); got.Status != 415 {
		t.Errorf("a second header: %d %.200s", got.Status, got.Body)
	}
	s.good()
}

func TestHead(t *testing.T) {
	s := open(t)
	for path, want := range map[string]int{
		"/health": 200, "/ready": 200, "/metrics": 200, "/openapi.json": 200, "/v1/models": 200, "/v1/models/cats": 200, "/v1/models/dogs": 404,
	} {
		got := s.do(s.request("HEAD", path, "", nil))
		if got.Status != want || len(got.Body) > 0 || got.Header.Get("Content-Type") == "" {
			t.Errorf("HEAD %s: %d %v %s", path, got.Status, got.Header, got.Body)
		}
	}
}

func TestOtherMethods(t *testing.T) {
	s := open(t)
	for target, allow := range map[string]string{
		"GET /predict": "POST", "DELETE /v1/models/cats": "GET, HEAD", "POST /health": "GET, HEAD", "HEAD /predict": "POST",
		"OPTIONS /v1/models/cats/predict": "POST", "BREW /metrics": "GET, HEAD",
	} {
		method, path, _ := strings.Cut(target, " ")
		got := s.do(s.request(method, path, "", nil))
		if got.Status != 405 || got.Header.Get("Allow") != allow || method != "HEAD" && got.Code != apierror.MethodNotAllowed {
			t.Errorf("%s: %d, Allow %q, %s", target, got.Status, got.Header.Get("Allow"), got.Body)
		}
	}
}

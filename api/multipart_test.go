package api

import (
	"mime"
	"strings"
	"testing"
)

func TestDispositionName(t *testing.T) {
	const name = `form-data; name="image"; filename=`
	for text, want := range map[string]string{
		name + `IMG 1.jpg`:                "image",
		name + `IMG_(1).jpg`:              "image",
		name + `a/b.jpg`:                  "image",
		name + `ф.jpg`:                    "image",
		name + `"a;b.jpg"`:                "image",
		name + `"a"b.jpg"`:                "image",
		name + `"a`:                       "image",
		name + `C:\new folder\`:           "image",
		name + `"C:\new folder\x.jpg"; x`: "image",
		name + `x.jpg;`:                   "image",
		name + `=?UTF-8?Q?x?=`:            "image",
		name:                              "image",
		`form-data; filename=a b.jpg; name=image`:                       "image",
		`form-data; filename=a b.jpg; name="image"`:                     "image",
		`form-data; filename=it"s.jpg; name=image;`:                     "image",
		`form-data; filename="a b; name=\"file\".jpg"; name=image;;`:    "image",
		`form-data ;NAME = "image" ;FILENAME = a b`:                     "image",
		`FORM-DATA; Name=image; filename=a b`:                           "image",
		`form-data;name=image;filename=a b`:                             "image",
		`form-data; name="image"; filename=a b; filename*=UTF-8''a%20b`: "image",
		`form-data; name="image"; name=image; filename=a b`:             "image",
		`form-data; name="my \"image\\"; filename=a b`:                  `my "image\`,
		`form-data; name=two words; filename=a b`:                       "two words",

		`form-data; name="image"; name="file"; filename=a b`: "",
		`form-data; filename=a b.jpg`:                        "",
		`form-data; name=; filename=a b`:                     "",
		`form-data; filename="name=image"; x y`:              "",
		`attachment; name="image"; filename=a b`:             "",
		`name="image"; filename=a b`:                         "",
		``:                                                   "",
		`form-data`:                                          "",
		`form-data; name`:                                    "",
	} {
		if got := dispositionName(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestInvalidContentDispositions(t *testing.T) {
	s := open(t)
	for _, filename := range []string{`IMG 1.jpg`, `a/b(1).jpg`, `ф.jpg`, `"a"b"`, `x;`, "\xff\xfe.jpg"} {
		got := s.post("/predict", "multipart/form-data; boundary=X",
			"--X\r\nContent-Disposition: form-data; name=\"image\"; filename="+filename+"\r\nContent-Type: image/jpeg\r\n\r\npixels\r\n--X--\r\n")
		if got.Status != 200 || labels(got)[0] != "pixels" {
			t.Errorf("%s: %d %s", filename, got.Status, got.Body)
		}
	}
}

// FuzzDisposition holds the name against package mime's, where that reads it.
func FuzzDisposition(f *testing.F) {
	for _, seed := range []string{`form-data; name="image"; filename="a"`, `form-data; name=image`, `form-data; filename=a b; name="x\"y"`, `form-data; name*=UTF-8''image`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 {
			t.Skip()
		}
		got := dispositionName(text)
		if len(got) > len(text) {
			t.Errorf("%q gives %q", text, got)
		}
		kind, params, err := mime.ParseMediaType(text)
		want := params["name"]
		if err != nil || kind != "form-data" || want == "" || strings.ContainsAny(text, `*\`) {
			return // package mime decodes name*, and takes a backslash in other places
		}
		if got != want {
			t.Errorf("%q gives %q, package mime %q", text, got, want)
		}
	})
}

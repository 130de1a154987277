package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fovea/internal/apikey"
	"fovea/internal/testenv"
)

// finished runs a command of the binary to its end.
func finished(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, status int) {
	t.Helper()
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &notes
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), notes.String(), cmd.ProcessState.ExitCode()
}

// predictCLI runs serve predict with the color classifier.
func predictCLI(t *testing.T, dir string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	return finished(t, command(t, dir, append([]string{"predict"}, args...)...))
}

// seenImage is a line of --jsonl.
type seenImage struct {
	Image, Model, Version, Error, Code string
	Prediction                         struct {
		Top []struct {
			Label string
			Score float64
		}
		Boxes []struct{ Label string }
	}
}

func parseLines(t *testing.T, text string) (list []seenImage) {
	t.Helper()
	if text != "" && !strings.HasSuffix(text, "\n") {
		t.Fatalf("the last line is not whole: %q", text)
	}
	for line := range strings.Lines(text) {
		var one seenImage
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		list = append(list, one)
	}
	return list
}

// colorImages has n images of each color, a file that is none, and one that is truncated.
func colorImages(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	colorFolders(t, dir, n)
	broken := oneColor(t, color.White)
	lay(t, dir, map[string]string{"bad/broken.png": string(broken[:len(broken)-30]), "bad/text.jpg": "no image", "notes.txt": "x"})
	return dir
}

func TestPredictFoldersOfImages(t *testing.T) {
	repo, images := colorRepository(t, "", colorClassifier(0, 1, 2)), colorImages(t, 20)
	out, notes, status := predictCLI(t, repo, "colors", images, "none.jpg", "--jsonl", "--top-k=1")
	if status != 65 {
		t.Fatalf("exit status %d\n%s", status, notes)
	}
	list := parseLines(t, out)
	if len(list) != 63 || !slices.IsSortedFunc(list[:62], func(a, b seenImage) int { return strings.Compare(a.Image, b.Image) }) {
		t.Fatalf("%d lines", len(list))
	}
	for _, one := range list {
		label := filepath.Base(filepath.Dir(one.Image))
		switch {
		case label == "bad" && (one.Error == "" || one.Code == "" || one.Model != ""), one.Image == "none.jpg" && one.Error != "no such file or directory":
			t.Errorf("%+v", one)
		case label != "bad" && one.Image != "none.jpg" && (len(one.Prediction.Top) != 1 || one.Prediction.Top[0].Label != label || one.Model != "colors" || one.Version != "1"):
			t.Errorf("%+v", one)
		}
	}
	for _, want := range []string{"63 images in ", "serve: predict: 3 of 63 images have no prediction:\n", "\n  " + images + "/bad/broken.png: ", "\n  " + images + "/bad/text.jpg: ",
		"\n  none.jpg: no such file or directory\n"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in\n%s", want, notes)
		}
	}
	if strings.Contains(out+notes, "\x1b") {
		t.Error("escape sequences outside a terminal")
	}
}

func TestPredictInEveryFormat(t *testing.T) {
	repo := colorRepository(t, "", colorClassifier(0, 1, 2))
	path := filepath.Join(t.TempDir(), "a.png")
	write(t, path, oneColor(t, color.RGBA{R: 255, A: 255}))
	for name, c := range map[string]struct {
		args  []string
		check func(out string) bool
	}{
		"a table": {nil, func(out string) bool { return strings.Contains(out, path+"  red ") }},
		"CSV": {[]string{"--csv"}, func(out string) bool {
			rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
			return err == nil && len(rows) == 4 && slices.Equal(rows[0], []string{"image", "class", "label", "score"}) && rows[1][2] == "red"
		}},
		"JSON": {[]string{"--json"}, func(out string) bool {
			var list []seenImage
			return json.Unmarshal([]byte(out), &list) == nil && len(list) == 1 && list[0].Prediction.Top[0].Label == "red"
		}},
		"lines of JSON": {[]string{"--jsonl"}, func(out string) bool { return parseLines(t, out)[0].Prediction.Top[0].Label == "red" }},
	} {
		if out, notes, status := predictCLI(t, repo, append(c.args, "colors/1", path)...); status != 0 || !c.check(out) || notes != "" {
			t.Errorf("%s: exit status %d, %s\n%s", name, status, notes, out)
		}
	}
	for ending, begin := range map[string]string{".json": "[\n{", ".jsonl": `{"image"`, ".NDJSON": `{"image"`, "": "IMAGE ", ".csv": "image,", ".txt": "IMAGE "} {
		file := filepath.Join(t.TempDir(), "seen"+ending)
		out, notes, status := predictCLI(t, repo, "colors", path, "-o", file)
		if text, err := os.ReadFile(file); status != 0 || out != "" || err != nil || !strings.HasPrefix(string(text), begin) {
			t.Errorf("%s: %d %s %q %v", ending, status, notes, text, err)
		}
	}
}

func TestPredictFromStandardInput(t *testing.T) {
	repo, images := colorRepository(t, "", colorClassifier(0, 1, 2)), colorImages(t, 2)
	cmd := command(t, repo, "predict", "colors", "-", "--jsonl")
	cmd.Stdin = bytes.NewReader(oneColor(t, color.RGBA{B: 255, A: 255}))
	if out, notes, status := finished(t, cmd); status != 0 || parseLines(t, out)[0].Prediction.Top[0].Label != "blue" || parseLines(t, out)[0].Image != "-" {
		t.Errorf("an image: %d %s %s", status, out, notes)
	}
	cmd = command(t, repo, "predict", "colors", "--files-from=-", "--jsonl")
	cmd.Stdin = strings.NewReader(images + "/red\n" + images + "/blue/001.png\n")
	if out, notes, status := finished(t, cmd); status != 0 || len(parseLines(t, out)) != 3 {
		t.Errorf("names: %d %s %s", status, out, notes)
	}
}

func TestPredictWithAnONNXFile(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"best.onnx": string(detector()), "in/red.jpg": string(solid(t, 64, 64, color.RGBA{255, 0, 0, 255})), "in/sub/blue.jpg": string(solid(t, 100, 50, color.RGBA{0, 0, 255, 255}))})
	seen, crops := filepath.Join(dir, "seen"), filepath.Join(dir, "crops")
	out, notes, status := predictCLI(t, dir, filepath.Join(dir, "best.onnx"), filepath.Join(dir, "in"), "--annotate", seen, "--crop", crops, "--jsonl", "--score-threshold=0.3")
	if status != 0 {
		t.Fatalf("%d %s", status, notes)
	}
	if !strings.Contains(notes, "; annotated images are in "+seen+"; crops are in "+crops+"\n") {
		t.Errorf("the summary is %q", notes)
	}
	boxes := 0
	for _, one := range parseLines(t, out) {
		boxes += len(one.Prediction.Boxes)
	}
	files := 0
	_ = filepath.WalkDir(crops, func(path string, entry os.DirEntry, _ error) error {
		if !entry.IsDir() {
			files++
		}
		return nil
	})
	if boxes == 0 || files != boxes {
		t.Errorf("%d boxes, %d crops", boxes, files)
	}
	for _, name := range []string{"red.jpg", "sub/blue.jpg"} {
		file, err := os.Open(filepath.Join(seen, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, format, err := image.DecodeConfig(file); err != nil || format != "jpeg" {
			t.Errorf("%s: %s %v", name, format, err)
		}
		_ = file.Close()
	}
	if err := os.Symlink(filepath.Join(dir, "in"), filepath.Join(dir, "same")); err != nil {
		t.Fatal(err)
	}
	if _, notes, status := predictCLI(t, dir, filepath.Join(dir, "best.onnx"), filepath.Join(dir, "in"), "--annotate", filepath.Join(dir, "same")); status != 1 || !strings.Contains(notes, "would overwrite "+dir+"/in/red.jpg") {
		t.Errorf("the folder of the images: %d %s", status, notes)
	}
	for name, c := range map[string]struct {
		model, says string
		status      int
	}{"a file of another name": {"pets", `"label":"`, 0}, "an image instead of a model": {"red.jpg", "is a JPEG image, not ONNX", 1}} {
		lay(t, dir, map[string]string{"in/pets": string(detector())})
		cmd := command(t, t.TempDir(), "predict", c.model, "red.jpg", "--jsonl", "--score-threshold=0.3")
		cmd.Dir = filepath.Join(dir, "in")
		if out, notes, status := finished(t, cmd); status != c.status || !strings.Contains(out+notes, c.says) {
			t.Errorf("%s: %d %s%s", name, status, out, notes)
		}
	}
	if _, _, status := predictCLI(t, dir, filepath.Join(dir, "none.onnx"), dir); status == 0 || status == 65 {
		t.Errorf("a model that is not there: exit status %d", status)
	}
}

func TestPredictWithAPipeline(t *testing.T) {
	repo, images := colorRepository(t, "", colorClassifier(0, 1, 2)), colorImages(t, 5)
	lay(t, repo, map[string]string{"pets/1/model.onnx": string(detector()), "both/model.yaml": "task: pipeline\nsteps:\n  - {name: find, model: pets}\n  - {name: color, model: colors, of: find}\n"})
	out, notes, status := predictCLI(t, repo, "both", images+"/red", "--csv", "--crop", t.TempDir())
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if status != 0 || err != nil || len(rows) < 6 || !slices.Equal(rows[0][:4], []string{"image", "step", "class", "label"}) || rows[0][len(rows[0])-1] != "color" {
		t.Fatalf("%d %v %s\n%.500s", status, err, notes, out)
	}
	if last := rows[1][len(rows[1])-1]; rows[1][1] != "find" || !strings.Contains(last, `"label":"red"`) {
		t.Errorf("%q", rows[1])
	}
}

func TestPredictResumes(t *testing.T) {
	repo, images := colorRepository(t, "", colorClassifier(0, 1, 2)), colorImages(t, 10)
	file := filepath.Join(t.TempDir(), "seen.jsonl")
	all, _, _ := predictCLI(t, repo, "colors", images, "--jsonl")
	lines := strings.SplitAfter(all, "\n")
	write(t, file, []byte(strings.Join(lines[:12], "")+lines[12][:30])) // bad/ comes first, so two of these failed
	out, notes, status := predictCLI(t, repo, "colors", images, "-o", file, "--resume")
	if status != 65 || out != "" || !strings.Contains(notes, "22 images in ") || !strings.Contains(notes, "; 10 were done before") {
		t.Errorf("%d %s%s", status, out, notes)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.SplitAfter(string(text), "\n")
	slices.Sort(got)
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		t.Errorf("the resumed file differs from that of one run:\n%s", text)
	}
	other := colorRepository(t, "", colorClassifier(0, 1, 2), colorClassifier(2, 1, 0))
	if _, notes, status := predictCLI(t, other, "colors/2", images, "-o", file, "--resume"); status != 1 || !strings.Contains(notes, "has predictions of colors version 1") {
		t.Errorf("another version: %d %s", status, notes)
	}
}

func TestPredictIsInterrupted(t *testing.T) {
	repo, images := colorRepository(t, "", colorClassifier(0, 1, 2)), t.TempDir()
	data := testenv.Image(t, "coffee.jpg")
	for i := range 3000 {
		write(t, filepath.Join(images, fmt.Sprintf("%04d.jpg", i)), data)
	}
	file := filepath.Join(t.TempDir(), "seen.jsonl")
	for name, c := range map[string]struct {
		signal os.Signal
		json   bool
	}{"SIGINT": {os.Interrupt, false}, "SIGTERM with --json": {syscall.SIGTERM, true}} {
		args := []string{"predict", "colors", images, "-o", file}
		if c.json {
			args = append(args, "--json")
		}
		cmd := command(t, repo, args...)
		var notes bytes.Buffer
		cmd.Stderr = &notes
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(time.Minute)
		for info, err := os.Stat(file); err != nil || info.Size() < 2000; info, err = os.Stat(file) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: nothing is written", name)
			}
			time.Sleep(5 * time.Millisecond)
		}
		for range 3 { // timeout(1) signals the process, and then its group
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		_ = cmd.Wait()
		text, err := os.ReadFile(file)
		if cmd.ProcessState.ExitCode() != 130 || err != nil || !strings.Contains(notes.String(), "serve: predict: interrupted after ") || strings.Contains(notes.String(), "canceled") {
			t.Fatalf("%s: %d %v %s", name, cmd.ProcessState.ExitCode(), err, notes.String())
		}
		var n int
		if c.json {
			var list []seenImage
			if err := json.Unmarshal(text, &list); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			n = len(list)
		} else {
			n = len(parseLines(t, string(text)))
		}
		if n == 0 || n == 3000 {
			t.Errorf("%s: %d images are done", name, n)
		}
		_ = os.Remove(file)
	}
}

func TestPredictIsInterruptedWhileItReadsStandardInput(t *testing.T) {
	cmd := command(t, colorRepository(t, "", colorClassifier(0, 1, 2)), "predict", "colors", "-")
	in, err := cmd.StdinPipe() // never ends
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var notes testenv.Buffer
	cmd.Stderr = &notes
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(make([]byte, 1<<20)); err != nil { // more than a pipe holds, so that it is being read
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); exitStatus(err) != 130 || !strings.Contains(notes.String(), "interrupted before the first image\n") {
		t.Errorf("%v %s", err, notes.String())
	}
}

func TestPredictOnATerminal(t *testing.T) {
	repo, images := colorRepository(t, "", colorClassifier(0, 1, 2)), colorImages(t, 3)
	terminal := func(columns int, env []string, change func(*exec.Cmd), args ...string) (string, int) {
		cmd := command(t, repo, append([]string{"predict", "colors", images}, args...)...)
		cmd.Env = append(append(cmd.Env, "TERM=xterm"), env...)
		if change != nil {
			change(cmd)
		}
		return testenv.OnTerminal(t, cmd, columns)
	}
	text, status := terminal(90, nil, nil)
	for _, want := range []string{"\x1b[1mIMAGE", "█", "\x1b[31merror: ", " of 11 images · ", " left", "loading colors …", "2 of 11 images have no prediction"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%q", want, text)
		}
	}
	for line := range strings.SplitSeq(text[:strings.Index(text, "serve: predict")], "\n") {
		line = line[strings.LastIndex(line, "\x1b[K")+1:] // what is left of it
		if plain := strings.NewReplacer("\x1b[1m", "", "\x1b[36m", "", "\x1b[31m", "", "\x1b[2m", "", "\x1b[0m", "", "[K", "", "\r", "").Replace(line); len([]rune(plain)) > 90 {
			t.Errorf("%d columns: %q", len([]rune(plain)), plain)
		}
	}
	if status != 65 {
		t.Errorf("exit status %d", status)
	}
	if text, _ := terminal(90, []string{"NO_COLOR=1"}, nil); strings.Contains(text, "m") && strings.Contains(text, "\x1b[3") || !strings.Contains(text, "█") {
		t.Errorf("with NO_COLOR: %q", text)
	}
	if text, _ := terminal(90, []string{"TERM=dumb"}, nil); strings.ContainsAny(strings.ReplaceAll(text, "\r\n", "\n"), "\x1b\r") || !strings.Contains(text, "11 images in ") {
		t.Errorf("with TERM=dumb: %q", text)
	}
	if text, _ := terminal(90, nil, nil, "--quiet", "--jsonl"); strings.Contains(text, "\x1b") || strings.Contains(text, "images in") {
		t.Errorf("with --quiet: %q", text)
	}
	var out bytes.Buffer
	text, _ = terminal(60, nil, func(cmd *exec.Cmd) { cmd.Stdout = &out })
	if strings.ContainsAny(out.String(), "\x1b█") || !strings.Contains(text, "of 11 images") {
		t.Errorf("a table in a pipe: %q; on the terminal %q", out.String(), text)
	}
	var notes bytes.Buffer
	text, _ = terminal(60, nil, func(cmd *exec.Cmd) { cmd.Stderr = &notes })
	if strings.Contains(notes.String(), "\x1b") || strings.Contains(notes.String(), "left") || !strings.Contains(text, "IMAGE") {
		t.Errorf("standard error in a pipe: %q", notes.String())
	}
}

func TestPredictWithAServer(t *testing.T) {
	repo, images := colorRepository(t, "", colorClassifier(0, 1, 2)), colorImages(t, 10)
	file, secrets := testenv.KeyFile(t, apikey.Key{Name: "camera", Scopes: []string{"predict"}})
	p := start(t, repo, "--http.keys="+file).waitReady()
	key := secrets["camera"]
	local, _, _ := predictCLI(t, repo, "colors", images, "--jsonl", "--top-k=2")
	keyFile := filepath.Join(t.TempDir(), "key.txt")
	write(t, keyFile, []byte(key+"\n"))
	server := "--server=http://" + p.address
	for name, c := range map[string]struct {
		env  string
		args []string
	}{
		"a key of the environment":  {"FOVEA_API_KEY=" + key, nil},
		"a key":                     {"FOVEA_API_KEY=wrong", []string{"--key", key}},
		"a file with a key":         {"X=", []string{"--key-file", keyFile}},
		"a version":                 {"FOVEA_API_KEY=" + key, nil},
		"one connection at a time":  {"FOVEA_API_KEY=" + key, []string{"--parallel=1"}},
		"annotated images, crops":   {"FOVEA_API_KEY=" + key, []string{"--annotate", filepath.Join(t.TempDir(), "seen"), "--crop", t.TempDir()}},
		"a resumed, complete file ": {"FOVEA_API_KEY=" + key, nil},
	} {
		cmd := command(t, t.TempDir(), append([]string{"predict", map[bool]string{true: "colors/1", false: "colors"}[name == "a version"], images, "--jsonl", "--top-k=2", server}, c.args...)...)
		cmd.Env = append(cmd.Env, c.env)
		out, notes, status := finished(t, cmd)
		if status != 65 || !sameLines(t, out, local) {
			t.Errorf("%s: %d %.600s\n%.600s", name, status, notes, out)
		}
		if strings.Contains(out+notes, key) {
			t.Errorf("%s: the key is shown", name)
		}
		if len(c.args) == 4 {
			if _, err := os.Stat(filepath.Join(c.args[1], "red", "000.png")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no key":               {[]string{"colors", server}, "the server requires an API key; give it with --key-file or in FOVEA_API_KEY"},
		"a wrong key":          {[]string{"colors", server, "--key=fovea_wrong"}, "the API key is not valid"},
		"a model it lacks":     {[]string{"cats", server, "--key", key}, "cats"},
		"a path as a model":    {[]string{"./colors.onnx", server, "--key", key}, "not the name of a model of a server"},
		"no server there":      {[]string{"colors", "--server=http://127.0.0.1:9", "--key", key}, "the server cannot be reached"},
		"a parameter it lacks": {[]string{"colors", server, "--key", key, "--max-boxes=3"}, "top_k"},
		"a key with a space":   {[]string{"colors", server, "--key", key + " x"}, "spaces"},
	} {
		out, notes, status := predictCLI(t, t.TempDir(), append(c.args, images+"/red", "--jsonl")...)
		if status != 1 || !strings.Contains(notes, c.want) || out != "" || strings.Contains(notes, key) || strings.Contains(notes, "fovea_wrong") {
			t.Errorf("%s: %d %s%s", name, status, out, notes)
		}
	}
}

// sameLines reports whether two outputs have the same results; scores may differ where batches do.
func sameLines(t *testing.T, got, want string) bool {
	t.Helper()
	a, b := parseLines(t, got), parseLines(t, want)
	return slices.EqualFunc(a, b, func(a, b seenImage) bool {
		same := a.Image == b.Image && a.Model == b.Model && a.Version == b.Version && a.Code == b.Code && (a.Error == "") == (b.Error == "") && len(a.Prediction.Top) == len(b.Prediction.Top)
		for i := range a.Prediction.Top {
			same = same && a.Prediction.Top[i].Label == b.Prediction.Top[i].Label
		}
		return same
	})
}

func TestPredictRefusesWrongUsage(t *testing.T) {
	repo := colorRepository(t, "", colorClassifier(0, 1, 2))
	for want, args := range map[string][]string{
		"name images or folders":                       {"colors"},
		"usage: serve predict MODEL IMAGE…":            {},
		"--server: the value is empty":                 {"colors", "a.jpg", "--server="},
		"--annotate: the value is empty":               {"colors", "a.jpg", "--annotate", ""},
		"--output: .jsn is none of .json":              {"colors", "a.jpg", "-o", "seen.jsn"},
		"--annotate: mkdir /dev/null: not a directory": {"colors", "a.jpg", "--annotate=/dev/null/seen"},
		"--crop: mkdir /dev/null: not a directory":     {"colors", "a.jpg", "--crop=/dev/null"},
		"give one of these":                            {"colors", "a.jpg", "--json", "--csv"},
		"--resume: needs --jsonl and --output":         {"colors", "a.jpg", "--resume", "--jsonl"},
		"--parallel: 2000 is out of range":             {"colors", "a.jpg", "--parallel=2000"},
		"--score-threshold: 1.5 is out of range (0–1)": {"colors", "a.jpg", "--score-threshold=1.5"},
		"--top-k: 0 is out of range (1–1000)":          {"colors", "a.jpg", "--top-k=0"},
		"need --server":                                {"colors", "a.jpg", "--key=x"},
		"there is no model cats":                       {"cats", "a.jpg"},
		"repository.dir: stat /none: no such file":     {model, "a.jpg", "--repository.dir=/none"},
		"standard input is either":                     {"colors", "-", "--files-from=-"},
		"--files-from: open none.txt":                  {"colors", "--files-from=none.txt"},
		"ended after 0 of 1 images":                    {"colors", testenv.Root(t) + "/testdata/images/coffee.jpg", "--max-boxes=3"},
	} {
		out, notes, status := predictCLI(t, repo, args...)
		if status != 1 || !strings.Contains(notes, want) || out != "" {
			t.Errorf("%q: %d %s %q", args, status, notes, out)
		}
	}
}

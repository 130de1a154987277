package repository

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// headBytes is how much of a file describeFormat needs.
const headBytes = 4096

// Advice for files of other formats.
const (
	exportTorch   = "export the model with torch.onnx.export, or with its own export command if it has one"
	exportTF      = "convert it with tf2onnx (python -m tf2onnx.convert)"
	unpack        = "unpack it and copy the model.onnx in it"
	copyAgain     = "copy it again"
	otherFile     = "it is another file than the model; use the ONNX file"
	downloadAgain = "the download returned a server's response instead of the file; check the URL and your access to it, and download it again"
	useSource     = "use the ONNX file that it was made from"
)

// A format is one that is found instead of ONNX, recognized by bytes at an offset.
type format struct {
	at     int
	bytes  string
	what   string
	advice string
}

// formats are tried in this order. The signatures are from the formats' documentation and libmagic.
var formats = []format{
	{0, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", "a PyTorch file (older than version 1.6)", exportTorch},
	{0, "\x89HDF\r\n\x1a\n", "an HDF5 file, such as Keras' .h5", exportTF},
	{4, "TFL3", "a TensorFlow Lite model", "convert it with tf2onnx (python -m tf2onnx.convert --tflite)"},
	{4, "ORTM", "a model in ONNX Runtime's own format (.ort)", useSource},
	{0, "ptrt", "a TensorRT engine", useSource},
	{0, "ftrt", "a TensorRT engine", useSource},
	{0, "GGUF", "a GGUF file, as for llama.cpp", "Fovea serves ONNX vision models"},
	{0, "\x93NUMPY", "a NumPy array", "export the model to ONNX"},
	{0, "\x1f\x8b", "compressed with gzip", unpack},
	{0, "BZh", "compressed with bzip2", unpack},
	{0, "\xfd7zXZ\x00", "compressed with xz", unpack},
	{0, "\x28\xb5\x2f\xfd", "compressed with zstd", unpack},
	{0, "\x04\x22\x4d\x18", "compressed with lz4", unpack},
	{0, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive", unpack},
	{0, "Rar!\x1a\x07", "a RAR archive", unpack},
	{257, "ustar", "a tar archive", unpack},
	{0, "7767517", "an ncnn model", "export the model to ONNX from where it was trained"},
	{0, "\x7fELF", "a program or library", otherFile},
	{0, "\xff\xd8\xff", "a JPEG image", otherFile},
	{0, "\x89PNG\r\n\x1a\n", "a PNG image", otherFile},
	{0, "%PDF-", "a PDF document", otherFile},
}

// describeFormat says which other format a file that begins with head has, and what to do; empty if it is unknown. size is the
// file's.
func describeFormat(head []byte, size int64) string {
	if text := cmp.Or(zeros(head, size), pointer(head, size), zipped(head), pickled(head), safetensors(head), protobufs(head),
		ultralytics(head, size), markup(head)); text != "" {
		return text
	}
	for _, f := range formats {
		if len(head) >= f.at && bytes.HasPrefix(head[f.at:], []byte(f.bytes)) {
			return f.what + ", not ONNX: " + f.advice
		}
	}
	if len(head) > 1 && printable(head) {
		return "a text that begins with " + firstLine(string(head)) + ", not ONNX: " + otherFile
	}
	return ""
}

func zeros(head []byte, size int64) string {
	if len(head) == 0 || len(bytes.Trim(head, "\x00")) > 0 {
		return ""
	}
	return fmt.Sprintf("%d bytes, and the first %d are zero, not ONNX: a download or copy was interrupted; %s", size, len(head), copyAgain)
}

var lfsSize = regexp.MustCompile(`(?m)^size (\d{1,18})\r?$`)

// pointer recognizes files that stand for another one.
func pointer(head []byte, size int64) string {
	text := string(bytes.TrimPrefix(head, []byte("\ufeff")))
	switch {
	case strings.HasPrefix(text, "version https://git-lfs.github.com/spec/"), strings.HasPrefix(text, "version https://hawser.github.com/spec/"):
		model := ""
		if m := lfsSize.FindStringSubmatch(text); m != nil {
			model = " for a file of " + m[1] + " bytes"
		}
		return fmt.Sprintf("a Git LFS pointer of %d bytes%s, not the file itself: run `git lfs pull` where it was cloned, and copy it again", size, model)
	case strings.Contains(text, "/annex/objects/"):
		return "a git-annex pointer, not the file itself: run `git annex get` where it was cloned, and copy it again"
	case strings.HasPrefix(text, "outs:\n- md5:"), strings.HasPrefix(text, "md5: "):
		return "a DVC file, not the file itself: run `dvc pull` where it was cloned, and copy the file again"
	}
	return ""
}

// zipped recognizes archives by the name of their first file.
func zipped(head []byte) string {
	if !bytes.HasPrefix(head, []byte("PK\x03\x04")) && !bytes.HasPrefix(head, []byte("PK\x05\x06")) {
		return ""
	}
	first := ""
	if len(head) >= 30 {
		length := int(binary.LittleEndian.Uint16(head[26:]))
		first = string(head[30:min(len(head), 30+length)])
	}
	switch {
	case strings.HasSuffix(first, "data.pkl"), strings.HasSuffix(first, "/version"), strings.HasSuffix(first, "/byteorder"), strings.HasSuffix(first, ".format_version"):
		return "a PyTorch file (.pt, .pth), not ONNX: " + exportTorch
	case first == "metadata.json", first == "config.json", first == "model.weights.h5":
		return "a Keras file (.keras), not ONNX: " + exportTF
	case strings.HasSuffix(first, ".npy"):
		return "a NumPy archive (.npz), not ONNX: export the model to ONNX"
	}
	return "a zip archive, not ONNX: if it is a PyTorch file (.pt, .pth), " + exportTorch + "; otherwise " + unpack
}

// pickled recognizes Python pickles by the first operation of protocols 2 to 5.
func pickled(head []byte) string {
	if len(head) < 2 || head[0] != 0x80 || head[1] < 2 || head[1] > 5 || bytes.HasPrefix(head, []byte(formats[0].bytes)) {
		return ""
	}
	return "a Python pickle, such as old PyTorch files (.pt, .pth) and scikit-learn's, not ONNX: " + exportTorch
}

// safetensors recognizes the length of a JSON header.
func safetensors(head []byte) string {
	if len(head) < 9 || head[8] != '{' {
		return ""
	}
	if n := binary.LittleEndian.Uint64(head); n < 2 || n > 100<<20 {
		return ""
	}
	return "a safetensors file, which has weights without the model, not ONNX: load it in PyTorch and " + exportTorch
}

// protobufs recognizes other protobuf messages by their first fields.
func protobufs(head []byte) string {
	if len(head) > 3 && head[0] == 0x08 && head[1] < 0x80 && head[2] == 0x12 {
		meta, ok := first(head[3:], 0x0a)
		_, named := firstText(meta)
		switch {
		case ok && named: // Model: specificationVersion, then description, with an input, which has a name
			return "a Core ML model (.mlmodel), not ONNX: export the model to ONNX from where it was trained"
		case ok && head[1] == 1: // SavedModel: saved_model_schema_version, then meta_graphs, with meta_info_def
			return "a TensorFlow SavedModel (.pb), not ONNX: " + exportTF
		}
	}
	if len(head) < 2 || head[0] != 0x0a {
		return ""
	}
	if block, ok := first(head[1:], 0x08); ok && bytes.HasPrefix(block, []byte{0x00, 0x10}) { // ProgramDesc: blocks, with idx 0 and parent_idx
		return "a PaddlePaddle program (.pdmodel), not ONNX: convert it with paddle2onnx"
	}
	if node, ok := firstText(head[1:]); ok && len(node) > 0 && node[0] == 0x12 { // GraphDef: node, with name and op
		return "a TensorFlow graph (.pb), not ONNX: " + exportTF
	}
	return ""
}

// first skips the length of a message and the tag that it must begin with.
func first(data []byte, tag byte) (rest []byte, ok bool) {
	_, n := binary.Uvarint(data)
	if n <= 0 {
		return nil, false
	}
	return bytes.CutPrefix(data[n:], []byte{tag})
}

// firstText skips the length of a message and the text in field 1 that it must begin with.
func firstText(data []byte) (rest []byte, ok bool) {
	field, _ := first(data, 0x0a)
	length, n := binary.Uvarint(field)
	if n <= 0 || length == 0 || length > uint64(len(field)-n) || !printable(field[n:n+int(length)]) {
		return nil, false
	}
	return field[n+int(length):], true
}

// ultralytics recognizes the JSON text and its length that Ultralytics writes before a TensorRT engine.
func ultralytics(head []byte, size int64) string {
	if len(head) > 6 && head[4] == '{' && head[5] == '"' && int64(binary.LittleEndian.Uint32(head)) < size && binary.LittleEndian.Uint32(head) > 1 {
		return "a TensorRT engine exported by Ultralytics (.engine), not ONNX: export with format=onnx"
	}
	return ""
}

var errorText = regexp.MustCompile(`(?is)<(?:title|message|code)>\s*([^<]{1,200})`)

// markup recognizes stored responses of servers, and models in XML and JSON.
func markup(head []byte) string {
	text := strings.TrimLeft(string(bytes.TrimPrefix(head, []byte("\ufeff"))), " \t\r\n")
	lower := strings.ToLower(text)
	switch {
	case strings.HasPrefix(lower, "<!doctype html"), strings.HasPrefix(lower, "<html"), strings.HasPrefix(lower, "<head"), strings.HasPrefix(lower, "<body"),
		strings.HasPrefix(lower, "<!--") && strings.Contains(lower, "<html"):
		return "an HTML page" + title(text) + ", not ONNX: " + downloadAgain
	case strings.HasPrefix(text, "<") && strings.Contains(text, "<net ") && strings.Contains(text, "<layers"):
		return "an OpenVINO model (.xml), not ONNX: " + useSource
	case strings.HasPrefix(text, "<?xml"), strings.HasPrefix(lower, "<error"):
		return "an XML document" + title(text) + ", not ONNX: " + downloadAgain
	case (strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")) && printable([]byte(text)):
		return "a JSON text (" + firstLine(text) + "), not ONNX: " + downloadAgain
	case strings.HasPrefix(text, "HTTP/"):
		return "a server's response (" + firstLine(text) + "), not ONNX: " + downloadAgain
	}
	return ""
}

// title quotes the titles or messages of a page.
func title(text string) string {
	var titles []string
	for _, m := range errorText.FindAllStringSubmatch(text, 2) {
		titles = append(titles, firstLine(m[1]))
	}
	if len(titles) == 0 {
		return ""
	}
	return " (" + strings.Join(titles, ", ") + ")"
}

// printable reports whether data is text, which may end within a character.
func printable(data []byte) bool {
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == utf8.RuneError && n == 1 {
			return len(data) < utf8.UTFMax && !utf8.FullRune(data)
		}
		if !unicode.IsPrint(r) && !strings.ContainsRune("\t\r\n\f\ufeff", r) {
			return false
		}
		data = data[n:]
	}
	return true
}

// firstLine quotes at most 60 characters of the first line.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	runes := []rune(strings.TrimSpace(line))
	if len(runes) > 60 {
		runes = append(runes[:60], '…')
	}
	return strconv.Quote(string(runes))
}

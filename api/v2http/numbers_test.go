package v2http

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	v2 "fovea/internal/v2"
)

// wanted is what encoding/json and strconv make of the elements of a JSON array, of arrays if it likes. numbers is false if it is not an
// array of numbers that the datatype has.
func wanted(text []byte, datatype string) (data []byte, elements int64, numbers bool) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil || len(bytes.Trim(text[decoder.InputOffset():], " \t\r\n")) > 0 {
		return nil, 0, false
	}
	if _, ok := value.([]any); !ok {
		return nil, 0, false
	}
	numbers = true
	var each func(value any)
	each = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, v := range value {
				each(v)
			}
		case json.Number:
			elements++
			var ok bool
			if data, ok = writers[datatype](data, string(value)); !ok {
				numbers = false
			}
		default:
			numbers = false
		}
	}
	each(value)
	return data, elements, numbers
}

// readJSON reads data as the only input of a request.
func readJSON(text []byte, datatype string, elements int64) ([]byte, error) {
	body := slices.Concat([]byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"`), []byte(datatype), []byte(`","data":`), text, []byte(`}]}`))
	r, err := Parse(body, nil, unlimited)
	if err != nil {
		return nil, err
	}
	return r.Inputs[0].Data.Read("x", datatype, elements)
}

// checkNumbers compares what is read with what encoding/json reads.
func checkNumbers(t *testing.T, text []byte, datatype string) {
	t.Helper()
	want, elements, numbers := wanted(text, datatype)
	if !numbers {
		elements = int64(bytes.Count(text, []byte{','})) + 1 // as many as it seems to have
	}
	got, err := readJSON(text, datatype, elements)
	switch {
	case numbers && err != nil && !strings.Contains(err.Error(), "nested deeper"):
		t.Errorf("%s %s: %v", datatype, text, err)
	case numbers && err == nil && !bytes.Equal(got, want):
		t.Errorf("%s %s: %v, want %v", datatype, text, got, want)
	case !numbers && err == nil && !bytes.ContainsAny(text, `NI"}`): // NaN and infinities are no JSON; other fields may follow
		t.Errorf("%s %s was read: %v", datatype, text, got)
	}
}

// numericTypes are the datatypes that JSON has numbers for.
var numericTypes = []string{"FP32", "FP64", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "UINT64", "INT64"}

// FuzzNumbers reads any text as the data of an input, of every type of numbers: the same bits as encoding/json and strconv, or an error
// where these have one.
func FuzzNumbers(f *testing.F) {
	for _, seed := range []string{
		"[1,2,3]", "[[0.5, -1e-3],\n[12345678.5, 16777217]]", "[0.12345679104328156,1.17549435e-38,3.4028235e38,3.4028236e38,1e-46]",
		"[9223372036854775807,-9223372036854775808,18446744073709551615,255,-128]", "[01]", "[1.]", "[-]", "[1,]", "[1 2]", "[1e]", "[.5]",
		"[+1]", "[-0, 0, -0.0]", "[[[1],[]],2]", "[1.00000005960464477539062500, 33554433, 9007199254740993]", "[1,\"2\"]", "[true]", "[NaN]",
		"[12345678,123456789012345678,1234567890123456789012]", "[1]]", "[[1]", "[0x10]", "[1_000]",
	} {
		f.Add([]byte(seed), uint8(0))
	}
	f.Fuzz(func(t *testing.T, text []byte, kind uint8) {
		checkNumbers(t, text, numericTypes[int(kind)%len(numericTypes)])
	})
}

func TestNumbers(t *testing.T) {
	for _, text := range []string{"[]", "[[]]", "[1,2,3]", "[ 1 ,\t2\r\n, 3 ]", "[1,[],2]", "[[1,2],[3,4]]", "[01]", "[1.]", "[-]", "[1,]", "[,1]", "[1 2]", "[1e]", "[.5]", "[+1]",
		"[-0,0]", "[255,256]", "[-128,127]", "[-129]", "[128]", "[1e2]", "[1.0]", "[65536,0]", "[4294967296]", "[18446744073709551616]", "[9223372036854775808]", "[true]", "[null]",
		"[-9223372036854775808,1]", "[1\x00,2]", "[1,2", "[1/2]", "[1:2]", "[12345678,1234567a,1]", "[00000000,1]", "[1e00005,1]", "[1e+5,1e-5,1E5]", "[1e99999,1]", "[0e99,1]",
		"[99999999999999999999]", "[18446744073709551615]", "[1234567:]", "[1234567?]", "[1234567/]", "[3.4028235677973366e38]", "[3.4028235677973367e38]",
		"[9999999999999999999e22]", "[-1e38]", "[1e-22]", "[1e-23]", "[0.0000000000000000001]", "[-0.0]"} {
		for _, datatype := range numericTypes {
			checkNumbers(t, []byte(text), datatype)
			checkNumbers(t, []byte(strings.Replace(text, "]", ",0]", 1)), datatype) // the last of a list is left to scanner
		}
	}
}

// TestFloatsAreTheNearest: as written by clients in C, Go and Python, and in the middle between two float32 and next to it, where an
// approximation is not enough.
func TestFloatsAreTheNearest(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var list []string
	for range 20_000 {
		f := math.Float32frombits(random.Uint32())
		if f != f || math.IsInf(float64(f), 0) {
			continue
		}
		next := math.Nextafter32(f, 0)
		middle := (float64(f) + float64(next)) / 2
		list = append(list, fmt.Sprint(f), fmt.Sprint(float64(f)), fmt.Sprintf("%.17g", float64(f)), fmt.Sprintf("%.9g", f),
			strconv.FormatFloat(middle, 'g', -1, 64), strconv.FormatFloat(math.Nextafter(middle, 0), 'g', 19, 64),
			strconv.FormatFloat(random.NormFloat64(), 'f', -1, 64), fmt.Sprint(random.NormFloat64()), strconv.Itoa(random.IntN(1<<30)))
	}
	for i, text := range list {
		list[i] = strings.ReplaceAll(text, "e+", "e")
	}
	text := []byte("[" + strings.Join(list, ", ") + "]")
	for _, datatype := range []string{"FP32", "FP64"} {
		want, elements, _ := wanted(text, datatype)
		got, err := readJSON(text, datatype, elements)
		if err != nil {
			t.Fatal(err)
		}
		size := v2.Size(datatype)
		for i := range list {
			if !bytes.Equal(got[i*size:(i+1)*size], want[i*size:(i+1)*size]) {
				t.Errorf("%s %s: %v, want %v", datatype, list[i], got[i*size:(i+1)*size], want[i*size:(i+1)*size])
			}
		}
	}
}

// TestPlainNumbersAreRead: without strconv, but for a few.
func TestPlainNumbersAreRead(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const n = 10_000
	plain := 0
	for range n {
		if _, length := float32Of(fmt.Appendf(nil, "%v,", float64(float32(random.NormFloat64())))); length > 0 {
			plain++
		}
	}
	if plain < n*99/100 {
		t.Errorf("%d of %d numbers are plain", plain, n)
	}
}

// BenchmarkNumbers reads the pixels of an image of 224×224, as Python's json writes float32.
func BenchmarkNumbers(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	const n = 3 * 224 * 224
	for name, format := range map[string]func() string{
		"FP32 of 17 digits": func() string { return fmt.Sprint(float64(float32(random.NormFloat64()))) },
		"FP32 of 4 digits":  func() string { return strconv.FormatFloat(random.Float64(), 'f', 4, 64) },
		"UINT8":             func() string { return strconv.Itoa(random.IntN(256)) },
	} {
		list := make([]string, n)
		for i := range list {
			list[i] = format()
		}
		text := []byte("[" + strings.Join(list, ", ") + "]")
		datatype, _, _ := strings.Cut(name, " ")
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := readJSON(text, datatype, n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

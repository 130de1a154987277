package loadtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// httpParameters are those of a tensor in JSON, or of a request.
type httpParameters struct {
	BinarySize   *int64 `json:"binary_data_size,omitempty"` // of a tensor whose bytes follow the JSON
	BinaryOutput bool   `json:"binary_data_output,omitempty"`
}

// httpTensor is a tensor in JSON.
type httpTensor struct {
	tensorInfo
	Parameters httpParameters `json:"parameters"`
}

// httpRequest makes a request of the Open Inference Protocol's binary tensor extension: JSON, and after it the inputs' bytes. The
// outputs shall be binary, too.
func httpRequest(inputs []tensor) body {
	var list []httpTensor
	var data []byte
	for _, t := range inputs {
		list = append(list, httpTensor{t.tensorInfo, httpParameters{BinarySize: new(int64(len(t.data)))}})
		data = append(data, t.data...)
	}
	header, err := json.Marshal(map[string]any{"inputs": list, "parameters": httpParameters{BinaryOutput: true}})
	if err != nil {
		panic(err) // not reached: names and numbers have a form in JSON
	}
	return body{
		data: append(header, data...), contentType: "application/octet-stream",
		header: http.Header{"Inference-Header-Content-Length": {strconv.Itoa(len(header))}},
	}
}

// httpResponse reads the outputs of a response. They share its memory.
func httpResponse(response []byte) ([]tensor, error) {
	var header struct{ Outputs []httpTensor }
	decoder := json.NewDecoder(bytes.NewReader(response))
	if err := decoder.Decode(&header); err != nil {
		return nil, err
	}
	rest := response[decoder.InputOffset():]
	var list []tensor
	for _, t := range header.Outputs {
		n := t.Parameters.BinarySize
		if n == nil || *n < 0 || *n > int64(len(rest)) {
			return nil, fmt.Errorf("the output %q has no binary data", t.Name)
		}
		list = append(list, tensor{t.tensorInfo, rest[:*n]})
		rest = rest[*n:]
	}
	if len(rest) > 0 {
		return nil, errors.New("there are bytes after the last output")
	}
	return list, nil
}

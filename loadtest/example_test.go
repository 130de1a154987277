package loadtest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"fovea/loadtest"
)

// A load test of any image server: a closed loop with one and four concurrent requests.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, `{"class": 967}`)
	}))
	defer server.Close()

	config := loadtest.Default()
	config.URL = server.URL
	config.Images = "../testdata/images/coffee.jpg"
	config.Concurrency = []int{1, 4}
	config.Warmup, config.Window, config.WindowCount = 0, 50*time.Millisecond, 1
	config.GPU = false
	plan, err := loadtest.Prepare(context.Background(), config)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := plan.Run(context.Background(), func(loadtest.Progress) {})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, level := range result.Levels {
		fmt.Println(level.Concurrency, level.Throughput > 0, level.Failed)
	}
	// Output:
	// 1 true 0
	// 4 true 0
}

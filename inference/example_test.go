package inference_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"fovea/inference"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// An engine loads the models of a repository and predicts images.
func ExampleEngine_Predict() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	config := inference.Defaults()
	config.Device = "cpu"
	config.Models = []inference.ModelConfig{{Name: "efficientnet-lite0", Required: true}}
	engine, err := inference.New(config, repository.Open("../models"), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() {
		if err := engine.Close(ctx); err != nil {
			fmt.Println(err)
		}
	}()
	if err := engine.Sync(ctx); err != nil {
		fmt.Println(err)
		return
	}
	if err := engine.Await(ctx, true); err != nil {
		fmt.Println(err)
		return
	}
	image, err := os.ReadFile("../testdata/images/coffee.jpg")
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := engine.Predict(ctx, inference.Request{Image: image})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(response.Model, response.Device, response.Prediction.(*postprocess.Classified).Top[0].Label)
	// Output: efficientnet-lite0 cpu espresso
}

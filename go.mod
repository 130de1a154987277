module fovea

go 1.26

require (
	github.com/goccy/go-yaml v1.19.2
	github.com/yalue/onnxruntime_go v1.36.0
	go.uber.org/goleak v1.3.0
	gocv.io/x/gocv v0.43.0
)

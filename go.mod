module fovea

go 1.26

require gocv.io/x/gocv v0.43.0

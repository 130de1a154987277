module fovea

go 1.26

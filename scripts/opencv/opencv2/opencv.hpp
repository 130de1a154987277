// gocv includes this header. OpenCV's own one includes every module that the distribution built, and so the headers
// of packages that Fovea does not need; this one stands before it in the search path.
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

// Package palette has the colors of classes.
package palette

import (
	"image/color"
	"math"
)

// Color returns the color of a class. The hues of classes that follow each other are far apart: steps of the golden ratio.
func Color(class int) color.RGBA {
	_, hue := math.Modf(float64(class) * (math.Sqrt(5) - 1) / 2)
	channel := func(offset float64) uint8 { // saturated, of full value
		_, h := math.Modf(hue + offset)
		return uint8(255 * max(0, min(1, math.Abs(6*h-3)-1)))
	}
	return color.RGBA{channel(0), channel(2.0 / 3), channel(1.0 / 3), 255}
}

// Of returns the colors of the first n classes.
func Of(n int) color.Palette {
	list := make(color.Palette, n)
	for class := range list {
		list[class] = Color(class)
	}
	return list
}

// Package helm holds the chart of Fovea and its tests.
package helm

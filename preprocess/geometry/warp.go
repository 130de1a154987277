package geometry

import "math"

// Point is a point in pixels: x and y.
type Point = [2]float64

// Matrix is a projective map in homogeneous coordinates, row by row: it maps (x, y) to (X/W, Y/W), where (X, Y, W) is the matrix times (x, y, 1).
type Matrix [9]float64

// Map maps a point.
func (m Matrix) Map(p Point) Point {
	w := m[6]*p[0] + m[7]*p[1] + m[8]
	return Point{(m[0]*p[0] + m[1]*p[1] + m[2]) / w, (m[3]*p[0] + m[4]*p[1] + m[5]) / w}
}

// Times returns the map that applies n first and then m.
func (m Matrix) Times(n Matrix) (product Matrix) {
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				product[3*i+j] += m[3*i+k] * n[3*k+j]
			}
		}
	}
	return product
}

// Perspective returns the map of four points to four others: the solution of the equations of getPerspectiveTransform in OpenCV's
// modules/imgproc/src/imgwarp.cpp. ok is false if three of the points lie on a line.
func Perspective(from, to [4]Point) (m Matrix, ok bool) {
	var rows [8][9]float64 // the equations of m[0] to m[7], and what they equal
	for i := range 4 {
		x, y, u, v := from[i][0], from[i][1], to[i][0], to[i][1]
		rows[i] = [9]float64{x, y, 1, 0, 0, 0, -x * u, -y * u, u}
		rows[i+4] = [9]float64{0, 0, 0, x, y, 1, -x * v, -y * v, v}
	}
	if !eliminate(&rows) {
		return Matrix{}, false
	}
	m[8] = 1
	for i := range rows {
		m[i] = rows[i][8] / rows[i][i]
	}
	return m, m.isFinite()
}

// eliminate makes the matrix of equations diagonal, by Gauss and Jordan's method. It reports whether they have one solution.
func eliminate(rows *[8][9]float64) bool {
	const tiny = 1e-9 // of the largest number in a row
	for column := range rows {
		best := column
		for i := column; i < len(rows); i++ {
			if math.Abs(rows[i][column]) > math.Abs(rows[best][column]) {
				best = i
			}
		}
		rows[column], rows[best] = rows[best], rows[column]
		pivot := rows[column]
		if !(math.Abs(pivot[column]) > tiny) {
			return false
		}
		for i := range rows {
			if i == column {
				continue
			}
			factor := rows[i][column] / pivot[column]
			for k := column; k < len(pivot); k++ {
				rows[i][k] -= factor * pivot[k]
			}
		}
	}
	return true
}

// Similarity returns the map that moves, turns and scales points so that the sum of the squared distances to others is least. It never mirrors.
// It is the one of Umeyama's "Least-squares estimation of transformation parameters between two point patterns" (1991), which
// SimilarityTransform of skimage computes. ok is false if all points are the same.
func Similarity(from, to []Point) (m Matrix, ok bool) {
	n := float64(len(from))
	var center, target Point
	for i, p := range from {
		center[0], center[1] = center[0]+p[0]/n, center[1]+p[1]/n
		target[0], target[1] = target[0]+to[i][0]/n, target[1]+to[i][1]/n
	}
	// As complex numbers, the map is q = a·p + b, and the least squares are those of linear regression.
	var square, re, im float64
	for i, p := range from {
		x, y, u, v := p[0]-center[0], p[1]-center[1], to[i][0]-target[0], to[i][1]-target[1]
		square += x*x + y*y
		re += x*u + y*v
		im += x*v - y*u
	}
	if !(square > 0) {
		return Matrix{}, false
	}
	re, im = re/square, im/square
	m = Matrix{re, -im, target[0] - re*center[0] + im*center[1], im, re, target[1] - im*center[0] - re*center[1], 0, 0, 1}
	return m, m.isFinite() && re*re+im*im > 0
}

func (m Matrix) isFinite() bool {
	sum := 0.0
	for _, v := range m {
		sum += v - v
	}
	return sum == 0
}

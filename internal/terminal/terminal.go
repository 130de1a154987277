// Package terminal writes for people: it tells terminals from files and pipes, and has colors, tables, bars and a line of progress. What
// goes to a file or a pipe has no escape sequences. It is pure Go.
package terminal

import (
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// Is reports whether w is a terminal.
func Is(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Width returns the columns of the terminal w; 0 if w is none, or its width is unknown.
func Width(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// HasColors reports whether w takes colors: it is a terminal that is not dumb, and NO_COLOR is not set (https://no-color.org).
func HasColors(w io.Writer) bool {
	return Is(w) && os.Getenv("NO_COLOR") == "" && !isDumb()
}

// isDumb reports whether terminals take no escape sequences.
func isDumb() bool { return os.Getenv("TERM") == "dumb" }

// Style is a graphic rendition, as the parameter of SGR (ECMA-48, 8.3.117).
type Style string

// The styles. Plain changes nothing.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Cyan   Style = "36"
)

// Paint writes text in styles, or as it is.
type Paint bool

// PaintOf is what w takes.
func PaintOf(w io.Writer) Paint { return Paint(HasColors(w)) }

// In returns text in a style.
func (p Paint) In(s Style, text string) string {
	if !bool(p) || s == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// Columns returns how many columns of a terminal text takes: two for a wide character, none for one that combines with its neighbor
// (Unicode Standard Annex 11).
func Columns(text string) (n int) {
	for _, r := range text {
		n += columnsOf(r)
	}
	return n
}

func columnsOf(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Clean replaces what a terminal could take for a command or what would break a line: control characters, and those that change the
// direction of text. File names and labels may hold any.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// Cut shortens text to columns; what is cut is shown by an ellipsis.
func Cut(text string, columns int) string {
	if Columns(text) <= columns {
		return text
	}
	used := 0
	for i, r := range text {
		if used += columnsOf(r); used >= columns {
			return text[:i] + "…"
		}
	}
	return text
}

// CutStart is Cut at the beginning, which keeps the end of a path.
func CutStart(text string, columns int) string {
	for runes := []rune(text); Columns(text) > columns && len(runes) > 0; {
		runes = runes[1:]
		text = "…" + string(runes)
	}
	return text
}

// Pad fills text up to columns with spaces.
func Pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-Columns(text)))
}

// eighths are the blocks that fill one to seven eighths of a column, from the left.
var eighths = []rune("▏▎▍▌▋▊▉")

// Bar returns a bar of a share from 0 to 1 of columns, filled with spaces.
func Bar(share float64, columns int) string {
	n := 0
	if share > 0 { // not NaN
		n = int(min(share, 1)*float64(8*columns) + 0.5)
	}
	text := strings.Repeat("█", n/8)
	if n%8 > 0 {
		text += string(eighths[n%8-1])
	}
	return Pad(text, columns)
}

package terminal

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"fovea/internal/testenv"
)

func TestWidthOfText(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "é": 1, "e\u0301": 1, "猫": 2, "ﾈｺ": 2, "ｆ": 2, "…": 1, "a\u200bb": 2} {
		if got := Columns(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
}

func TestTextIsCutToColumns(t *testing.T) {
	for _, c := range []struct {
		text       string
		columns    int
		end, start string
	}{
		{"abcdef", 6, "abcdef", "abcdef"},
		{"abcdef", 4, "abc…", "…def"},
		{"猫犬鳥魚", 5, "猫犬…", "…鳥魚"},
		{"猫犬鳥魚", 4, "猫…", "…魚"},
		{"abcdef", 1, "…", "…"},
	} {
		if got := Cut(c.text, c.columns); got != c.end {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.text, c.columns, got, c.end)
		}
		if got := CutStart(c.text, c.columns); got != c.start {
			t.Errorf("CutStart(%q, %d) = %q, want %q", c.text, c.columns, got, c.start)
		}
	}
}

func TestControlCharactersAreReplaced(t *testing.T) {
	if got := Clean("a\x1b[31m\n\u202eb\u2028"); got != "a�[31m��b�" {
		t.Errorf("%q", got)
	}
}

func TestBarOfAShare(t *testing.T) {
	for share, want := range map[float64]string{0: "    ", 1: "████", 0.5: "██  ", 7: "████", -1: "    ", math.NaN(): "    ", 1.0 / 32: "▏   ", 17.0 / 32: "██▏ "} {
		if got := Bar(share, 4); got != want {
			t.Errorf("Bar(%v) = %q, want %q", share, got, want)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := Count(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	for n, want := range map[float64]string{9.94: "9.9/s", 10: "10/s", 0.5: "0.5/s", 1234.5: "1234/s"} {
		if got := Rate(n); got != want {
			t.Errorf("%v: %q", n, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "0 s", 59400 * time.Millisecond: "59 s", 3600 * time.Second: "1 h 00 min", 60 * time.Second: "1 min 00 s", 59600 * time.Millisecond: "1 min 00 s", 3725 * time.Second: "1 h 02 min"} {
		if got := Duration(d); got != want {
			t.Errorf("%s: %q", d, got)
		}
	}
}

func TestTableOutsideATerminalIsPlainText(t *testing.T) {
	table := NewTable("NAME", "STATE", "NOTE")
	table.Row("猫", "ready", "")
	table.Cells(Cell{Text: "b"}, Cell{"broken: a text that is longer than its column", Red})
	table.Row("long name", "ok", "x")
	var b bytes.Buffer
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	const want = "NAME       STATE  NOTE\n猫         ready\nb          broken: a text that is longer than its column\nlong name  ok     x\n"
	if b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
}

// written writes to a terminal of a width and returns what arrives.
func written(t *testing.T, columns int, write func(*os.File)) string {
	t.Helper()
	end, tty := testenv.Terminal(t, columns)
	write(tty)
	_, _ = tty.WriteString("\x04END")
	var text []byte
	for !bytes.HasSuffix(text, []byte("END")) {
		buffer := make([]byte, 1024)
		n, err := end.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, buffer[:n]...)
	}
	return strings.TrimSuffix(string(text), "\x04END")
}

func TestColorsOfATerminal(t *testing.T) {
	for name, c := range map[string]struct {
		noColor, term string
		colors        bool
	}{
		"a terminal":                    {"", "xterm", true},
		"NO_COLOR":                      {"1", "xterm", false},
		"NO_COLOR that is set to false": {"0", "xterm", false},
		"a dumb terminal":               {"", "dumb", false},
	} {
		t.Setenv("NO_COLOR", c.noColor)
		t.Setenv("TERM", c.term)
		got := written(t, 80, func(tty *os.File) {
			table := NewTable("NAME")
			if err := table.Write(tty); err != nil {
				t.Error(err)
			}
		})
		if want := map[bool]string{true: "\x1b[1mNAME\x1b[0m\r\n", false: "NAME\r\n"}[c.colors]; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestProgressOnATerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	got := written(t, 70, func(tty *os.File) {
		p := NewProgress(tty, 12, "images")
		now := p.start.Add(time.Hour) // the model was loaded meanwhile
		p.now = func() time.Time { return now }
		p.Begin()
		p.Skip(2)
		now = now.Add(time.Second)
		p.Update(5, 0)
		now = now.Add(redrawEvery / 2)
		p.Update(6, 0) // too soon
		p.Clear()
		p.Update(7, 0) // after something else was written
		now = now.Add(time.Second)
		p.Update(10, 0) // that was the last
	})
	const want = "\r\x1b[K███████████████               ▏ 5 of 10 images · 5.0/s · 1 s left\r\x1b[K\r\x1b[K█████████████████████         ▏ 7 of 10 images · 6.7/s · 0 s left"
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestProgressKeepsToOneLine(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	for _, columns := range []int{20, 60, 120} {
		got := written(t, columns, func(tty *os.File) {
			p := NewProgress(tty, 10000, "images")
			now := p.start
			p.now = func() time.Time { now = now.Add(time.Second); return now }
			p.Update(2500, 3)
			p.Clear()
			p.Clear() // once is enough
		})
		line, rest, _ := strings.Cut(strings.TrimPrefix(got, "\r\x1b[K"), "\r\x1b[K")
		if rest != "" || Columns(line) >= columns || !strings.Contains(line, "2,500 of 10,000"[:min(14, columns-5)]) {
			t.Errorf("%d columns: %q", columns, got)
		}
		if columns == 120 && !strings.Contains(line, "2500/s · 3 s left · 3 failed") {
			t.Errorf("%q", line)
		}
		if hasBar := strings.Contains(line, "█"); hasBar != (columns == 120) && columns != 60 {
			t.Errorf("%d columns: a bar: %t in %q", columns, hasBar, line)
		}
	}
	got := written(t, 20, func(tty *os.File) {
		p := NewProgress(tty, 10, "images")
		p.Say("loading a model with a long name")
		p.Clear()
	})
	if got != "\r\x1b[Kloading a model wi…\r\x1b[K" {
		t.Errorf("a text on a narrow terminal: %q", got)
	}
	var b bytes.Buffer
	p := NewProgress(&b, 10, "images")
	p.Say("loading")
	p.Update(1, 0)
	if p.Clear(); b.Len() > 0 {
		t.Errorf("outside a terminal: %q", b.String())
	}
}
